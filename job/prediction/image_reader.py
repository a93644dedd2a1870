"""The bytes of one listed image, or the reason why there are none.

Files and objects are read in the generation that the listing froze. Archives in tar are read in
ranges; compressed ones are unpacked into a temporary file once, shards in buckets are fetched.
"""

import os
import tempfile
import threading
from typing import Self

from job import storage
from job.contract.errors import DataError, DeniedError
from job.dataset.tfrecord import ShardReader, decode_example
from job.images import archives
from job.images.file_kinds import DECODED, why_undecoded
from job.images.rejected import RejectedError
from job.images.zip_archive import ZipArchive
from job.prediction.listing import Entry, Listing
from job.storage.interface import NotFoundError

MAX_IMAGE_BYTES = 64 << 20
"""Larger files are never taken into memory."""
_SHARDS_KEPT = 4


REASONS = {
    "not_found": "it was not there when the images were listed, or is gone since",
    "changed": "it was replaced since the images were listed",
    "denied": "reading it is not allowed",
    "empty": "it has no bytes",
    "too_large": f"it has more than {MAX_IMAGE_BYTES >> 20} MiB",
    "too_many_pixels": "decoding it would take too much memory",
    "unsupported_format": f"it is none of {', '.join(DECODED)}",
    "damaged": "it cannot be decoded",
    "unreadable_then": "an attempt that was interrupted could not use it",
    "not_finite": "the model gave no finite probabilities for it",
}


class ImageReader:
    """Reads listed images; safe between threads; a context manager.

    Raises (from `read`): RejectedError for what is wrong with one image; StorageUnreachableError
    and DeniedError of a bucket for what would come again with every image.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._scratch = tempfile.TemporaryDirectory(prefix="images-")
        self._lock = threading.Lock()
        self._shards: dict[str, ShardReader] = {}
        self._unpacked = ""
        self._zip: ZipArchive | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shards.clear()
        if self._zip is not None:
            self._zip.close()
        self._scratch.cleanup()

    def read(self, entry: Entry) -> bytes:
        """Return the encoded image."""
        if (why := why_undecoded(entry.name)) is not None:
            raise RejectedError("unsupported_format", why)
        if entry.generation is None:
            raise RejectedError("not_found", "it was not there when the images were listed")
        if entry.size is not None and entry.size > MAX_IMAGE_BYTES:
            raise RejectedError("too_large", f"{entry.size:,} bytes")
        data = self._content(entry)
        if not data:
            raise RejectedError("empty", "no bytes")
        return data

    def _content(self, entry: Entry) -> bytes:
        kind = self._listing.kind
        try:
            if kind in ("dataset", "shard"):
                return self._record(entry)
            if kind == "archive":
                return self._member(entry)
            if kind == "zip":
                return self._zip_member(entry)
            return storage.read_bytes(entry.name, generation=entry.generation)
        except NotFoundError as error:
            path = entry.name.rpartition("#")[0] if entry.place is not None else entry.name
            reason = "changed" if storage.exists(path) else "not_found"
            raise RejectedError(reason, str(error)) from error
        except DeniedError as error:
            if storage.is_remote(entry.name):
                raise
            raise RejectedError("denied", str(error)) from error
        except DataError as error:
            raise RejectedError("damaged", str(error)) from error

    def _record(self, entry: Entry) -> bytes:
        path, _, number = entry.name.rpartition("#")
        with self._lock:
            reader = self._shards.get(path)
            if reader is None:
                reader = self._shards[path] = self._open_shard(path, entry.generation)
        return decode_example(reader.read(int(number))).encoded

    def _open_shard(self, path: str, generation: int | None) -> ShardReader:
        while len(self._shards) >= _SHARDS_KEPT:
            oldest = next(iter(self._shards))
            del self._shards[oldest]
        _check_generation(storage.stat(path), generation)
        if not storage.is_remote(path):
            return ShardReader(path)
        local = os.path.join(self._scratch.name, "shard")
        came = storage.download(path, local)
        try:
            _check_generation(came, generation)
            return ShardReader(local)
        finally:
            os.remove(local)  # What is mapped stays readable.

    def _member(self, entry: Entry) -> bytes:
        archive = self._listing.images
        start, size = entry.place or 0, entry.size or 0
        if archives.is_compressed(archive):
            unpacked = self._unpacked_archive(entry.generation)
            data = storage.read_bytes(unpacked, start, start + size)
        else:
            data = storage.read_bytes(archive, start, start + size, generation=entry.generation)
        if len(data) != size:
            raise RejectedError("damaged", f"{len(data):,} of {size:,} bytes are there")
        return data

    def _zip_member(self, entry: Entry) -> bytes:
        path = self._listing.images
        with self._lock:
            if self._zip is None:
                _check_generation(storage.stat(path), entry.generation)
                self._zip = ZipArchive(path)
            return self._zip.read(entry.place or 0, MAX_IMAGE_BYTES)

    def _unpacked_archive(self, generation: int | None) -> str:
        with self._lock:
            if not self._unpacked:
                _check_generation(storage.stat(self._listing.images), generation)
                path = os.path.join(self._scratch.name, "archive.tar")
                archives.unpack(self._listing.images, path)
                self._unpacked = path
        return self._unpacked


def _check_generation(found: storage.Stat, listed: int | None) -> None:
    if found.generation != listed:
        raise NotFoundError(f"{found.path} was replaced since the images were listed")
