"""The content of progress.json: how far a run is. The first worker writes it, the launcher reads.

It is replaced every few seconds, so it is small, and a damaged one matters to nobody for long.
What it says of the whole run (since when, how long, on how many GPUs, for whom) goes on from
attempt to attempt.
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
        started: When the first attempt began to train, in seconds since 1970.
        trained_s: Seconds of all attempts.
        gpus: How many GPUs train now.
        gpu_s: GPUs times seconds of all attempts.
        attempts: How often training began.
        by: Who has submitted the run first.
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
    started: Annotated[float, Meta(ge=0, le=_LATEST)] | None = None
    trained_s: float = 0.0
    gpus: Count = 0
    gpu_s: float = 0.0
    attempts: Count = 0
    by: Word = ""
