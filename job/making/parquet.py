"""Parquet as Hugging Face's datasets write it: a column of images, one of labels.

Images are a struct of `bytes` and `path`, or plain binary. Labels are texts, or numbers whose
names are in the schema's metadata, in a description beside the files, or nowhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from job import storage
from job.contract.errors import DataError
from job.contract.wording import shown_name
from job.images.list_columns import Columns, of_keys
from job.images.lists import split_named
from job.making import label_names
from job.making.containers import Progress
from job.making.shard_source import Content, Entry, ShardFile

_ROWS_AT_ONCE = 16
"""Images of so many rows are in memory together."""
_LABELS_AT_ONCE = 4096
_READ_BYTES = 4 << 20
_NAMED = 12
_IMAGES = "images (a struct of bytes and path, or binary)"


@dataclass(frozen=True, slots=True)
class _Schema:
    """The columns that are read, and the names of numbered classes (None: there are none)."""

    image: str
    is_struct: bool
    has_path: bool
    label: str
    split: str | None
    names: list[str] | None

    @property
    def content(self) -> str:
        """The column that holds the bytes."""
        return f"{self.image}.bytes" if self.is_struct else self.image


class Parquet:
    """Parquet files of one schema.

    Args:
        shards: The files.
        columns: Columns that were asked for.
        descriptions: Paths of files beside them that may name the classes.
    """

    kind = "Parquet, as Hugging Face writes it"

    def __init__(
        self, shards: Sequence[ShardFile], columns: Columns, descriptions: Sequence[str]
    ) -> None:
        self._shards = shards
        self._columns = columns
        self._descriptions = descriptions
        self._names: list[str] | None = None
        self._numbers = False

    def entries(self, progress: Progress) -> Iterator[Entry]:
        """Yield all rows, of which only labels and paths are read; see `ShardFormat`."""
        first = done = 0
        known: _Schema | None = None
        for shard in self._shards:
            progress(done)
            with _opened(shard.path) as file:
                schema = self._understand(file, shard.path)
                if known is not None and schema.names != known.names:
                    raise DataError(
                        f"{shard.path} names its classes differently than {self._shards[0].path}"
                    )
                known = schema
                self._names = schema.names
                yield from self._rows(file, shard, schema, first)
                first += file.metadata.num_rows
            done += shard.size
        progress(done)

    def contents(self) -> Iterator[Content]:
        """Yield all rows with their images; see `ShardFormat`."""
        ordinal = 0
        for shard in self._shards:
            with _opened(shard.path) as file:
                content = self._understand(file, shard.path).content
                row = 0
                for batch in _batches(file, [content], _ROWS_AT_ONCE):
                    for value in _leaf(batch.column(0)):
                        yield Content(ordinal, f"{shard.name}/{row}", _reader(value))
                        row += 1
                        ordinal += 1

    def remark(self, classes: Sequence[str]) -> str:
        """Say which names no row has, and that numbers have none."""
        return label_names.remark(self._names, classes, numbers=self._numbers)

    def _rows(self, file: Any, shard: ShardFile, schema: _Schema, first: int) -> Iterator[Entry]:
        columns = [schema.label, *([schema.split] if schema.split else [])]
        columns += [f"{schema.image}.path"] if schema.has_path else []
        row = 0
        sizes = _sizes(file.metadata, schema.content)
        for batch in _batches(file, columns, _LABELS_AT_ONCE):
            values = {name: _leaf(batch.column(name)).to_pylist() for name in batch.schema.names}
            for number in range(batch.num_rows):
                name = f"{shard.name}/{row}"
                path = values[schema.image][number] if schema.has_path else None
                yield self._entry(
                    first + row,
                    name,
                    path.rpartition("/")[2] if isinstance(path, str) and path else name,
                    values[schema.label][number],
                    (shard.split, values[schema.split][number] if schema.split else None),
                    schema.names,
                    next(sizes),
                )
                row += 1

    def _entry(
        self,
        ordinal: int,
        name: str,
        filename: str,
        value: Any,
        splits: tuple[str | None, Any],
        names: list[str] | None,
        size: int,
    ) -> Entry:
        label, fault = label_names.label_text(value, names)
        self._numbers = self._numbers or isinstance(value, int)
        split, said = splits
        if split is None and said is not None:
            split = split_named(said)
            fault = fault or ("" if split else f"unknown split {shown_name(said[:40])!r}")
        return Entry(ordinal, name, filename, label, split, size, fault)

    def _understand(self, file: Any, path: str) -> _Schema:
        """Choose the columns; DataError names those that are there."""
        import pyarrow.types as types

        schema = file.schema_arrow
        images = _image_columns(schema)
        if not images or len(set(schema.names)) < len(schema.names):
            why = "two columns have one name" if images else f"no column holds {_IMAGES}"
            raise DataError(f"{path}: {why}; it has {_described(schema)}")
        asked = self._columns
        wanted = Columns(
            asked.path or (images[0] if len(images) == 1 else ""), asked.label, asked.split
        )
        places = of_keys(path, dict.fromkeys(schema.names), wanted, labelled=True)
        image, label = schema.field(places.path), schema.field(places.label)
        kind = label.type.value_type if types.is_dictionary(label.type) else label.type
        if image.name not in images or not (_is_text(kind) or types.is_integer(kind)):
            raise DataError(
                f"{path}: column {image.name!r} must hold {_IMAGES}, and {label.name!r} one number "
                f"or text; it has {_described(schema)}"
            )
        is_struct = _is_struct(image.type)
        has_path = is_struct and image.type.get_field_index("path") >= 0
        names = None if _is_text(kind) else self._class_names(schema, label.name, path)
        split = places.split
        if split is not None and not _is_text(schema.field(split).type):
            split = None
        return _Schema(image.name, is_struct, has_path, label.name, split, names)

    def _class_names(self, schema: Any, label: str, path: str) -> list[str] | None:
        names = label_names.of_schema(schema.metadata, label, path)
        for description in self._descriptions:
            if names is None:
                content = storage.read_bytes(description, 0, _READ_BYTES)
                names = label_names.of_description(content, label, description)
        return names


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open a file; what pyarrow finds wrong with it, then or later, is a DataError."""
    import pyarrow
    import pyarrow.parquet

    with storage.open_for_reading(path) as stream:
        try:
            # Pages are read as they are needed: a row group of images may be gigabytes.
            with pyarrow.parquet.ParquetFile(
                stream, buffer_size=_READ_BYTES, pre_buffer=False
            ) as file:
                yield file
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and type(error) is not OSError:
                raise  # Of the storage; those of pyarrow's decoders are plain.
            text = shown_name(str(error).partition("\n")[0][:200])
            raise DataError(f"{path} is damaged, cut short or no Parquet ({text})") from error


