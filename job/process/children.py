"""Children that do not outlive their parent, however it ends. Linux only; elsewhere they may."""

import ctypes
import signal
import sys

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
