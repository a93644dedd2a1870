"""What dead attempts leave in a run directory, removed by the next one that holds its lease."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.contract.wording import many
from job.run import manifest as manifests
from job.run.lease import RunLease
from job.run.manifest import STATE_FILE, Manifest
from job.storage import atomic_folder

_log = logging.getLogger(__name__)


def remove(lease: RunLease, last_step: int) -> list[Manifest]:
    """Delete what no attempt will need, and give the manifests of the checkpoints that stay.

    That is: files without a manifest that names them, checkpoints that do not count by the lease,
    and evaluations of steps that are to be taken again.

    Args:
        lease: Of the run directory.
        last_step: The step that training goes on from.
    """
    for folder in (lease.run, layout.checkpoints_dir(lease.run), layout.evaluations_dir(lease.run)):
        atomic_folder.delete_stale_staging(folder)
    removed = 0
    kept = []
    for step, names in _checkpoint_files(lease.run).items():
        manifest = _manifest_that_counts(lease, step, names)
        if isinstance(manifest, Manifest):
            kept.append(manifest)
            names -= {*manifest.files, layout.MANIFEST_FILE, STATE_FILE}
        if manifest is not _DAMAGED:
            removed += _delete(lease, layout.checkpoint_dir(lease.run, step), names)
    for stat in list(storage.list_files(layout.evaluations_dir(lease.run))):
        later = layout.evaluation_step(stat.path)
        if later is not None and later > last_step:
            lease.check()
            storage.delete(stat.path)
    if removed:
        _log.info("removed %s that earlier attempts left unfinished", many(removed, "file"))
    return kept


def remove_everything(lease: RunLease) -> None:
    """Delete what a run wrote before it was overwritten, but for the logs of its attempts.

    Nothing of it counts any more when this is called, so it may end at any point.
    """
    for folder in (
        layout.checkpoints_dir(lease.run),
        layout.evaluations_dir(lease.run),
        layout.logs_dir(lease.run),
        layout.join(lease.run, "notified"),
        layout.report_dir(lease.run),
        layout.model_dir(lease.run),
    ):
        for stat in list(storage.list_files(folder)):
            storage.delete(stat.path)
        if not storage.is_remote(folder):
            shutil.rmtree(folder, ignore_errors=True)  # The folders that are empty now.
        lease.check()
    for path in (layout.follow_up_file(lease.run), layout.progress_file(lease.run)):
        storage.delete(path)


_DAMAGED = object()


def _manifest_that_counts(lease: RunLease, step: int, names: set[str]) -> object:
    """Give a checkpoint's manifest; None if it has none that counts, `_DAMAGED` if nobody knows."""
    if layout.MANIFEST_FILE not in names:
        return None
    path = layout.manifest_file(layout.checkpoint_dir(lease.run, step))
    try:
        manifest = manifests.parse(storage.read_bytes(path), path)
    except InputMissingError:
        return None
    except DataError:
        return _DAMAGED  # For people to look at; it is replaced when its step is taken again.
    return manifest if lease.counts(manifest.writer, step) else None


def _checkpoint_files(run: str) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for stat in storage.list_files(layout.checkpoints_dir(run)):
        *_, folder, name = stat.path.split("/")
        step = layout.checkpoint_step(folder)
        if step is not None:
            found.setdefault(step, set()).add(name)
    return found


def _delete(lease: RunLease, folder: str, names: set[str]) -> int:
    if not names:
        return 0
    lease.check()
    for name in _manifest_first(names):
        storage.delete(layout.join(folder, name))
    if not storage.is_remote(folder):
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # Unless something is left in it.
    return len(names)


def _manifest_first(names: set[str]) -> Iterator[str]:
    yield from sorted(names, key=lambda name: (name != layout.MANIFEST_FILE, name))
