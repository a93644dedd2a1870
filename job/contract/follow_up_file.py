"""The content of follow_up.json: what the first worker does once training has ended well.

A step that is done is not done again when the job starts anew, unless training went on meanwhile.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from job.contract.schema import Count, Word

FORMAT = 1
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass(frozen=True, kw_only=True)
class FollowUpStep:
    """One step.

    Attributes:
        name: evaluate or export.
        state: waiting, running, done or failed.
        output: The directory that it writes.
        trained_step: The step of training that it followed.
        began: Seconds since 1970.
        ended: The same.
        exit_code: Of its process; of one that was interrupted as well.
    """

    name: Word
    state: Word = WAITING
    output: Word = ""
    trained_step: Count | None = None
    began: float | None = None
    ended: float | None = None
    exit_code: Annotated[int, Meta(ge=0, le=255)] | None = None


@dataclass(frozen=True, kw_only=True)
class FollowUps:
    """All of them, in their order."""

    steps: tuple[FollowUpStep, ...] = ()
    format: int = FORMAT

    def done(self, name: str, trained_step: int | None) -> bool:
        """Whether a step is done for this state of training."""
        return any(
            step.name == name and step.state == DONE and step.trained_step == trained_step
            for step in self.steps
        )

    def having(self, changed: FollowUpStep) -> "FollowUps":
        """Give them with one step replaced."""
        steps = (changed if step.name == changed.name else step for step in self.steps)
        return replace(self, steps=tuple(steps))
