"""Examples of a split by (shard, record), read in parallel from verified local shards."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from job.contract.errors import DataError
from job.dataset import tfrecord
from job.dataset.description import Dataset
from job.dataset.example import parse
from job.dataset.order import Int64s
from job.dataset.shard_cache import ShardCache


@dataclass(frozen=True)
class Examples:
    """Some examples, in the order they were asked for.

    Attributes:
        encoded: Image files.
        labels: int32 [n].
        ids: int64 [n], their places in the split: shards in order, records in order.
    """

    encoded: list[bytes]
    labels: npt.NDArray[np.int32]
    ids: Int64s


class RecordSource:
    """Reads the examples of a split. Safe between threads.

    Args:
        dataset: Where the split is from.
        split_name: `train` or `test`.
        cache: Gives local files of its shards.
        open_shards: Shards kept open; the one not used for longest is closed.
    """

    def __init__(
        self, dataset: Dataset, split_name: str, cache: ShardCache, open_shards: int
    ) -> None:
        split = dataset.split(split_name)
        self._classes = len(dataset.classes)
        self._sizes = np.array(split.shard_sizes, np.int64)
        self._first_ids = np.cumsum(self._sizes) - self._sizes
        self._cache = cache
        self._open_shards = open_shards
        self._readers: OrderedDict[int, tfrecord.ShardReader] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, places: Int64s) -> Examples:
        """Read the examples at int64 [n, 2] of (shard, record).

        Raises:
            DataError: One is damaged; names its shard, record and source.
        """
        found = [self._read_one(place) for place in places]
        return Examples(
            encoded=[encoded for encoded, _ in found],
            labels=np.array([label for _, label in found], np.int32),
            ids=self._first_ids[places[:, 0]] + places[:, 1],
        )

    def prefetch(self, shards: Iterable[int]) -> None:
        """Have shards fetched that will be read soon."""
        self._cache.prefetch(shards)

    def place(self, ids: Int64s) -> Int64s:
        """Turn places in the split, int64 [n], into int64 [n, 2] of (shard, record)."""
        shards = np.searchsorted(np.cumsum(self._sizes), ids, side="right")
        return np.stack([shards, ids - self._first_ids[shards]], axis=1)

    def name(self, place: Int64s) -> str:
        """Name an example in an error: its shard, record and source."""
        shard, record = int(place[0]), int(place[1])
        reader = self._reader(shard)
        source = tfrecord.source_of(reader.read(record))
        return f"{reader.path}: record {record} (source {source})"

    def _reader(self, shard: int) -> tfrecord.ShardReader:
        with self._lock:
            if shard in self._readers:
                self._readers.move_to_end(shard)
                return self._readers[shard]
        # Outside the lock, as it may wait for a download; that two threads open the same shard
        # does no harm.
        reader = self._open(shard)
        with self._lock:
            self._readers[shard] = reader
            while len(self._readers) > self._open_shards:
                self._readers.popitem(last=False)
        return reader

    def _open(self, shard: int) -> tfrecord.ShardReader:
        path = self._cache.local_file(shard)
        _read_ahead(path)
        reader = tfrecord.ShardReader(path)
        if len(reader) != self._sizes[shard]:
            raise DataError(
                f"{path} has {len(reader)} records, but the dataset's description says "
                f"{self._sizes[shard]}; fetch or make this shard again"
            )
        return reader

    def _read_one(self, place: Int64s) -> tuple[bytes, int]:
        serialized = self._reader(int(place[0])).read(int(place[1]))
        try:
            features = parse(serialized)  # The two that training needs; texts are never decoded.
            (encoded,) = features["image/encoded"].bytes_list.value
            (label,) = features["image/class/label"].int64_list.value
        except (DecodeError, ValueError) as error:
            raise DataError(
                f"{self.name(place)}: the example is damaged: {error}; make this shard again"
            ) from error
        if not 0 <= label < self._classes:
            raise DataError(
                f"{self.name(place)}: label {label} is not one of the dataset's {self._classes} "
                "classes; make the dataset again"
            )
        return encoded, label


def _read_ahead(path: str) -> None:
    """Ask the kernel for the whole shard now: records are read in random order, a disk is not."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)
