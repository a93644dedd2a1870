"""Zip archives: their files in order, each read whole or in part; never unpacked by their names."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from job import storage
from job.contract.errors import DataError
from job.contract.wording import shown_name

_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file of an archive; `number` is its place in the archive's directory."""

    name: str
    size: int
    number: int


class ZipArchive:
    """An open archive, local or in a bucket, of which ranges are read; a context manager.

    Raises (from everything):
        DataError: The archive is damaged, cut short, encrypted, or compressed in a rare way.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = storage.open_for_reading(path)
        try:
            with self._damage_named():
                self._zip = zipfile.ZipFile(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()
        self._file.close()

    def members(self) -> Iterator[ZipMember]:
        """Yield the files in the order of the archive's directory."""
        for number, info in enumerate(self._zip.infolist()):
            if not info.is_dir():
                yield ZipMember(info.filename.removeprefix("./"), info.file_size, number)

    def read(self, number: int, limit: int) -> bytes:
        """Read the first bytes of a file, `limit` at most."""
        info = self._zip.infolist()[number]
        if info.flag_bits & _ENCRYPTED:
            raise DataError(f"{self._path} is encrypted; unpack it with its password")
        with self._damage_named(), self._zip.open(info) as content:
            return content.read(limit)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise DataError(
                f"{self._path} is damaged, cut short or no zip archive ({shown_name(str(error))})"
            ) from error
