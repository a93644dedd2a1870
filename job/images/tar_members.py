"""The members of a tar stream, from front to back, whatever its headers claim.

Python's tarfile reads a header's claims as they are: a member of 2^50 bytes is skipped for ever, a
long name of 2 GiB is held in memory four times, chains of long names recurse, and sizes that are
negative or overflow leave as ValueError or OverflowError. So this reads the blocks itself and
leaves to tarfile only what it does well: the fields of one block of 512 bytes. Nothing that a
header claims is held in memory, and nothing is ever unpacked by its name.

Formats: POSIX ustar and pax, GNU's long names, and the first Unix versions.
"""

import collections
import logging
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from job.contract.errors import DataError

BLOCK = tarfile.BLOCKSIZE
MAX_NAME_BYTES = 64 << 10
"""The longest name that is read; a member with a longer one is passed over."""
MAX_MEMBERS = 100_000_000
_MAX_SIZE = 1 << 62
_MAX_EXTENSIONS = 64
"""Headers before one member that say more about it: real ones have three at most."""
_MAX_RECORD_DIGITS = 20
_PIECE = 1 << 20
_SPARSE_GOES_ON, _SPARSE_MAP_GOES_ON = 482, 504
"""Where GNU's old sparse headers say that another block of their map follows."""
_FOR_ALL = b"g"
_FOR_NEXT = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_FILES = tarfile.REGULAR_TYPES
_log = logging.getLogger(__name__)

