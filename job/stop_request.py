"""Leaving on request: SIGTERM asks once, the second one does not ask again."""

import os
import signal
import types
from typing import Self

from job.exit_codes import ExitCode


class StopRequest:
    """Notes the first SIGTERM; the second one ends the process at once.

    A context manager, since handlers can only be set in the main thread and must be put back.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _handle(self, _signal: int, _frame: types.FrameType | None) -> None:
        if self.requested:
            os._exit(ExitCode.PREEMPTED)
        self.requested = True
