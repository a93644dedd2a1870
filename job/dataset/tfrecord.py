"""Examples and the shards that hold them.

An example is a `tf.train.Example` with the features of `FEATURES`, written and read here without
TensorFlow: processes that only make records stay small. A shard is a TFRecord file: records of

    length uint64 | masked crc32c of length uint32 | data | masked crc32c of data uint32

(little endian; tensorflow/core/lib/io/record_writer.h). Any TensorFlow program can read it.
"""

import hashlib
import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError

from job.contract.errors import DataError
from job.dataset.example import decode_features, encode_features
from job.storage.interface import NotFoundError

FEATURES: dict[str, type[int] | type[bytes]] = {
    "image/height": int,
    "image/width": int,
    "image/class/label": int,
    "image/class/text": bytes,
    "image/filename": bytes,
    "image/source_id": bytes,
    "image/encoded": bytes,
}
"""Every feature holds one value. height and width are of the upright image in px; label counts
from 0 in the order of dataset.json's classes; texts are UTF-8; encoded is an RGB JPEG file."""

_SOURCE = re.compile(
    rb"\x0a\x0fimage/source_id\x12[\x00-\x7f]\x0a[\x00-\x7f]\x0a([\x00-\x7f])", re.DOTALL
)
"""What stands before a source of less than 124 bytes; the group is its length."""

_LENGTH = struct.Struct("<QI")
_CRC = struct.Struct("<I")
FRAME_BYTES = _LENGTH.size + _CRC.size
"""What a record takes beside its data."""


@dataclass(frozen=True, slots=True)
class ImageExample:
    """One labelled image: the fields of `FEATURES` under short names."""

    encoded: bytes
    height: int
    width: int
    label: int
    class_text: str
    filename: str
    source_id: str


def encode_example(example: ImageExample) -> bytes:
    """Serialise an example; equal examples give equal bytes.

    The image comes last, so that the source of a damaged record can usually still be read.
    """
    return encode_features(
        {
            "image/source_id": example.source_id.encode(),
            "image/filename": example.filename.encode(),
            "image/class/label": example.label,
            "image/class/text": example.class_text.encode(),
            "image/height": example.height,
            "image/width": example.width,
            "image/encoded": example.encoded,
        }
    )


def decode_example(serialized: bytes) -> ImageExample:
    """Read an example back, whoever wrote it; DataError if a feature is missing or damaged."""
    try:
        found = decode_features(serialized)
        return _from_features(found)
    except KeyError as error:
        raise DataError(f"the example has no single value {error.args[0]}") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"the example is damaged: {error}") from error


def _from_features(found: Mapping[str, int | bytes]) -> ImageExample:
    def one(name: str) -> Any:
        if not isinstance(found.get(name), FEATURES[name]):
            raise KeyError(name)
        return found[name]

    return ImageExample(
        encoded=one("image/encoded"),
        height=one("image/height"),
        width=one("image/width"),
        label=one("image/class/label"),
        class_text=one("image/class/text").decode(),
        filename=one("image/filename").decode(),
        source_id=one("image/source_id").decode(),
    )


