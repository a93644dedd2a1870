"""One run as a row: what its directory says, and the job in the cluster that belongs to it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_COMPARED = frozenset(
    {
        "run", "resume", "overwrite", "take_over", "cache_dir", "cache_size_gb", "data",
        "storage_deadline_s", "log_every_s", "log_sync_s", "log_every_steps", "then",
    }
)  # fmt: skip
"""Settings that say nothing about what was trained; the dataset is a column of its own."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What is known of a run; what is not is None or empty.

    Attributes:
        name: Its directory below the run root.
        path: Its directory.
        state: Running, Done, Stopped, Lost (no sign of life), New, Damaged, or its job's phase.
        step: Steps done.
        total_steps: Steps at which it ends.
        top1: Of the best evaluation during training, from 0 to 1.
        top5: Of the same.
        test_top1: Of the report that `evaluate` wrote.
        images_per_s: Of all workers together, lately.
        gpu_hours: GPUs times hours of all attempts.
        trained_s: Seconds of all attempts.
        attempts: How often training began.
        started: Seconds since 1970.
        updated: When it last said something, in seconds since 1970.
        by: Who submitted it.
        dataset: The directory that it is trained on.
        job: Name of its job in the cluster.
        settings: Of its trainer.
        problem: Why it could not be read whole.
    """

    name: str
    path: str
    state: str
    step: int | None = None
    total_steps: int | None = None
    top1: float | None = None
    top5: float | None = None
    test_top1: float | None = None
    images_per_s: float | None = None
    gpu_hours: float | None = None
    trained_s: float | None = None
    attempts: int | None = None
    started: float | None = None
    updated: float | None = None
    by: str = ""
    dataset: str = ""
    job: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    def value(self, name: str) -> Any:
        """Give what stands under a name: a fact of the run, or a setting of its trainer."""
        return getattr(self, name) if name in FACTS else self.settings.get(name)


FACTS = tuple(f.name for f in dataclasses.fields(RunRecord) if f.name != "settings")
"""The names under which a run's own facts are found."""


def differing(records: list[RunRecord]) -> list[str]:
    """Name the settings in which some of the runs differ, in the order of the trainer's flags."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    return [
        name
        for name in names
        if name not in NOT_COMPARED
        and len({repr(r.settings[name]) for r in records if name in r.settings}) > 1
    ]
