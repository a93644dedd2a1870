"""Process 1 of a private machine: makes its mounts, reaps orphans, ends with who started it.

When this process ends, the kernel kills everything else in its PID namespace, and the mounts and
the network go with it. It is started by machine.py as `unshare ... python pid1.py FOLDER`, lives
for as long as somebody holds the other end of its standard input, and uses no other module.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

# What the kubelet wants of the whole kernel: it finds it there, and changes nothing of the host.
_KUBELET_WANTS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def main(folder: Path) -> None:
    """Set up, say so, and wait."""
    _mount_private_folders(folder)
    signal.signal(signal.SIGCHLD, _reap)
    print("ready", flush=True)
    while sys.stdin.buffer.read(1):
        pass


def _mount_private_folders(folder: Path) -> None:
    _mount("-t", "tmpfs", "tmpfs", "/run")
    for path in ("/var/lib", "/var/log"):
        own = folder / path.strip("/").replace("/", "-")
        own.mkdir()
        _mount("--bind", str(own), path)
    for name, value in _KUBELET_WANTS.items():
        own = folder / "sysctl" / name
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(value + "\n")
        _mount("--bind", str(own), f"/proc/sys/{name}")
    # As on any node; the namespace was private when it was made, so the host sees nothing of it.
    _mount("--make-rshared", "/")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
