"""crc32c, the checksum that Google Cloud Storage keeps of every object, in its base64 text."""

import base64
import hashlib
import re
from collections.abc import Mapping

import google_crc32c

from job.storage.gcs_retry import DamagedTransferError

_READ_BYTES = 1 << 20


class Running:
    """The checksum of content that comes piece by piece."""

    def __init__(self) -> None:
        self._value = 0

    def add(self, data: bytes) -> None:
        """Take the next piece in."""
        self._value = google_crc32c.extend(self._value, data)

    @property
    def text(self) -> str:
        """The checksum of all pieces so far."""
        return _base64(self._value)


def of_bytes(data: bytes) -> str:
    """Return the checksum of `data`."""
    return _base64(google_crc32c.value(data))


def of_file(local_file: str) -> str:
    """Return the checksum of a local file's content."""
    checksum = Running()
    with open(local_file, "rb") as file:
        while data := file.read(_READ_BYTES):
            checksum.add(data)
    return checksum.text


def of_file_with_sha256(local_file: str) -> tuple[str, str]:
    """Return the checksum of a local file's content, and its SHA-256 in hex, from one reading."""
    checksum, digest = Running(), hashlib.sha256()
    with open(local_file, "rb") as file:
        while data := file.read(_READ_BYTES):
            checksum.add(data)
            digest.update(data)
    return checksum.text, digest.hexdigest()


def in_headers(headers: Mapping[str, str]) -> str | None:
    """Return the whole object's checksum as an answer's headers state it."""
    match = re.search(r"crc32c=([^, ]+)", headers.get("X-Goog-Hash", ""))
    return match[1] if match else None


def verify(path: str, actual: str, expected: str | None) -> None:
    """Raise DamagedTransferError unless both are equal.

    Objects with customer-supplied encryption have no public checksum (None).
    """
    if expected is not None and actual != expected:
        raise DamagedTransferError(
            f"{path} was damaged on its way: crc32c {actual}, not {expected}"
        )


def _base64(checksum: int) -> str:
    return base64.b64encode(checksum.to_bytes(4, "big")).decode("ascii")
