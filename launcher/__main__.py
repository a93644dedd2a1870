"""`python -m launcher`, and the `launcher` that an installation puts on the path."""

import sys

from launcher.cli import main


def start() -> None:
    """Run the command line of this process."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    start()
