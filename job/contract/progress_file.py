"""The content of progress.json: how far a run is. The first worker writes it, the launcher reads.

It is replaced every few seconds, so it is small, and a damaged one matters to nobody for long.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from job.contract.schema import Count, Word

MAX_BYTES = 4 << 20
"""Of the workers of the largest clusters, 100 bytes each."""
_LATEST = 253402300799
"""The last second that a date can have."""


@dataclass(frozen=True, kw_only=True)
class WorkerNumbers:
    """See `job.contract.worker_report.WorkerReport`."""

    busy_s: float = 0.0
    input_wait: float = 0.0
    memory_peak_bytes: Count = 0


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """How far a run is.

    Attributes:
        state: training, done or stopped.
        step: Steps done, of `total_steps`.
        time: When this was written, in seconds since 1970.
        examples_per_s: Of all workers together.
        input_wait: Share of a step that the first worker waits for its input, from 0 to 1.
        loss: Of the last step; None while there is none.
        step_s: Seconds of a step.
        workers: Each worker's own numbers.
    """

    state: Word
    step: Count
    total_steps: Count
    time: Annotated[float, Meta(ge=0, le=_LATEST)]
    examples_per_s: float | None = None
    input_wait: float | None = None
    loss: float | None = None
    step_s: float | None = None
    workers: tuple[WorkerNumbers, ...] = ()