Kind = Literal["file", "folder", "link", "device", "sparse", "nameless", "unknown"]
"""`nameless`: its name is longer than MAX_NAME_BYTES. Of all but files nothing can be read."""
_KINDS: dict[bytes, Kind] = {
    **dict.fromkeys(_FILES, "file"),
    tarfile.DIRTYPE: "folder",
    tarfile.LNKTYPE: "link",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "device",
    tarfile.GNUTYPE_SPARSE: "sparse",
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member of an archive.

    `start` is its first byte in the stream. `read(limit)` gives its next bytes, `limit` at most
    and fewer only at its end, until the next member is asked for.
    """

    name: str
    size: int
    start: int
    kind: Kind
    read: Callable[[int], bytes]


def files(stream: BinaryIO, archive: str) -> Iterator[TarMember]:
    """Yield the regular files of a tar stream; say once what else was passed over.

    Args:
        stream: Gives the tar from its first byte on; what it raises passes through.
        archive: What messages call it.

    Raises:
        DataError: It is no tar, or it is damaged or cut short; also from a member's `read`.
    """
    passed_over: collections.Counter[Kind] = collections.Counter()
    for member in members(stream, archive):
        if member.kind == "file":
            yield member
        elif member.kind != "folder":
            passed_over[member.kind] += 1
    for kind, count in sorted(passed_over.items()):
        _log.info("%s: %s %s passed over", archive, f"{count:,}", _in_words(kind))


def members(stream: BinaryIO, archive: str) -> Iterator[TarMember]:
    """Yield every member of a tar stream, of all kinds; arguments and errors as for `files`."""
    blocks = _Blocks(stream, archive)
    count = 0
    while (member := _next_member(blocks)) is not None:
        count += 1
        if count > MAX_MEMBERS:
            raise DataError(f"{archive} has more than {MAX_MEMBERS:,} members")
        yield member
        blocks.pass_over()
    if not blocks.position:
        raise blocks.damage("it is empty")
    blocks.check_end()


class _Blocks:
    """The stream: where it is, what is left of the member that it is in."""

    def __init__(self, stream: BinaryIO, archive: str) -> None:
        self._stream = stream
        self.archive = archive
        self.position = 0
        self._left = 0
        self._padding = 0

    def begin(self, size: int) -> None:
        """Enter a member's content, which ends on a whole block."""
        self._left, self._padding = size, -size % BLOCK

    def header(self) -> bytes:
        """Read the next header; empty at the end of the stream."""
        block = self._take(BLOCK)
        if block and len(block) < BLOCK:
            raise self.damage("it is cut short within a header")
        return block

    def read(self, limit: int) -> bytes:
        """Read the next bytes of the content."""
        wanted = min(limit, self._left)
        content = self._take(wanted)
        self._left -= len(content)
        if len(content) < wanted:
            raise self.damage("it is cut short within a member")
        return content

    def pass_over(self) -> None:
        """Go on to the next header."""
        while self._left:
            self.read(min(_PIECE, self._left))
        padding, self._padding = self._padding, 0
        if len(self._take(padding)) < padding:
            raise self.damage("it is cut short within a member")

    def check_end(self) -> None:
        """Read what follows the end, so that checksums of compression are verified."""
        while rest := self._take(_PIECE):
            if rest.strip(b"\0"):
                raise self.damage("there is data behind its end")

    def damage(self, what: str) -> DataError:
        return DataError(
            f"{self.archive} is damaged, cut short or no archive: {what}, at byte "
            f"{self.position:,}; get it again"
        )

    def _take(self, wanted: int) -> bytes:
        """Read so many bytes, or all that are left."""
        pieces = []
        while wanted and (piece := self._stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self.position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(slots=True)
class _Extensions:
    """What headers before a member say about it, over its own header."""

    name: bytes | None = None
    too_long: bool = False
    size: int | None = None
    sparse: bool = False


def _next_member(blocks: _Blocks) -> TarMember | None:
    more = _Extensions()
    for _ in range(_MAX_EXTENSIONS):
        header = blocks.header()
        if not header and blocks.position:
            raise blocks.damage("it is cut short: the mark of its end is missing")
        if not header.strip(b"\0"):
            return None
        found = _fields(header, blocks)
        if found.type == tarfile.GNUTYPE_LONGNAME:
            blocks.begin(found.size)
            _read_long_name(blocks, found.size, more)
        elif found.type in _FOR_NEXT:
            blocks.begin(found.size)
            _read_pax(blocks, found.size, more)
        elif found.type in (_FOR_ALL, tarfile.GNUTYPE_LONGLINK):
            blocks.begin(found.size)
        else:
            return _member(blocks, header, found, more)
        blocks.pass_over()
    raise blocks.damage(f"more than {_MAX_EXTENSIONS} headers speak of one member")


def _fields(header: bytes, blocks: _Blocks) -> tarfile.TarInfo:
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise blocks.damage(f"a header is wrong ({error})") from error
    if not 0 <= found.size < _MAX_SIZE:
        raise blocks.damage(f"a member claims {found.size} bytes")
    return found


def _member(blocks: _Blocks, header: bytes, found: tarfile.TarInfo, more: _Extensions) -> TarMember:
    kind = _KINDS.get(found.type, "unknown")
    if kind == "sparse":
        _pass_over_map(header, blocks)
    name = found.name if more.name is None else more.name.decode("utf-8", "surrogateescape")
    if kind == "file" and found.type == tarfile.AREGTYPE and name.endswith("/"):
        kind = "folder"  # As the first versions wrote it.
    if kind == "file" and (more.sparse or more.too_long):
        kind = "sparse" if more.sparse else "nameless"
    size = found.size if more.size is None else more.size
    # Folders and links may state a size, but no content follows them.
    blocks.begin(0 if kind in ("folder", "link", "device") else size)
    readable = kind == "file"
    return TarMember(name, size, blocks.position, kind, blocks.read if readable else _nothing)


def _pass_over_map(header: bytes, blocks: _Blocks) -> None:
    """Go past the blocks in which GNU's old sparse members go on to list their holes."""
    goes_on = header[_SPARSE_GOES_ON]
    while goes_on:
        block = blocks.header()
        if not block:
            raise blocks.damage("it is cut short within a header")
        goes_on = block[_SPARSE_MAP_GOES_ON]


def _nothing(_: int) -> bytes:
    return b""


def _read_long_name(blocks: _Blocks, size: int, more: _Extensions) -> None:
    more.too_long = size > MAX_NAME_BYTES
    more.name = None if more.too_long else blocks.read(size).partition(b"\0")[0]


def _read_pax(blocks: _Blocks, size: int, more: _Extensions) -> None:
    """Read records "LENGTH KEY=VALUE"; long values are passed over piece by piece."""
    left = size
    while left:
        digits = blocks.read(1)
        while not digits.endswith(b" "):
            if len(digits) >= min(_MAX_RECORD_DIGITS, left):
                raise blocks.damage("a pax record has no length")
            digits += blocks.read(1)
        if not digits[:-1].isdigit() or not len(digits) < int(digits) <= left:
            raise blocks.damage("a pax record has a wrong length")
        length = int(digits) - len(digits)
        left -= int(digits)
        start = blocks.read(min(length, MAX_NAME_BYTES))
        rest = length - len(start)
        while rest:
            rest -= len(blocks.read(min(rest, _PIECE)))
        _take_record(blocks, start, len(start) < length, more)


def _take_record(blocks: _Blocks, record: bytes, is_cut: bool, more: _Extensions) -> None:
    key, _, value = record.removesuffix(b"\n").partition(b"=")
    if key == b"path":
        more.name, more.too_long = (None, True) if is_cut else (value, False)
    elif key == b"size":
        if not value.isdigit() or len(value) > _MAX_RECORD_DIGITS or int(value) >= _MAX_SIZE:
            raise blocks.damage("a pax record has a wrong size")
        more.size = int(value)
    elif key.startswith(b"GNU.sparse."):
        more.sparse = True


def _in_words(kind: Kind) -> str:
    words = {"sparse": "sparse files", "nameless": "files with names beyond measure"}
    return words.get(kind, f"{kind}s" if kind != "unknown" else "members of unknown kinds")
