"""The content of objects, read in parallel ranges.

The client's own readers move 8 KiB at a time in Python, a third of this speed; so contents are
read from the same session with its public media URL, and everything else is left to the client.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import quote

from google.api_core.exceptions import from_http_response
from google.cloud.storage import Client
from requests import Response, Session

from job.contract.errors import ConfigError
from job.storage import checksum, content_encoding
from job.storage.gcs_names import split_file
from job.storage.gcs_refusal import Operation
from job.storage.gcs_retry import DamagedTransferError, Policy
from job.storage.interface import ChangedError, NotFoundError, Stat
from job.storage.media_answer import STORED_ENCODING, Asked, NoLengthError, Promise, promised

_RANGE_BYTES = 32 << 20
_READ_BYTES = 1 << 20
_PARALLEL_RANGES = 16
_MOST_PACKED_BYTES = 64 << 20
"""What is read whole, at most, to give a part of an object that is stored compressed."""
_ANSWERS = (
    HTTPStatus.OK,
    HTTPStatus.PARTIAL_CONTENT,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)


class _PackedError(Exception):
    """A part was asked for of an object whose content must be unpacked."""

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self.size = size


class MediaReader:
    """Reads objects over `session`, asking again as `policy` says."""

    def __init__(self, client: Client, session: Session, policy: Policy) -> None:
        self._endpoint: str = client.api_endpoint
        self._session = session
        self._policy = policy
        self._threads = ThreadPoolExecutor(_PARALLEL_RANGES, "storage-range")

    def read(self, path: str, start: int, end: int | None, generation: int | None = None) -> bytes:
        """Return the bytes [start, end), fewer where the object ends earlier.

        They come from one answer, so they are of one generation, and their number is what that
        answer says; a whole object is verified by its checksum too.

        Raises:
            ChangedError: `generation` is gone.
        """
        asked = Asked(path, start, end, generation)
        try:
            return self._repeat(asked, lambda: self._read(asked))
        except _PackedError as packed:
            return self._part_of_packed(asked, packed.size)

    def read_stored(self, source: Stat, start: int, end: int) -> bytes:
        """Return exactly the stored bytes [start, end), packed or not.

        Raises:
            ChangedError: The generation in `source` is gone.
        """
        asked = Asked(source.path, start, end, source.generation)

        def attempt() -> bytes:
            with self._get(asked) as (response, promise):
                data = b"".join(_pieces(response, promise))
            if len(data) != end - start:
                raise _short(len(data), end - start)
            return data

        return self._repeat(asked, attempt)

    def _repeat(self, asked: Asked, attempt: Callable[[], bytes]) -> bytes:
        try:
            return self._policy.run(asked.path, Operation.READ, attempt)
        except NotFoundError as error:
            if asked.generation is None or isinstance(error, ChangedError):
                raise
            raise ChangedError.of(asked.path, asked.generation) from error

    def _read(self, asked: Asked) -> bytes:
        with self._get(asked) as (response, promise):
            packed = content_encoding.is_packed(asked.path, response.headers.get(STORED_ENCODING))
            if packed and not asked.whole:
                raise _PackedError(promise.size)
            data = b"".join(_pieces(response, promise))
            if promise.end is not None and asked.start + len(data) != promise.end:
                raise _short(len(data), promise.end - asked.start)
            if asked.whole:
                expected = checksum.in_headers(response.headers)
                if promise.end is None and expected is None:
                    raise DamagedTransferError("storage does not say how long the object is")
                checksum.verify(asked.path, checksum.of_bytes(data), expected)
        return content_encoding.unpack(asked.path, data) if packed else data

    def _part_of_packed(self, asked: Asked, size: int | None) -> bytes:
        if size is None or size > _MOST_PACKED_BYTES:
            raise ConfigError(
                f"{asked.path} is stored with Content-Encoding: gzip, so no part of it can be "
                "read, and it is too large to be read whole each time; upload it again without "
                "`gcloud storage cp -z`"
            )
        return self.read(asked.path, 0, None, asked.generation)[asked.start : asked.end]

    def fill(self, descriptor: int, source: Stat) -> None:
        """Write the content of `source` into an open file.

        DamagedTransferError if the object was replaced meanwhile.
        """
        ranges = [
            self._threads.submit(self._fetch_range, source, start, descriptor)
            for start in range(0, source.size, _RANGE_BYTES)
        ]
        try:
            for future in ranges:
                future.result()
        finally:
            _settle(ranges)

    def close(self) -> None:
        """Stop the threads; the session belongs to the client."""
        self._threads.shutdown()

    def _fetch_range(self, source: Stat, start: int, descriptor: int) -> None:
        position, end = start, min(start + _RANGE_BYTES, source.size)

        def attempt() -> None:
            # What arrived before a connection broke is kept; the checksum of the whole decides.
            nonlocal position
            asked = Asked(source.path, position, end, source.generation)
            with self._get(asked) as (response, promise):
                for data in _pieces(response, promise):
                    position += os.pwrite(descriptor, data, position)
            if position != end:
                raise _short(position - asked.start, end - asked.start)

        try:
            self._policy.run(source.path, Operation.READ, attempt)
        except NotFoundError as error:
            raise DamagedTransferError("the object was replaced during its download") from error

    @contextlib.contextmanager
    def _get(self, asked: Asked) -> Iterator[tuple[Response, Promise]]:
        """Ask for a part, and say what the answer's body holds."""
        with contextlib.ExitStack() as stack:
            response = stack.enter_context(self._send(asked, ranged=not asked.whole))
            try:
                promise = promised(asked, response.status_code, response.headers)
            except NoLengthError:
                response = stack.enter_context(self._send(asked, ranged=False))
                promise = promised(asked, response.status_code, response.headers)
            yield response, promise

    def _send(self, asked: Asked, *, ranged: bool) -> Response:
        bucket, name = split_file(asked.path)
        url = f"{self._endpoint}/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        headers = {"Accept-Encoding": "gzip"}  # as stored, without transcoding
        if ranged:
            headers["Range"] = asked.range_header
        response = self._session.request(
            "GET",
            url if asked.generation is None else f"{url}&generation={asked.generation}",
            headers=headers,
            stream=True,
            timeout=self._policy.patience.timeout,
        )
        if response.status_code in _ANSWERS:
            return response
        with response:
            raise from_http_response(response)


def _pieces(response: Response, promise: Promise) -> Iterator[bytes]:
    """Yield the promised bytes of a body, and no others."""
    skip, missing = promise.skip, promise.length
    while missing is None or missing > 0:
        data = response.raw.read1(_READ_BYTES)
        if not data:
            return
        skipped = min(skip, len(data))
        skip -= skipped
        data = data[skipped:] if missing is None else data[skipped : skipped + missing]
        missing = None if missing is None else missing - len(data)
        if data:
            yield data


def _short(came: int, asked: int) -> DamagedTransferError:
    return DamagedTransferError(f"{came:,} of {asked:,} bytes came")


def _settle(futures: list[Future[None]]) -> None:
    """Wait until none runs any more: the file they write to is closed next."""
    for future in futures:
        future.cancel()
    for future in futures:
        if not future.cancelled():
            future.exception()
