"""Whether an answer is the part of the object that was asked for. Pure: headers in, facts out.

A server, or a proxy before it, may send another generation, less than was asked for, or the whole
object where a part was asked for, and each with a status that means success.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from job.contract.errors import ConfigError
from job.storage import content_range
from job.storage.gcs_retry import DamagedTransferError
from job.storage.interface import ChangedError

MOST_SKIPPED_BYTES = 32 << 20
"""What is read in vain, at most, where a whole object comes instead of a part."""
GENERATION = "X-Goog-Generation"
STORED_ENCODING = "X-Goog-Stored-Content-Encoding"


@dataclass(frozen=True, slots=True)
class Asked:
    """The bytes [start, end) of an object; all from `start` on without `end`."""

    path: str
    start: int = 0
    end: int | None = None
    generation: int | None = None

    @property
    def whole(self) -> bool:
        """Whether no part was asked for."""
        return self.start == 0 and self.end is None

    @property
    def range_header(self) -> str:
        """The value of the Range header."""
        return f"bytes={self.start}-{'' if self.end is None else self.end - 1}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What an answer's body holds.

    Attributes:
        skip: Bytes before those asked for.
        length: Bytes that follow and were asked for; None if the answer ends where it ends.
        end: Where in the object the bytes asked for end; None if nothing tells.
        size: Bytes of the whole object; None if nothing tells.
    """

    skip: int
    length: int | None
    end: int | None
    size: int | None


class NoLengthError(Exception):
    """416 without the object's size: only a request for the whole object tells what is so."""


def promised(asked: Asked, status: int, headers: Mapping[str, str]) -> Promise:
    """Compare the head of a successful answer with the request.

    Args:
        asked: What was asked for.
        status: 200, 206 or 416.
        headers: Of the answer.

    Raises:
        DamagedTransferError: It is the answer to something else.
        ChangedError: It is of another generation.
        ConfigError: The server sends whole objects only, and this one is large.
        NoLengthError: It says that nothing is there, but not how long the object is.
    """
    _check_generation(asked, headers)
    if status == HTTPStatus.PARTIAL_CONTENT:
        return _of_part(asked, headers)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _of_nothing(asked, headers)
    return _of_whole(asked, headers)


def _check_generation(asked: Asked, headers: Mapping[str, str]) -> None:
    came = headers.get(GENERATION, "")
    if asked.generation is not None and came.isdecimal() and int(came) != asked.generation:
        raise ChangedError.of(asked.path, asked.generation)


def _of_part(asked: Asked, headers: Mapping[str, str]) -> Promise:
    text = headers.get("Content-Range", "")
    part = content_range.parse(text)
    if part is None or part.first is None or part.last is None:
        raise DamagedTransferError(f"storage answers 206 with Content-Range {text!r}")
    end = _end(asked, part.size)
    if part.first != asked.start or (end is not None and part.last >= end):
        raise DamagedTransferError(f"storage sends {text} where {asked.range_header} was asked for")
    if end is None:
        raise DamagedTransferError("storage does not say how long the object is")
    return Promise(skip=0, length=part.last + 1 - part.first, end=end, size=part.size)


def _of_nothing(asked: Asked, headers: Mapping[str, str]) -> Promise:
    part = content_range.parse(headers.get("Content-Range", ""))
    if part is None or part.size is None:
        raise NoLengthError
    if part.size > asked.start:
        raise DamagedTransferError(f"storage has {part.size} bytes, but none from {asked.start} on")
    return Promise(skip=0, length=0, end=asked.start, size=part.size)


def _of_whole(asked: Asked, headers: Mapping[str, str]) -> Promise:
    text = headers.get("Content-Length", "")
    size = int(text) if text.isdecimal() else None
    end = _end(asked, size)
    length = None if end is None else max(0, end - asked.start)
    if length != 0 and asked.start > MOST_SKIPPED_BYTES:
        raise ConfigError(
            f"{asked.path}: storage sends the whole object where a part was asked for; a proxy "
            "before it may drop the Range header: reach the bucket without it"
        )
    if end is None and not asked.whole:
        raise DamagedTransferError("storage does not say how long the object is")
    # A file that ends before its asked start has nothing to skip either.
    return Promise(
        skip=asked.start if length != 0 else 0,
        length=length,
        end=None if end is None else max(end, asked.start),
        size=size,
    )


def _end(asked: Asked, size: int | None) -> int | None:
    if size is None:
        return asked.end
    return size if asked.end is None else min(asked.end, size)
