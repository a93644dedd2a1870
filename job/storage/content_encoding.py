"""Objects that are stored with Content-Encoding: gzip, as `gcloud storage cp -z` leaves them.

Their content is what comes out after unpacking; size and checksum are of what is stored. They are
asked for as stored, because a part of what storage would unpack on the way cannot be had, and
nothing could be verified. Where the name says that the file itself is compressed (.gz, .tgz), the
stored bytes are that file: uploaders that guess the encoding by the name mean nothing else.
"""

import contextlib
import gzip
import io
import os
import shutil
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from job.contract.errors import DataError

GZIP = "gzip"
MOST_UNPACKED_BYTES = 1 << 30
_COPY_BYTES = 1 << 20
_DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error)


def is_packed(path: str, encoding: str | None) -> bool:
    """Whether an object's content is to be unpacked."""
    return encoding == GZIP and not path.lower().endswith((".gz", ".tgz"))


def unpack(path: str, stored: bytes, most_bytes: int = MOST_UNPACKED_BYTES) -> bytes:
    """Unpack a whole object, `most_bytes` of it.

    Raises:
        DataError: It is not what its metadata says, or larger than an object read into memory.
    """
    with _named(path), gzip.GzipFile(fileobj=io.BytesIO(stored)) as stream:
        content = stream.read(most_bytes)
        if most_bytes == MOST_UNPACKED_BYTES and stream.read(1):
            raise DataError(f"{path} unpacks to more than {MOST_UNPACKED_BYTES:,} bytes")
        return content


def unpack_file(path: str, stored: BinaryIO, target: BinaryIO) -> None:
    """Unpack a file into another; DataError if it is not what its metadata says."""
    with _named(path), gzip.GzipFile(fileobj=stored) as stream:
        shutil.copyfileobj(stream, target, _COPY_BYTES)


class Unpacked(io.RawIOBase):
    """The content of a stream of stored bytes; seeking back starts over.

    Raises DataError where the bytes are not what the object's metadata says.
    """

    def __init__(self, path: str, stored: "io.BufferedReader[io.RawIOBase]") -> None:
        self._path = path
        self._stored = stored
        self._stream = gzip.GzipFile(fileobj=stored)

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def seekable(self) -> bool:
        """Say whether the stored bytes can be read again."""
        return self._stored.seekable()

    def tell(self) -> int:
        """Count the bytes of content before this place."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the content."""
        with _named(self._path):
            return self._stream.seek(offset, whence)

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill a buffer; 0 at the end."""
        with _named(self._path):
            return self._stream.readinto(cast("bytearray", buffer))

    def close(self) -> None:
        """Close the stored bytes as well."""
        if not self.closed:
            self._stream.close()
            self._stored.close()
        super().close()


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"{path} is stored with Content-Encoding: gzip, but its bytes are no whole gzip file "
            f"({error}); if they are the plain content, say so: gcloud storage objects update "
            f"{path} --clear-content-encoding"
        ) from error
