"""Writing planned shards, and remembering the finished ones until the dataset is complete.

A shard's file gets its name when all of it is on disk. Then its note is written, which holds
what dataset.json will need. A shard with a note is finished: nobody makes it again.
"""

import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from job import storage
from job.contract import layout
from job.contract.errors import DataError
from job.dataset.description import Shard
from job.dataset.tfrecord import ShardWriter
from job.making.catalogue import PlannedImage, Reject
from job.making.placement import PlannedShard
from job.making.workers import Outcome
from job.storage import documents
from job.storage.interface import NotFoundError

Fingerprint = Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,128}\Z")]
_MOST_NOTE_BYTES = 1 << 30
"""Of the note of a shard of 4 GB of tiny images."""
_NAMED_REJECTS = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """A shard's note. `fingerprints` are (source_id, hexadecimal digits) of its examples."""

    shard: Shard
    rejects: tuple[Reject, ...]
    fingerprints: tuple[tuple[str, Fingerprint], ...]


class TooManyRejectsError(DataError):
    """More images than allowed cannot be used; `rejects` are those found so far."""

    def __init__(self, message: str, rejects: Sequence[Reject]) -> None:
        super().__init__(message)
        self.rejects = tuple(rejects)


class RejectLimit:
    """Collects rejects and ends the work when there are too many.

    Args:
        images: Number of files the source has.
        max_fraction: Share of them that may be rejected.
    """

    def __init__(self, images: int, max_fraction: float) -> None:
        self._images = images
        self._max_fraction = max_fraction
        self.rejects: list[Reject] = []

    def add(self, rejects: Iterable[Reject]) -> None:
        """Take some in; TooManyRejectsError with the first ones once they are too many."""
        self.rejects.extend(rejects)
        if len(self.rejects) > self._max_fraction * self._images:
            first = "; ".join(
                f"{one.filename or one.source_id}: {one.reason}"
                for one in self.rejects[:_NAMED_REJECTS]
            )
            raise TooManyRejectsError(
                f"{len(self.rejects)} of {self._images} images cannot be used, more than "
                f"--max_reject_fraction={self._max_fraction:g} allows; the first ones: {first}; "
                f"those found so far are in {layout.REJECTS_FILE}",
                self.rejects,
            )


@dataclass(frozen=True, slots=True)
class WrittenShard:
    """A shard that lies complete in a local file of its own, not yet in the dataset."""

    local_file: str
    note: FinishedShard


def write_shard(
    output: str,
    planned: PlannedShard,
    images: Iterable[PlannedImage],
    outcomes: Iterable[Outcome],
    limit: RejectLimit,
) -> WrittenShard:
    """Write one shard into a local file; `commit_shard` puts it into the dataset."""
    rejects: list[Reject] = []
    fingerprints: list[tuple[str, str]] = []
    path = _temporary_file(output, planned.file)
    try:
        with ShardWriter(path) as writer:
            for image, outcome in zip(images, outcomes, strict=True):
                assert image.position == outcome.position
                if outcome.reason:
                    rejects.append(Reject(image.source_id, image.filename, outcome.reason))
                    limit.add(rejects[-1:])
                else:
                    writer.write(outcome.record)
                    fingerprints.append((image.source_id, outcome.fingerprint.hex()))
    except BaseException:
        os.remove(path)
        raise
    shard = Shard(planned.file, writer.records, writer.bytes, writer.sha256)
    return WrittenShard(path, FinishedShard(shard, tuple(rejects), tuple(fingerprints)))


def commit_shard(output: str, written: WrittenShard) -> None:
    """Put a shard into the dataset directory, then remember that it is finished."""
    shard = written.note.shard
    path = storage.join(output, shard.file)
    try:
        # A shard of which every image was rejected does not exist; its note does.
        if shard.records and storage.is_remote(output):
            storage.upload(written.local_file, path)
        elif shard.records:
            os.replace(written.local_file, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(written.local_file)
    documents.write(layout.shard_note(output, shard.file), written.note)


def read_note(output: str, file: str) -> FinishedShard:
    """Read what is known of a finished shard.

    Raises:
        NotFoundError: It is not finished.
        DataError: The note is damaged, or one of another shard.
    """
    path = layout.shard_note(output, file)
    note = documents.read(path, FinishedShard, max_bytes=_MOST_NOTE_BYTES)
    if note.shard.file != file:
        raise DataError(f"{path} is the note of {note.shard.file!r}; delete it and start again")
    return note


def finished_shards(output: str, planned: Iterable[PlannedShard]) -> dict[str, FinishedShard]:
    """Read the notes of those of some shards that are finished and still there, by file name."""
    listed = storage.list_files(layout.building_dir(output))
    notes = {found.path.rpartition("/")[2] for found in listed}
    finished = {}
    for shard in planned:
        if layout.shard_note("", shard.file).rpartition("/")[2] in notes:
            try:
                note = read_note(output, shard.file)
            except DataError as error:
                _log.warning("%s; this shard is made again", error)
                continue
            if _is_intact(output, note.shard):
                finished[shard.file] = note
    return finished


def _is_intact(output: str, shard: Shard) -> bool:
    if not shard.records:
        return True
    try:
        return storage.stat(storage.join(output, shard.file)).size == shard.bytes
    except NotFoundError:
        return False


def _temporary_file(output: str, name: str) -> str:
    """Make an empty file for a shard, where it can be renamed to its place if that is local."""
    remote = storage.is_remote(output)
    folder = tempfile.gettempdir() if remote else layout.building_dir(output)
    os.makedirs(folder, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix=f".{name}.", suffix=".partial", dir=folder)
    os.fchmod(descriptor, 0o666 & ~_umask())
    os.close(descriptor)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
