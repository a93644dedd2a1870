"""Leaving on request: SIGTERM or Ctrl-C asks once, the second one does not ask again.

A handler in Python runs only once the main thread is back in the interpreter, and that thread may
stand in a collective for as long as a peer is silent. So signals are read from a pipe instead, in
a thread of its own, which runs as soon as they come.

Where nobody asks to be asked, SIGTERM ends the process at once, in a container too.
"""

import os
import signal
import threading
import time
import types
from typing import Self

from job.contract.errors import ExitCode

LEAVE_WITHIN_S = 10.0
"""For work that loses little by leaving at any time; nodes on spot prices give 15 s."""

_ONE_REQUEST_S = 0.25
"""Signals this close together are one request: Linux sends the signal of a parent's death
(`job/process/children.py`) once for each of the parent's threads."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Notes the first signal; the second one ends the process at once.

    A context manager, since handlers can only be set in the main thread and must be put back.

    Args:
        leave_within_s: Seconds after which an asked process ends without having looked: it may
            wait for storage for longer than its grace period. By default it is waited for.
    """

    def __init__(self, leave_within_s: float | None = None) -> None:
        self.requested = False
        self._leave_within_s = leave_within_s
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        threading.Thread(target=self._listen, args=(reader,), daemon=True).start()
        # The interpreter writes the numbers of signals that have a handler in Python.
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # A shell starts what runs in the background with SIGINT ignored; so it stays.
        wanted = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, _heard) for number in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._writer)  # Which ends the thread.
        if self._timer:
            self._timer.cancel()

    def _listen(self, reader: int) -> None:
        asked_at = 0.0
        with open(reader, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] not in _SIGNALS:
                    continue
                if self.requested:
                    if time.monotonic() - asked_at < _ONE_REQUEST_S:
                        continue
                    os._exit(ExitCode.PREEMPTED)
                asked_at = time.monotonic()
                self.requested = True
                if self._leave_within_s is not None:
                    self._timer = threading.Timer(
                        self._leave_within_s, os._exit, [ExitCode.PREEMPTED]
                    )
                    self._timer.daemon = True
                    self._timer.start()


def _heard(_signal: int, _frame: types.FrameType | None) -> None:
    """Take the place of what the signal would do otherwise."""
