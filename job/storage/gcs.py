"""Google Cloud Storage as storage: parallel ranges, checksums both ways, conditional writes."""

import contextlib
import functools
import io
import mimetypes
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage import Blob

from job.storage import checksum as storage_checksum
from job.storage import content_encoding
from job.storage import local as storage_local
from job.storage.gcs_media import MediaReader
from job.storage.gcs_names import split, split_file
from job.storage.gcs_refusal import Answer, Operation, is_condition
from job.storage.gcs_retry import DamagedTransferError, Policy
from job.storage.gcs_session import RequestCounts, connect, identity
from job.storage.interface import ABSENT, NotFoundError, Patience, Stat
from job.storage.progress_floor import Floor

_LISTED = "items(name,size,generation,crc32c,contentEncoding),nextPageToken"
# The client keeps one chunk in memory, and GCS answers each with about 0.2 s of latency.
_UPLOAD_CHUNK_BYTES = 64 << 20
_ONE_REQUEST_BYTES = 8 << 20  # the client's own limit
_ATTEMPT = "upload-attempt"


class GcsStorage:
    """The `Backend` of gs:// paths. Safe between threads."""

    def __init__(
        self,
        patience: Patience | None = None,
        *,
        billing_project: str = "",
        page_size: int = 1000,
    ) -> None:
        self._page_size = page_size
        self._counts = RequestCounts()
        patience = patience or Patience()
        floor = Floor(patience.floor_bytes_per_s, patience.read_timeout_s)
        self._client, session = connect(self._counts, floor, billing_project)
        self._policy = Policy(patience, functools.partial(identity, session.credentials))
        self._media = MediaReader(self._client, session, self._policy)

    def list_files(self, directory: str) -> Iterator[Stat]:
        """Yield every file below `directory`, sorted by path; nothing where nothing is."""
        bucket, name = split(directory)
        prefix = name.rstrip("/") + "/" if name else None
        with self._policy.errors_of(directory, Operation.LIST):
            for blob in self._client.list_blobs(
                bucket,
                prefix=prefix,
                fields=_LISTED,
                page_size=self._page_size,
                retry=self._policy.retry(directory),
                timeout=self._policy.patience.timeout,
            ):
                # The console marks folders by empty objects whose names end in a slash.
                if not blob.name.endswith("/"):
                    yield _stat_of(blob)

    def list_folders(self, directory: str) -> Iterator[str]:
        """Yield the paths of the folders directly in `directory`; nothing where nothing is."""
        bucket, name = split(directory)
        with self._policy.errors_of(directory, Operation.LIST):
            listed = self._client.list_blobs(
                bucket,
                prefix=name.rstrip("/") + "/" if name else None,
                delimiter="/",
                fields="prefixes,nextPageToken",
                page_size=self._page_size,
                retry=self._policy.retry(directory),
                timeout=self._policy.patience.timeout,
            )
            for page in listed.pages:
                yield from (f"gs://{bucket}/{prefix.rstrip('/')}" for prefix in page.prefixes)

    def stat(self, path: str) -> Stat:
        """Describe the file at `path`."""
        blob = self._blob(path)
        with self._policy.errors_of(path, Operation.READ):
            self._reload(blob, path)
        return _stat_of(blob)

    def read_bytes(
        self, path: str, start: int, end: int | None, generation: int | None = None
    ) -> bytes:
        """Return the bytes [start, end) of a file, or all from `start` on."""
        if end is not None and end <= start:
            return b""
        return self._media.read(path, start, end, generation)

    def read_stored(self, source: Stat, start: int, end: int) -> bytes:
        """Return exactly the stored bytes [start, end) of the object that `source` describes."""
        return self._media.read_stored(source, start, end) if end > start else b""

    def write_bytes(self, path: str, data: bytes, if_generation_match: int | None) -> Stat:
        """Write a whole file."""
        content = _Content(io.BytesIO(data), len(data), storage_checksum.of_bytes(data))
        return self._write(path, content, if_generation_match)

    def download(self, path: str, local_file: str) -> Stat:
        """Copy an object to `local_file`: ranges in parallel, then the checksum of the whole."""

        def attempt() -> Stat:
            source = self.stat(path)
            with (
                storage_local.errors_of(local_file),
                storage_local.atomic_file(local_file, durable=False) as file,
            ):
                if not content_encoding.is_packed(path, source.encoding):
                    self._fetch(source, file.fileno(), file.name)
                    return source
                with tempfile.NamedTemporaryFile(dir=os.path.dirname(file.name)) as stored:
                    self._fetch(source, stored.fileno(), stored.name)
                    content_encoding.unpack_file(path, cast("BinaryIO", stored), file)
            return source

        return self._policy.run(path, Operation.READ, attempt)

    def _fetch(self, source: Stat, descriptor: int, name: str) -> None:
        os.truncate(descriptor, source.size)
        self._media.fill(descriptor, source)
        storage_checksum.verify(source.path, storage_checksum.of_file(name), source.crc32c)

    def upload(
        self,
        local_file: str,
        path: str,
        if_generation_match: int | None,
        crc32c: str | None = None,
    ) -> Stat:
        """Copy a local file to an object."""
        with storage_local.errors_of(local_file), open(local_file, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = _Content(file, size, crc32c or storage_checksum.of_file(local_file))
            return self._write(path, content, if_generation_match)

    def delete(self, path: str, if_generation_match: int | None = None) -> None:
        """Remove an object, of that generation alone if given; one already gone is no error."""
        blob = self._blob(path)
        # A retry whose first answer was lost finds nothing; that is what was asked for.
        with contextlib.suppress(NotFoundError), self._policy.errors_of(path, Operation.DELETE):
            blob.delete(
                if_generation_match=if_generation_match,
                retry=self._policy.retry(path),
                timeout=self._policy.patience.timeout,
            )

    def request_counts(self) -> dict[str, int]:
        """Return the requests sent so far, by kind: list, stat, read, write, delete."""
        return self._counts.snapshot()

    def close(self) -> None:
        """Close all connections."""
        self._media.close()
        self._client.close()

    def _write(self, path: str, content: "_Content", if_generation_match: int | None) -> Stat:
        """Write with GCS checking the content on arrival.

        The object carries a mark of this attempt: when the answer to a conditional write was
        lost, its repetition fails with 412, and the mark tells that the object is our own.
        """
        mark = uuid.uuid4().hex
        condition = if_generation_match

        def attempt() -> Stat:
            nonlocal condition
            blob = self._blob(path)
            blob.metadata = {_ATTEMPT: mark}
            try:
                self._send(blob, path, content, condition)
            except PreconditionFailed as error:
                if not is_condition(Answer.of(error)) or not self._is_marked(blob, path, mark):
                    raise
            except NotFound as error:
                if error.response.request.method == "PUT":
                    raise DamagedTransferError("the upload's session has ended") from error
                raise
            if blob.crc32c != content.crc32c:
                condition = blob.generation
                storage_checksum.verify(path, blob.crc32c, content.crc32c)
            return _stat_of(blob)

        operation = Operation.CREATE if if_generation_match == ABSENT else Operation.OVERWRITE
        return self._policy.run(path, operation, attempt)

    def _send(
        self, blob: Blob, path: str, content: "_Content", if_generation_match: int | None
    ) -> None:
        content.file.seek(0)
        blob.chunk_size = _UPLOAD_CHUNK_BYTES
        blob.upload_from_file(
            content.file,
            size=content.size,
            content_type=mimetypes.guess_type(path)[0] or "application/octet-stream",
            # The client sends the one with small files only, the other with large ones.
            checksum="crc32c" if content.size <= _ONE_REQUEST_BYTES else None,
            crc32c_checksum_value=content.crc32c,
            if_generation_match=if_generation_match,
            retry=self._policy.retry(path),
            timeout=self._policy.patience.timeout,
        )

    def _is_marked(self, blob: Blob, path: str, mark: str) -> bool:
        """Whether what is there now was written by this attempt; it is loaded if so."""
        with contextlib.suppress(NotFound):
            self._reload(blob, path)
            return bool((blob.metadata or {}).get(_ATTEMPT) == mark)
        return False

    def _reload(self, blob: Blob, path: str) -> None:
        blob.reload(retry=self._policy.retry(path), timeout=self._policy.patience.timeout)

    def _blob(self, path: str) -> Blob:
        bucket, name = split_file(path)
        return self._client.bucket(bucket).blob(name)


@dataclass(frozen=True, slots=True)
class _Content:
    file: BinaryIO
    size: int
    crc32c: str


def _stat_of(blob: Blob) -> Stat:
    path = f"gs://{blob.bucket.name}/{blob.name}"
    written_at_s = blob.updated.timestamp() if blob.updated else None
    return Stat(
        path,
        int(blob.size),
        int(blob.generation),
        blob.crc32c,
        written_at_s=written_at_s,
        encoding=blob.content_encoding,
    )
