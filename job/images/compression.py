"""Compressed streams: gzip, bzip2, xz and Zstandard, told apart by their first bytes."""

import bz2
import gzip
import io
import lzma
from typing import Any, BinaryIO, cast

from job.images.unpacked import limited

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


def decompressed(file: "io.BufferedReader[Any]", path: str) -> BinaryIO:
    """Undo a stream's compression, whatever it is; the stream itself if it has none.

    Raises (also where the result is read):
        DataError: It is damaged, or unpacks beyond measure; `path` names it.
    """
    stream: Any
    match compression_of(file.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]):
        case "gzip":
            stream = _gzip(file)
        case "bzip2":
            stream = bz2.BZ2File(file)
        case "xz":
            stream = lzma.LZMAFile(file)  # noqa: SIM115 (closed with what limits it)
        case "zstd":
            stream = _Zstandard(file)
        case _:
            return cast("BinaryIO", file)
    return limited(stream, file.tell, path)


def _gzip(file: "io.BufferedReader[Any]") -> Any:
    """Inflate by zlib-ng, twice as fast as zlib: this is the one thing that is not parallel."""
    try:
        from zlib_ng import gzip_ng
    except ImportError:  # The launcher lists archives too, and has no need of its speed.
        return gzip.GzipFile(fileobj=file)
    return gzip_ng.GzipNGFile(fileobj=file)  # type: ignore[no-untyped-call]


class _Zstandard(io.RawIOBase):
    """A Zstandard stream; pyarrow brings the decoder, which Python has from 3.14 on."""

    def __init__(self, file: "io.BufferedReader[Any]") -> None:
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
