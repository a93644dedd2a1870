"""A deadline that holds even while a C call keeps the interpreter's lock.

TensorFlow's `TFE_EnableCollectiveOps` does: the first worker waits in it for ever for a peer that
died since it was last seen, and no Python thread or signal handler runs meanwhile. A POSIX timer
can call a C function in a thread of its own: `warnx` for the last words, then `_exit`.
"""

import contextlib
import ctypes
import signal
import sys
from collections.abc import Iterator
from typing import Any

_CLOCK_MONOTONIC = 1
_SIGEV_THREAD = 2
_TIME_TO_SPEAK_S = 1.0


class _SigEvent(ctypes.Structure):
    """`struct sigevent` of Linux, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_size_t),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("rest", ctypes.c_char * 40),
    )


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`: an interval that repeats, and the first one."""

    _fields_ = tuple(
        (name, ctypes.c_long)
        for name in ("every_seconds", "every_nanoseconds", "seconds", "nanoseconds")
    )


@contextlib.contextmanager
def exit_after(timeout_s: float, exit_code: int, message: str) -> Iterator[None]:
    """End this process with `exit_code` unless the block is left within `timeout_s` seconds.

    The message goes to stderr; nothing else is flushed or closed. Where there are no POSIX timers
    (macOS), SIGALRM ends the process instead, without a word.
    """
    if not sys.platform.startswith("linux"):
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return
    library = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(message.replace("%", "%%").encode())
    with (
        _call_later(library, timeout_s, library.warnx, ctypes.addressof(text)),
        _call_later(library, timeout_s + _TIME_TO_SPEAK_S, library._exit, exit_code),
    ):
        yield


@contextlib.contextmanager
def _call_later(
    library: ctypes.CDLL, delay_s: float, function: Any, argument: int
) -> Iterator[None]:
    event = _SigEvent(
        value=argument,
        notify=_SIGEV_THREAD,
        function=ctypes.cast(function, ctypes.c_void_p),
    )
    timer = ctypes.c_void_p()
    if library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)):
        raise OSError(ctypes.get_errno(), "timer_create failed")
    seconds, fraction = divmod(delay_s, 1)
    first = _TimerSpec(seconds=int(seconds), nanoseconds=int(fraction * 1e9))
    try:
        library.timer_settime(timer, 0, ctypes.byref(first), None)
        yield
    finally:
        library.timer_delete(timer)
