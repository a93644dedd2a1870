"""What a prediction will take, told from the listing of its images before it starts."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from job import storage
from job.contract import layout
from job.contract.configs import PredictConfig
from job.contract.wording import many
from launcher.describe import provenance
from launcher.errors import UsageError

IMAGES_PER_TASK = 20_000
"""About an hour of a full-width network on a few CPU cores, some minutes on a GPU."""
MOST_TASKS = 64
_TASKS_UNLISTED = 4


@dataclass(frozen=True)
class Work:
    """How a prediction is shared out, and what to show of it.

    Attributes:
        tasks: Number of tasks.
        name: Name for the job; empty for the usual one.
        parts: Those that the tasks share, as 0,3-5; empty for all.
        is_complete: Whether nothing is left to do.
        rows: What drives the costs, as label and text.
    """

    tasks: int
    name: str = ""
    parts: str = ""
    is_complete: bool = False
    rows: Sequence[tuple[str, str]] = field(default_factory=tuple)


def plan(
    config: PredictConfig,
    *,
    tasks: int | None,
    gpus: int,
    here: bool,
    may_list: bool,
    resume: bool,
) -> Work:
    """List the images, or read the listing that is there, and share them out.

    Args:
        config: What to predict.
        tasks: Their number if the user chose it.
        gpus: GPUs in all; one for each task.
        here: Whether the tasks run on this machine.
        may_list: Whether the listing may be written; else nothing is known of the images.
        resume: Whether the tasks are to do what an earlier job left undone.

    Raises:
        UsageError: There is nothing to resume.
        JobError: The images or the output cannot be read, or do not fit together.
    """
    if tasks is not None and tasks < 1:
        raise UsageError(f"--tasks must be at least 1, not {tasks}")
    paths = (config.model, config.images, config.output)
    in_buckets = all(storage.is_remote(path) for path in paths)
    if not may_list or not (in_buckets or here):
        return Work(tasks or gpus or (1 if here else _TASKS_UNLISTED))
    return _listed(config, tasks or gpus, here=here, resume=resume)


def _listed(config: PredictConfig, wanted: int, *, here: bool, resume: bool) -> Work:
    # Storage clients are imported here: `launcher --help` must not wait for them.
    from job.contract import part_ranges
    from job.prediction import listing_sources
    from job.prediction.listing import freeze, load
    from job.prediction.parts import PartStore

    if storage.exists(layout.summary_file(config.output)):
        return Work(1, is_complete=True)
    if resume and load(config.output) is None:
        raise UsageError(f"--resume: {config.output} has no listing; start it without --resume")
    find = functools.partial(listing_sources.find, path_column=config.path_column)
    listing = freeze(config.output, config.images, find, max(wanted, 1 if here else 4))
    every = range(listing.parts)
    missing = sorted(set(every) - PartStore(listing, config.format).finished(every))
    left = sum(len(listing.part_range(part)) for part in missing)
    tasks = wanted or (1 if here else min(MOST_TASKS, -(-left // IMAGES_PER_TASK)))
    # All may be there but the summary, which is one task's work.
    tasks = max(1, min(tasks, len(missing)))
    size = f", {listing.bytes / 1e6:,.1f} MB" if listing.bytes else ""
    rows = [
        ("found", f"{many(listing.count, 'image')} ({listing.kind}){size}"),
        ("tasks", f"{tasks} for {len(missing):,} missing of {many(listing.parts, 'part')}"),
    ]
    if storage.is_remote(config.images):
        rows.append(
            ("requests", f"about {left:,} reads, {3 * len(missing):,} writes; keep the bucket "
             "in the cluster's region, or its traffic is billed")
        )  # fmt: skip
    if not resume:
        return Work(tasks, rows=rows)
    # The tasks that failed left theirs behind; new ones share just these.
    name = provenance.name_for("predict", config.output, missing)
    return Work(tasks, name, part_ranges.format_numbers(missing), rows=rows)


def totals(output: str) -> list[str]:
    """Say how a finished prediction ended; nothing while it is not."""
    from job.prediction.parts import read_summary

    if not storage.exists(layout.summary_file(output)):
        return []
    summary = read_summary(output)
    lines = [
        f"{many(summary.seen, 'image')}: {summary.predicted:,} predicted, "
        f"{summary.rejected:,} rejected"
    ]
    return lines + [f"  {reason}: {count:,}" for reason, count in summary.reasons.items()]
