"""First on PYTHONPATH, it makes the clock of the day jump a day each time that Python reads it."""

import itertools
import time

_now = time.time
_days = itertools.cycle((0, 1, -1))


def _jumping() -> float:
    return _now() + 86_400 * next(_days)


time.time = _jumping
