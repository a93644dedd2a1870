"""JSON files in storage, read and written by their schema (`job/contract/schema.py`)."""

from collections.abc import Collection
from typing import TypeVar

from job import storage
from job.contract import schema

T = TypeVar("T")


def read(
    path: str,
    kind: type[T],
    *,
    formats: Collection[int] = (),
    max_bytes: int = schema.MAX_BYTES,
) -> T:
    """Read the file at `path` as a value of `kind`; of a larger one no more than a byte too much.

    Raises:
        NotFoundError: There is none.
        DataError: It holds something else; the line names the file and the key.
    """
    content = storage.read_bytes(path, 0, max_bytes + 1)
    return schema.read(content, kind, what=path, formats=formats, max_bytes=max_bytes)


def write(
    path: str, value: object, *, if_absent: bool = False, if_generation_match: int | None = None
) -> storage.Stat:
    """Write a value so that `read` gives it back; conditions as in `storage.write_bytes`."""
    return storage.write_bytes(
        path, schema.write(value), if_absent=if_absent, if_generation_match=if_generation_match
    )
