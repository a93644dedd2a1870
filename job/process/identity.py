"""Which process this is, so that another one can tell later whether it still lives."""

import os
import socket
import uuid
from collections.abc import Mapping

from job.contract.lease import Owner

_ENDED = "ZX"  # A zombie runs no more; only its parent has not looked yet.


def this_process(environ: Mapping[str, str] = os.environ) -> Owner:
    """Describe this process."""
    host = socket.gethostname()
    pid = os.getpid()
    return Owner(
        host=host,
        pid=pid,
        pod=host if "KUBERNETES_SERVICE_HOST" in environ else "",
        place=_place(),
        started=_started(pid) or "",
    )


def known_dead(owner: Owner) -> bool:
    """Whether a process has ended for certain, as far as can be seen from here.

    Of a process on another machine or in another container nothing is known.
    """
    if not owner.place or owner.place != _place():
        return False
    started = _started(owner.pid)
    return started is None or started != owner.started


def _place() -> str:
    """Name what a process number is unique in: a boot of a machine and a container on it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode():x}"  # Not Linux: no containers to tell.


def _started(pid: int) -> str | None:
    """Give what tells a process from a later one of its number; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name, in parentheses, may hold anything.
            fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if os.path.exists("/proc/self/stat") or not _answers(pid) else ""
    except OSError:  # It ended while it was looked at.
        return None
    return None if fields[0] in _ENDED else fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
