"""TFRecords as TensorFlow Datasets (TFDS) writes them: Examples with an image and a label.

A dataset's folder holds `food101-train.tfrecord-00000-of-00032` and its like, `features.json`,
`dataset_info.json` and, for a label of named classes, `label.labels.txt` with a name in each line.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from google.protobuf.message import DecodeError

from job import storage
from job.contract.errors import DataError
from job.contract.wording import shown_name
from job.dataset.example import decode_features
from job.dataset.tfrecord import stream_records
from job.images.list_columns import Columns, of_keys
from job.making import label_names
from job.making.containers import Progress
from job.making.shard_source import Content, Entry, ShardFile
from job.storage.stream import ReadAhead

SHARD_NAME = re.compile(r"\.tfrecords?(-[0-9]+-of-[0-9]+)?$")
"""What names of shards end with, in lower case."""
NAMES_ENDING = ".labels.txt"
"""Of the file that names the classes of a feature; before it stands the feature's name."""

_MAX_RECORD_BYTES = 80 << 20
"""More than the largest image file that is taken, with what stands beside it."""
_FILENAMES = ("file_name", "filename", "image/filename")
_NAMED = 12


class TfdsRecords:
    """Shards of Examples.

    Args:
        shards: The files.
        columns: Features that were asked for.
        names: Of classes, by the feature whose numbers stand for them.
    """

    kind = "TFRecords, as TFDS writes them"

    def __init__(
        self, shards: Sequence[ShardFile], columns: Columns, names: Mapping[str, list[str]]
    ) -> None:
        self._shards = shards
        self._columns = columns
        self._all_names = names
        self._features: tuple[str, str] | None = None
        self._numbers = False

    def entries(self, progress: Progress) -> Iterator[Entry]:
        """Yield all records; see `ShardFormat`."""
        for ordinal, name, shard, record in self._records(progress):
            yield self._entry(ordinal, name, shard, record)

    def contents(self) -> Iterator[Content]:
        """Yield all records once more with their images; see `ShardFormat`."""
        for ordinal, name, _, record in self._records(lambda _: None):
            image = b""
            if record is not None and self._features is not None:
                found = _decoded(record).get(self._features[0])
                image = found if isinstance(found, bytes) else b""
            yield Content(ordinal, name, lambda limit, image=image: image[:limit])  # type: ignore[misc]

    def remark(self, classes: Sequence[str]) -> str:
        """Say which names no record has, and that numbers have none."""
        return label_names.remark(self._names(), classes, numbers=self._numbers)

    def _records(self, progress: Progress) -> Iterator[tuple[int, str, ShardFile, bytes | None]]:
        ordinal = done = 0
        for shard in self._shards:
            with _opened(shard.path) as stream:
                records = stream_records(stream, shard.path, _MAX_RECORD_BYTES)
                for number, record in enumerate(records):
                    progress(done + stream.tell())
                    yield ordinal, f"{shard.name}/{number}", shard, record
                    ordinal += 1
            done += shard.size

    def _entry(self, ordinal: int, name: str, shard: ShardFile, record: bytes | None) -> Entry:
        found: Mapping[str, Any] = {}
        fault = "the record is damaged or beyond measure" if record is None else ""
        if record is not None:
            found = _decoded(record)
            fault = "" if found else "the record is no Example"
        if found and self._features is None:
            self._features = self._choose(found, shard.path)
        if fault or self._features is None:
            return Entry(ordinal, name, name, "", shard.split, 0, fault)
        image, value = found.get(self._features[0]), found.get(self._features[1])
        label, fault = self._label(value)
        if not isinstance(image, bytes):
            image, fault = b"", fault or "the record has no image"
        return Entry(ordinal, name, _filename(found) or name, label, shard.split, len(image), fault)

    def _label(self, value: Any) -> tuple[str, str]:
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                return "", "the label is not UTF-8"
        self._numbers = self._numbers or isinstance(value, int)
        return label_names.label_text(value, self._names())

    def _names(self) -> list[str] | None:
        return None if self._features is None else self._all_names.get(self._features[1])

    def _choose(self, found: Mapping[str, Any], path: str) -> tuple[str, str]:
        """Choose the features of the image and the label; DataError names those that are there."""
        named = next(iter(self._all_names)) if len(self._all_names) == 1 else ""
        asked = Columns(
            self._columns.path or ("image" if "image" in found else ""),
            self._columns.label or (named if named in found else ""),
        )
        places = of_keys(path, dict.fromkeys(sorted(found)), asked, labelled=True)
        if not isinstance(found[places.path], bytes):
            there = ", ".join(shown_name(one[:40]) for one in sorted(found)[:_NAMED])
            raise DataError(
                f"{path}: feature {places.path!r} holds no image file; its records have {there}"
            )
        return places.path, places.label


def _filename(found: Mapping[str, Any]) -> str:
    for key in _FILENAMES:
        value = found.get(key)
        if isinstance(value, bytes) and value:
            return value.decode("utf-8", "replace").rpartition("/")[2]
    return ""


def _decoded(record: bytes) -> Mapping[str, Any]:
    """Give the single values of an Example; nothing if it is none."""
    try:
        return decode_features(record)
    except DecodeError:
        return {}


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    # Compression is not looked for: a record's length may begin as its marks do.
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    with io.BufferedReader(cast("io.RawIOBase", raw), 1 << 20) as file:
        yield cast("BinaryIO", file)