def masked_crc32c(data: bytes) -> int:
    """Checksum as TFRecord files hold it: rotated, so that a checksum of checksums is sound."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class ShardWriter:
    """Writes a shard into a local file and hashes it on the way; a context manager.

    The file is on disk once the context has been left without an error. Giving it its final
    name is the caller's business.
    """

    def __init__(self, path: str) -> None:
        self.records = 0
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115 (closed in __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        """Hash of all bytes so far, as hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append one record."""
        length = struct.pack("<Q", len(data))
        header = _LENGTH.pack(len(data), masked_crc32c(length))
        for part in (header, data, _CRC.pack(masked_crc32c(data))):
            self._digest.update(part)
            self._file.write(part)
        self.records += 1
        self.bytes += FRAME_BYTES + len(data)


class ShardReader:
    """Random access to the records of a local shard, checked as they are read.

    Opening it walks over the records' headers: about a millisecond for 2,000 records.

    Raises:
        InputMissingError: There is no such file.
        DataError: The file ends within a record, or a header is damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                # An empty file cannot be mapped, and is a shard without records.
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except FileNotFoundError as error:
            raise NotFoundError(f"shard {path} does not exist") from error
        self._starts, self._lengths = self._scan()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[bytes]:
        return (self.read(index) for index in range(len(self)))

    def read(self, index: int) -> bytes:
        """Return a record's data.

        Raises:
            IndexError: There are fewer records.
            DataError: Its checksum is wrong; names the shard, the record and its source.
        """
        start, length = int(self._starts[index]), int(self._lengths[index])
        data = self._data[start : start + length]
        (expected,) = _CRC.unpack_from(self._data, start + length)
        if masked_crc32c(data) != expected:
            raise DataError(
                f"{self.path}: record {index} (source {source_of(data)}) is damaged: its checksum "
                "is wrong; fetch or make this shard again"
            )
        return data

    def _scan(self) -> tuple[np.ndarray, np.ndarray]:
        starts: list[int] = []
        lengths: list[int] = []
        position, end = 0, len(self._data)
        while position < end:
            if position + FRAME_BYTES > end:
                raise self._cut_short(len(starts), end)
            length, crc = _LENGTH.unpack_from(self._data, position)
            if masked_crc32c(self._data[position : position + 8]) != crc:
                raise DataError(
                    f"{self.path}: the header of record {len(starts)} is damaged; "
                    "fetch or make this shard again"
                )
            if position + FRAME_BYTES + length > end:
                raise self._cut_short(len(starts), end)
            starts.append(position + _LENGTH.size)
            lengths.append(length)
            position += FRAME_BYTES + length
        return np.array(starts, np.int64), np.array(lengths, np.int64)

    def _cut_short(self, index: int, size: int) -> DataError:
        return DataError(
            f"{self.path}: the file ends within record {index}, after {size} bytes; "
            "fetch or make this shard again"
        )


def stream_records(stream: BinaryIO, path: str, max_bytes: int) -> Iterator[bytes | None]:
    """Yield the records of a stream from front to back; memory does not depend on what they claim.

    A record that is longer than `max_bytes`, or whose checksum is wrong, is None.

    Args:
        stream: Gives as many bytes as are asked for, fewer only at its end.
        path: What messages call it.
        max_bytes: Longer records are passed over.

    Raises:
        DataError: The stream ends within a record, or a header is damaged: all after it is lost.
    """
    index = 0
    while header := stream.read(_LENGTH.size):
        if len(header) < _LENGTH.size:
            raise _stream_damage(path, index, "the file ends within it")
        length, crc = _LENGTH.unpack(header)
        if masked_crc32c(header[:8]) != crc:
            raise _stream_damage(path, index, "its header's checksum is wrong")
        left = length + _CRC.size
        body = stream.read(left) if length <= max_bytes else b""
        left -= len(body)
        while length > max_bytes and left and (piece := stream.read(min(left, 1 << 20))):
            left -= len(piece)
        if left:
            raise _stream_damage(path, index, "the file ends within it")
        data = body[:length]
        is_sound = body and masked_crc32c(data) == _CRC.unpack_from(body, length)[0]
        yield data if is_sound else None
        index += 1


def _stream_damage(path: str, index: int, what: str) -> DataError:
    return DataError(f"{path} is damaged or no TFRecord file: record {index}: {what}; get it again")


def source_of(data: bytes) -> str:
    """Name the source in a record that may be damaged, or 'unknown'."""
    try:
        found = decode_features(data).get("image/source_id")
    except DecodeError:
        # Where protobuf gives up, the beginning is often whole, and written here it holds this.
        match = _SOURCE.search(data)
        found = data[match.end() :][: match[1][0]] if match else None
    return found.decode(errors="replace") if isinstance(found, bytes) else "unknown"
