"""Trying again: growing pauses with jitter, until a deadline."""

import random
import time
from collections.abc import Iterator

_FIRST_S = 0.2
_LONGEST_S = 5.0
_JITTER = random.Random()  # noqa: S311 (no secret; a generator of its own is nobody else's state)


class Deadline:
    """A moment after which nothing is tried again."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether the moment has passed."""
        return self.left_s == 0.0


def pauses() -> Iterator[float]:
    """Yield seconds to wait: doubling up to 5 s, each between half and all of its step.

    The jitter keeps many clients that lost one server from coming back as one wave.
    """
    step = _FIRST_S
    while True:
        yield step * _JITTER.uniform(0.5, 1.0)
        step = min(step * 2, _LONGEST_S)
