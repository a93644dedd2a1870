"""Compressed streams: gzip, bzip2, xz and Zstandard, told apart by their first bytes."""

import bz2
import gzip
import io
import lzma
import zlib
from typing import Any, BinaryIO, cast

from zlib_ng import gzip_ng, zlib_ng

# zlib-ng's stub calls its exception class an instance.
_INFLATE_ERROR = cast("type[Exception]", zlib_ng.error)
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, _INFLATE_ERROR, lzma.LZMAError)
"""What reading a damaged stream raises; bzip2 and Zstandard have a plain OSError."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_MAGIC_BYTES = 6


def compression_of(start: bytes) -> str:
    """Name the compression of a file by its first bytes; empty if it has none."""
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")


def decompressed(file: io.BufferedReader) -> BinaryIO:
    """Undo a stream's compression, whatever it is; the stream itself if it has none."""
    match compression_of(file.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]):
        case "gzip":
            # zlib-ng inflates twice as fast as zlib: this is the one thing that is not parallel.
            return cast("BinaryIO", gzip_ng.GzipNGFile(fileobj=file))  # type: ignore[no-untyped-call]
        case "bzip2":
            return cast("BinaryIO", bz2.BZ2File(file))
        case "xz":
            return cast("BinaryIO", lzma.LZMAFile(file))
        case "zstd":
            return cast("BinaryIO", io.BufferedReader(_Zstandard(file), 1 << 18))
        case _:
            return file


class _Zstandard(io.RawIOBase):
    """A Zstandard stream; pyarrow brings the decoder, which Python has from 3.14 on."""

    def __init__(self, file: io.BufferedReader) -> None:
        import pyarrow

        self._stream: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, "r"), "zstd")

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill a buffer; 0 at the end."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the stream."""
        if not self.closed:
            self._stream.close()
        super().close()
