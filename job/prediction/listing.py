"""Which images a prediction is about: listed once, frozen, and cut into parts.

The names go, sorted, into files of a folder of the attempt that lists them; `listing.json`, which
only the first attempt can write, makes one of these folders the listing. From then on nothing
that is added to the images or replaced among them changes what is predicted, and any number of
tasks, at any time, see the same parts. Memory holds one file of names, however many there are.
"""

import gzip
import hashlib
import io
import json
import logging
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

from msgspec import Meta

from job import storage
from job.contract import layout
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.contract.schema import Count, PlainName, Sha256, Word
from job.contract.wording import shown_name
from job.images.file_kinds import ending_of
from job.storage import documents
from job.storage.interface import NotFoundError, PreconditionError

FORMAT = 1
NAMES_PER_FILE = 1 << 16
SMALLEST_PART, LARGEST_PART = 16, 4096
_MOST_IMAGES = 10**10
_MOST_NAMES_BYTES = 1 << 30
"""What one file of names may unpack to: 16 KB for every name in it."""
_PARTS_PER_TASK = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a listing.

    Attributes:
        name: Its path; in an archive or a shard, that file's path, `#` and its name there.
        size: Bytes, if known.
        generation: Of the file when it was listed; None if it was not there.
        place: Where it lies in its archive (first byte) or in its shard (number of the record).
    """

    name: str
    size: int | None = None
    generation: int | None = None
    place: int | None = None

    def to_line(self) -> bytes:
        """Write the entry as one line."""
        values = [self.name, self.size, self.generation, self.place]
        # Local names can hold bytes that are no UTF-8; ASCII with escapes carries them.
        return json.dumps(values, separators=(",", ":")).encode() + b"\n"


class Tally:
    """Counts the files of a source, by ending: those that are seen, and those that are no images.

    Each file is an entry of the listing or passed over.
    """

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()

    def pass_over(self, name: str) -> None:
        """Count a file that is no image."""
        self.passed_over[ending_of(name)] += 1


@dataclass(frozen=True, slots=True)
class Found:
    """What a source says it is, and its entries; `tally` is whole once they have been taken."""

    kind: str
    entries: Iterator[Entry]
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, kw_only=True)
class _StoredListing:
    """The content of listing.json; see `Listing`. `parts` is told to people only."""

    format: int = FORMAT
    images: Word
    kind: Word
    attempt: PlainName
    count: Annotated[int, Meta(ge=1, le=_MOST_IMAGES)]
    bytes: Count
    part_size: Annotated[int, Meta(ge=1, le=LARGEST_PART)]
    sha256: Sha256
    parts: Count
    passed_over: Mapping[Word, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """A frozen listing.

    Attributes:
        output: The predictions directory that holds it.
        images: What was listed, as --images named it.
        kind: What that is: `folder`, `glob`, `list`, `dataset`, `shard` or `archive`.
        attempt: Name of the folder with the files of names.
        count: Number of entries.
        bytes: Size of all images whose size is known.
        part_size: Entries in every part but the last.
        sha256: Of all lines.
        passed_over: Number of files that are no images, by their ending.
    """

    output: str
    images: str
    kind: str
    attempt: str
    count: int
    bytes: int
    part_size: int
    sha256: str
    passed_over: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.count // self.part_size)

    def part_range(self, part: int) -> range:
        """Give the numbers of a part's entries."""
        return range(part * self.part_size, min((part + 1) * self.part_size, self.count))

    def parts_of_task(
        self, task: int, num_tasks: int, among: Sequence[int] | None = None
    ) -> Sequence[int]:
        """Give a task its parts: neighbours, so that files of names are read once.

        Args:
            task: Its number.
            num_tasks: How many tasks there are.
            among: The parts that they share; all parts if not given.
        """
        shared = range(self.parts) if among is None else among
        return shared[task * len(shared) // num_tasks : (task + 1) * len(shared) // num_tasks]


class NamesReader:
    """Reads the entries of parts; keeps the file of names that it read last."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._number = -1
        self._lines: list[bytes] = []

    def entries(self, part: int) -> list[Entry]:
        """Give the entries of one part.

        Raises:
            DataError: The files of names are not what the listing says.
        """
        return [_entry(self._line(number)) for number in self._listing.part_range(part)]

    def _line(self, number: int) -> bytes:
        file, line = divmod(number, NAMES_PER_FILE)
        if file != self._number:
            path = layout.names_file(self._listing.output, self._listing.attempt, file)
            self._lines = _unpacked(storage.read_bytes(path), path).splitlines()
            self._number = file
        try:
            return self._lines[line]
        except IndexError:
            raise DataError(
                f"the listing in {self._listing.output} is cut short; choose another --output"
            ) from None


def part_size(count: int, num_tasks: int) -> int:
    """Choose how many images a part has: a few parts for each task, none of them huge."""
    wanted = -(-count // (num_tasks * _PARTS_PER_TASK))
    return max(SMALLEST_PART, min(LARGEST_PART, wanted))


def load(output: str) -> Listing | None:
    """Read the frozen listing of a predictions directory; None if there is none yet.

    Raises:
        DataError: The file is not a listing of this version.
    """
    try:
        stored = documents.read(layout.listing_file(output), _StoredListing, formats=(FORMAT,))
    except NotFoundError:
        return None
    except DataError as error:
        raise DataError(f"{error}; choose another --output") from error
    return Listing(
        output=output,
        images=stored.images,
        kind=stored.kind,
        attempt=stored.attempt,
        count=stored.count,
        bytes=stored.bytes,
        part_size=stored.part_size,
        sha256=stored.sha256,
        passed_over=stored.passed_over,
    )


def freeze(output: str, images: str, find: Callable[[str], Found], num_tasks: int) -> Listing:
    """Give the listing of a predictions directory; list the images if nobody has.

    Any number of tasks may do this at once: one wins, and all return what it wrote.

    Args:
        output: Predictions directory.
        images: What to list.
        find: Lists it; called only if there is no listing yet.
        num_tasks: How many tasks will share the work, for the size of the parts.

    Raises:
        ConfigError: The directory has a listing of other images.
        InputMissingError: There are no images.
    """
    images = same_path(images)
    listing = load(output) or _freeze(output, images, find, num_tasks)
    if same_path(listing.images) != images:
        raise ConfigError(
            f"{output} holds predictions for {listing.images}, not for {images}; "
            "choose another --output"
        )
    return listing


def same_path(path: str) -> str:
    """Write a folder's path in one way: PATH/ is PATH."""
    short = path.rstrip("/")
    return path if not short or short.endswith(":") else short


def in_words(endings: Mapping[str, int]) -> str:
    """Write counts by ending, the most first: 3 .txt, 1 .db; empty if there are none."""
    ordered = sorted(endings.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(
        f"{number:,} {shown_name(ending) or 'without ending'}" for ending, number in ordered
    )


def new_entries(listing: Listing, entries: Iterable[Entry]) -> int:
    """Count the entries that are there now and were not when the listing was frozen.

    Both are sorted, so neither has to fit into memory.
    """
    names = NamesReader(listing)
    listed = (one.name for part in range(listing.parts) for one in names.entries(part))
    known = next(listed, None)
    new = 0
    for entry in entries:
        while known is not None and known < entry.name:
            known = next(listed, None)
        new += known != entry.name
    return new


def _freeze(output: str, images: str, find: Callable[[str], Found], num_tasks: int) -> Listing:
    found = find(images)
    attempt = uuid.uuid4().hex
    written = _Written()
    for number, lines in enumerate(_chunks(found.entries, written)):
        storage.write_bytes(
            layout.names_file(output, attempt, number), gzip.compress(lines, 1, mtime=0)
        )
        if (other := load(output)) is not None:
            _drop(output, attempt)
            return other
        if number:
            _log.info("listing %s: %s images so far", images, f"{written.count:,}")
    if not written.count:
        there = in_words(found.tally.passed_over)
        raise InputMissingError(
            f"{images} has no images{f', only {there}' if there else ''}; check the path and the "
            "names' endings"
        )
    listing = Listing(
        output=output,
        images=images,
        kind=found.kind,
        attempt=attempt,
        count=written.count,
        bytes=written.bytes,
        part_size=part_size(written.count, num_tasks),
        sha256=written.digest.hexdigest(),
        passed_over={
            ending: number for ending, number in sorted(found.tally.passed_over.items()) if number
        },
    )
    return _publish(listing)


def _publish(listing: Listing) -> Listing:
    stored = _StoredListing(
        images=listing.images,
        kind=listing.kind,
        attempt=listing.attempt,
        count=listing.count,
        bytes=listing.bytes,
        part_size=listing.part_size,
        sha256=listing.sha256,
        parts=listing.parts,
        passed_over=listing.passed_over,
    )
    try:
        documents.write(layout.listing_file(listing.output), stored, if_absent=True)
    except PreconditionError:
        _drop(listing.output, listing.attempt)
        other = load(listing.output)
        if other is None:
            raise
        return other
    return listing


def drop_other_attempts(listing: Listing) -> None:
    """Delete the names that attempts left which did not win."""
    mine = layout.names_file(listing.output, listing.attempt, 0).rpartition("/")[0]
    final = layout.listing_file(listing.output)
    for stat in list(storage.list_files(layout.listing_dir(listing.output))):
        if not stat.path.startswith(mine + "/") and stat.path != final:
            storage.delete(stat.path)


class _Written:
    """Counts what goes into the files of names."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.digest = hashlib.sha256()


def _chunks(entries: Iterable[Entry], written: _Written) -> Iterator[bytes]:
    stream = iter(entries)
    while chunk := list(islice(stream, NAMES_PER_FILE)):
        lines = b"".join(entry.to_line() for entry in chunk)
        written.count += len(chunk)
        written.bytes += sum(entry.size or 0 for entry in chunk)
        written.digest.update(lines)
        yield lines


def _unpacked(content: bytes, path: str) -> bytes:
    """Undo gzip, of a file that may claim to be anything."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            lines = file.read(_MOST_NAMES_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}; choose another --output") from error
    if len(lines) > _MOST_NAMES_BYTES:
        raise DataError(f"{path} unpacks to more than a listing has; choose another --output")
    return lines


def _entry(line: bytes) -> Entry:
    # Not the schema layer's decoder: names can hold lone surrogates, which only json reads.
    try:
        name, size, generation, place = json.loads(line)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"the listing is damaged ({error}); choose another --output") from error
    numbers = (size, generation, place)
    if not isinstance(name, str) or not all(
        number is None or (type(number) is int and 0 <= number < 1 << 63) for number in numbers
    ):
        raise DataError("the listing is damaged (an entry is none); choose another --output")
    return Entry(name, size, generation, place)


def _drop(output: str, attempt: str) -> None:
    folder = layout.names_file(output, attempt, 0).rpartition("/")[0]
    for stat in list(storage.list_files(folder)):
        storage.delete(stat.path)
