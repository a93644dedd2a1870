"""A file in a bucket, read ahead of its reader."""

import io
import random

import pytest

from job import storage
from job.storage.interface import NotFoundError
from job.storage.stream import ReadAhead


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 7_001, 25_000])
def test_the_stream_is_the_file(bucket: str, size: int) -> None:
    """Whatever the sizes of the file, of the blocks and of the reads are."""
    path = storage.join(bucket, "file")
    content = random.Random(size).randbytes(size)
    storage.write_bytes(path, content)
    with io.BufferedReader(ReadAhead(path, block_bytes=1000), 64) as stream:
        first = stream.read(10)
        assert stream.tell() == len(first)
        parts = [first, stream.read(1500), stream.read()]
    assert b"".join(parts) == content


def test_a_stream_can_be_left_early(bucket: str) -> None:
    path = storage.join(bucket, "file")
    storage.write_bytes(path, bytes(20_000))
    with ReadAhead(path, block_bytes=1000) as stream:
        assert stream.read(5) == bytes(5)


def test_a_file_that_is_not_there_is_known_at_once(bucket: str) -> None:
    with pytest.raises(NotFoundError):
        ReadAhead(storage.join(bucket, "none"))
