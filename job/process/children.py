"""Children that do not outlive their parent, however it ends. Linux only; elsewhere they may."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

# Loaded before any fork: between fork and exec a child must not load anything.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def signal_me(number: signal.Signals) -> None:
    """Ask the kernel, in a child before its exec, for a signal at its parent's death.

    It comes once for each thread of a parent that is killed. A parent that has died before this
    call sends none.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)


_TIE = """
import ctypes, os, sys
parent, number, *command = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(number))
if os.getppid() == int(parent):
    os.execvp(command[0], command)
"""


def tied(command: Sequence[str], number: signal.Signals) -> list[str]:
    """Give the command that runs `command` with a signal at the death of this process.

    A process with threads must not run Python between fork and exec (`preexec_fn`): the child
    could wait for ever for a lock that one of those threads held. So a small interpreter asks the
    kernel, and becomes the command; nothing runs if this process has died before that.
    """
    asks = [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), str(int(number))]
    return [*asks, *command]
