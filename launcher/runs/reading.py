"""Finding and reading runs: small files, many at once.

A run costs five small reads (and one look at its lease while it is written), whatever it holds:
checkpoints and logs are never listed. Folders without a config.json may hold runs themselves, as
those of sweeps do, and are looked into.
"""

import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from job import storage
from job.contract import layout, lease, schema
from job.contract.errors import DataError, InputMissingError, JobError
from job.contract.lease import STALE_S, Lease
from job.contract.progress_file import MAX_BYTES, RunProgress
from job.storage import documents
from launcher.observe import quick_storage
from launcher.runs.record import RunRecord

_PARALLEL = 48
_DEEPEST = 3
"""Levels of folders below the run root that are looked into."""
_QUIET_S = 600.0
"""A run without a lease, of an earlier version, that said nothing for so long is lost."""

_REPORT_HEAD_BYTES = 4096
# A line break never stands within a text of JSON.
_TOP1 = re.compile(rb'\n *"top1": ([0-9.eE+-]{1,30}),')

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Best:
    metrics: dict[str, schema.Scalar]


def find(root: str) -> list[RunRecord]:
    """Read all runs below a folder, those of folders in it too; sorted by name.

    Raises:
        NotFoundError: There is no such bucket.
        JobError: The storage cannot be read.
    """
    quick_storage.be_brief()
    root = root.rstrip("/") or "/"
    found: list[RunRecord] = []
    with ThreadPoolExecutor(_PARALLEL, "runs") as threads:
        level = list(storage.list_folders(root))
        for depth in range(_DEEPEST):
            records = list(threads.map(lambda path: read(path, root), level))
            found += [record for record in records if record is not None]
            if depth + 1 == _DEEPEST:
                break
            others = [p for p, record in zip(level, records, strict=True) if record is None]
            level = [path for folders in threads.map(_folders, others) for path in folders]
    return sorted(found, key=lambda record: record.name)


def _folders(path: str) -> list[str]:
    return list(storage.list_folders(path))


def read_each(paths: Iterable[str], root: str) -> list[RunRecord]:
    """Read the runs in some directories, where there are any, in their order."""
    quick_storage.be_brief()
    with ThreadPoolExecutor(_PARALLEL, "runs") as threads:
        records = threads.map(lambda path: read(path, root), paths)
        return [record for record in records if record is not None]


def read(path: str, root: str) -> RunRecord | None:
    """Read one run; None where there is none. A file that is damaged is told of, and no more."""
    problems: list[str] = []

    def part(read_it: Callable[[], T]) -> T | None:
        try:
            return read_it()
        except InputMissingError:
            return None
        except DataError as error:
            problems.append(str(error))
            return None

    config_path = layout.config_file(path)
    config = part(lambda: documents.read(config_path, dict[str, Any]))
    if config is None and not problems:
        return None
    settings = config or {}
    progress = part(
        lambda: documents.read(layout.progress_file(path), RunProgress, max_bytes=MAX_BYTES)
    )
    best = part(lambda: documents.read(layout.best_file(path), _Best))
    test_top1 = part(lambda: _test_top1(path))
    held = part(lambda: _lease(path))
    metrics = best.metrics if best else {}
    return RunRecord(
        name=_name(path, root),
        path=path,
        state="Damaged" if config is None else _state(path, held, progress),
        top1=_number(metrics.get("top1")),
        top5=_number(metrics.get("top5")),
        test_top1=test_top1,
        dataset=str(settings.get("data") or ""),
        settings={k: v for k, v in settings.items() if isinstance(v, str | int | float | None)},
        problem="; ".join(problems),
        **_of_progress(progress),
    )


def _of_progress(progress: RunProgress | None) -> dict[str, Any]:
    if progress is None:
        return {}
    return {
        "step": progress.step,
        "total_steps": progress.total_steps,
        "images_per_s": progress.examples_per_s or None,
        "gpu_hours": progress.gpu_s / 3600 if progress.gpu_s else None,
        "trained_s": progress.trained_s or None,
        "attempts": progress.attempts or None,
        "started": progress.started,
        "updated": progress.time,
        "by": progress.by,
    }


def _name(path: str, root: str) -> str:
    return path.removeprefix(root.rstrip("/")).strip("/") or path


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _test_top1(path: str) -> float | None:
    """Read one number of a report from its beginning: the matrix behind it has 100 KB."""
    where = layout.metrics_file(layout.report_dir(path))
    found = _TOP1.search(storage.read_bytes(where, 0, _REPORT_HEAD_BYTES))
    return float(found[1]) if found else None


def _lease(path: str) -> Lease:
    where = layout.lease_file(path)
    return lease.parse(storage.read_bytes(where), where)


def _state(path: str, held: Lease | None, progress: RunProgress | None) -> str:
    """Say whether somebody writes into the run; if not, how that ended."""
    if held is not None and not held.released:
        return "Running" if _lease_age_s(path) < STALE_S else "Lost"
    if progress is None:
        return "New"
    if progress.state == "training" and held is None:
        return "Running" if time.time() - progress.time < _QUIET_S else "Lost"
    return "Done" if progress.state == "done" else "Stopped"


def _lease_age_s(path: str) -> float:
    """Give the age of the last sign of life, as far as this machine's clock is right."""
    try:
        written = storage.stat(layout.lease_file(path)).written_at_s
    except JobError:
        return 0.0
    return time.time() - written if written else 0.0