def _batches(file: Any, columns: Sequence[str], rows: int) -> Iterator[Any]:
    batches: Iterator[Any] = file.iter_batches(rows, columns=list(columns), use_threads=False)
    return batches


def _leaf(column: Any) -> Any:
    """Go from a struct, of which one field was read, to that field."""
    import pyarrow

    if not pyarrow.types.is_struct(column.type):
        return column
    (field,) = column.flatten()
    return field


def _reader(value: Any) -> Any:
    """Give the function that reads a row's bytes; none are there where the image is a mere path."""

    def read(limit: int) -> bytes:
        buffer = value.as_buffer()
        return b"" if buffer is None else bytes(memoryview(buffer)[:limit])

    return read


def _sizes(metadata: Any, content: str) -> Iterator[int]:
    """Give about the size of each row's image: the mean of its row group, which the footer has."""
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group)
        chunks = [found.column(number) for number in range(found.num_columns)]
        size = sum(one.total_uncompressed_size for one in chunks if one.path_in_schema == content)
        for _ in range(found.num_rows):
            yield size // found.num_rows


def _image_columns(schema: Any) -> list[str]:
    """Name the columns that may hold images: structs with bytes, else those of bytes alone."""
    structs = [field.name for field in schema if _is_struct(field.type)]
    return structs or [field.name for field in schema if _is_binary(field.type)]


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_struct(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_struct(kind)) and any(
        kind.field(number).name == "bytes" and _is_binary(kind.field(number).type)
        for number in range(kind.num_fields)
    )


def _described(schema: Any) -> str:
    shown = [f"{shown_name(field.name[:40])} ({str(field.type)[:60]})" for field in schema][:_NAMED]
    return ", ".join(shown) or "no columns"
