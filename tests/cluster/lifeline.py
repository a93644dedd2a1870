"""`python lifeline.py COMMAND...`: runs a command that ends when whoever started it has ended.

Standard input is a pipe that the starter holds; the kernel closes it even if the starter is killed.
"""

import os
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run the command; end with its exit code, or with the starter."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_the_starter() -> None:
        while os.read(0, 1):
            pass
        child.kill()

    threading.Thread(target=end_with_the_starter, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
