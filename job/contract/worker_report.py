"""What each worker tells the first one of itself with every step.

The numbers travel in the all-reduce that sums up the loss, so they cost no message of their own.
The first worker writes them into progress.json, for `launcher status` and `launcher why`.
"""

import resource
import statistics
import sys
from collections.abc import Sequence
from typing import NamedTuple

_MEMORY_PEAK_FILE = "/sys/fs/cgroup/memory.peak"
"""Of this container, where control groups are of version 2."""
_WORTH_A_WORD = 0.2


class WorkerReport(NamedTuple):
    """One worker's own numbers, smoothed over the last ten or so steps.

    Attributes:
        busy_s: Seconds of a step in which it waits for nobody: from asking for its input to the
            end of its backward pass; 0 if it is not known yet.
        input_wait: Share of a step that it waits for its input, from 0 to 1.
        memory_peak_bytes: The most that its container, or else this process, has used.
    """

    busy_s: float = 0.0
    input_wait: float = 0.0
    memory_peak_bytes: float = 0.0


def memory_peak_bytes() -> int:
    """Read the most memory that this container has used, or this process outside of one."""
    try:
        with open(_MEMORY_PEAK_FILE) as file:
            return int(file.read())
    except (OSError, ValueError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def straggler(reports: Sequence[WorkerReport], step_s: float) -> tuple[int, float] | None:
    """Find the worker that all others wait for, and the share of a step that they wait.

    Args:
        reports: By worker.
        step_s: Seconds of a step, the same for all.

    Returns:
        None where the median worker waits less than a fifth of its time.
    """
    busy = [report.busy_s for report in reports]
    if len(busy) < 2 or not step_s:
        return None
    slowest = max(range(len(busy)), key=busy.__getitem__)
    share = (busy[slowest] - statistics.median_low(busy)) / step_s
    return (slowest, share) if share >= _WORTH_A_WORD else None
