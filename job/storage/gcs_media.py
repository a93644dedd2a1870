"""The content of objects, read in parallel ranges.

The client's own readers move 8 KiB at a time in Python, a third of this speed; so contents are
read from the same session with its public media URL, and everything else is left to the client.
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import quote

from google.api_core.exceptions import from_http_response
from google.cloud.storage import Client
from requests import Response, Session

from job.storage import checksum
from job.storage.gcs_names import split_file
from job.storage.gcs_retry import DamagedTransferError, Operation, Policy
from job.storage.interface import NotFoundError, Stat

_RANGE_BYTES = 32 << 20
_READ_BYTES = 1 << 20
_PARALLEL_RANGES = 16
_RANGE_BEYOND_END = 416


class MediaReader:
    """Reads objects over `session`, asking again as `policy` says."""

    def __init__(self, client: Client, session: Session, policy: Policy) -> None:
        self._endpoint: str = client.api_endpoint
        self._session = session
        self._policy = policy
        self._threads = ThreadPoolExecutor(_PARALLEL_RANGES, "storage-range")

    def read(self, path: str, start: int, end: int | None, generation: int | None = None) -> bytes:
        """Return the bytes [start, end); a whole object is verified by its checksum."""
        whole = start == 0 and end is None

        def attempt() -> bytes:
            with self._get(path, None if whole else (start, end), generation) as response:
                if response.status_code == _RANGE_BEYOND_END:
                    return b""
                data = bytes(response.raw.read(decode_content=False))
                if whole:
                    expected = checksum.in_headers(response.headers)
                    checksum.verify(path, checksum.of_bytes(data), expected)
                return data

        return self._policy.run(path, Operation.READ, attempt)

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
            with self._get(source.path, (position, end), source.generation) as response:
                while data := response.raw.read(_READ_BYTES, decode_content=False):
                    position += os.pwrite(descriptor, data, position)
            if position != end:
                raise DamagedTransferError(f"{end - position} bytes did not arrive")

        try:
            self._policy.run(source.path, Operation.READ, attempt)
        except NotFoundError as error:
            raise DamagedTransferError("the object was replaced during its download") from error

    @contextlib.contextmanager
    def _get(
        self, path: str, span: tuple[int, int | None] | None, generation: int | None = None
    ) -> Iterator[Response]:
        bucket, name = split_file(path)
        url = f"{self._endpoint}/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        headers = {"Accept-Encoding": "gzip"}  # as stored, without transcoding
        if span is not None:
            start, end = span
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with self._session.request(
            "GET",
            url if generation is None else f"{url}&generation={generation}",
            headers=headers,
            stream=True,
            timeout=self._policy.patience.timeout,
        ) as response:
            if response.status_code not in (200, 206, _RANGE_BEYOND_END):
                raise from_http_response(response)
            yield response


def _settle(futures: list[Future[None]]) -> None:
    """Wait until none runs any more: the file they write to is closed next."""
    for future in futures:
        future.cancel()
    for future in futures:
        if not future.cancelled():
            future.exception()
