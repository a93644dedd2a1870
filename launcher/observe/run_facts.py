"""What a run's directory tells, as plain values: `run_directory` reads it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from launcher.observe.state import PredictionProgress, Progress

if TYPE_CHECKING:
    from job.contract.follow_up_file import FollowUpStep


@dataclass(frozen=True)
class Restarts:
    """How often a job was started again: what uses up its restarts, and what does not."""

    counted: int
    uncounted: int


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run; everything may be missing."""

    progress: Progress | None = None
    checkpoint_step: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the best evaluation."""
    prediction: PredictionProgress | None = None
    follow_ups: "tuple[FollowUpStep, ...]" = ()
    """What the first worker does after training."""
    restarts: Restarts | None = None
    """As the job itself counts them; None if it does not."""


@dataclass(frozen=True, kw_only=True)
class LastWords:
    """The last line of a replica's log; its last error, if it ended with one."""

    replica: str
    line: str
