"""Which example comes when: arithmetic on (shard sizes, seed, position), without any state.

Positions number the endless stream of epochs: epoch e holds positions [e*N, (e+1)*N), and global
batch s is [s*B, (s+1)*B). An epoch visits every example once. It shuffles the shards, cuts their
list into windows of `window_shards`, and shuffles the examples of each window as a whole: a
worker needs one window of shards at a time, so the rest can still be on its way from a bucket.
"""

from collections.abc import Sequence

import numpy as np

from job.contract.errors import DataError
from job.dataset.permutation import Int64s, keyed_hash, permute

WINDOW_SHARDS = 16
_LARGEST_SIZE = 2**62
_WINDOW_KEYS = 2**32  # Beyond all shard numbers, which are hashed with the same seed and epoch.


class Order:
    """The order of all epochs. Memory grows with the number of shards alone.

    Args:
        shard_sizes: Number of examples of each shard.
        seed: Non-negative.
        window_shards: How many shards are shuffled into each other.

    Raises:
        DataError: The shards hold no examples.
    """

    def __init__(
        self, shard_sizes: Sequence[int], seed: int, window_shards: int = WINDOW_SHARDS
    ) -> None:
        self._sizes = np.asarray(shard_sizes, np.int64)
        self._filled = np.flatnonzero(self._sizes)
        self._seed = seed
        self._window_shards = window_shards
        self.examples = int(self._sizes.sum())
        if not 0 < self.examples < _LARGEST_SIZE:
            raise DataError(f"{len(shard_sizes)} shards hold {self.examples} examples: no order")

    def positions(self, start: int, stop: int) -> Int64s:
        """Say which examples lie at positions [start, stop) of the stream.

        Returns:
            int64 [stop - start, 3]: epoch, shard, record within the shard.
        """
        parts = [np.zeros((0, 3), np.int64)]
        while start < stop:
            epoch, first = divmod(start, self.examples)
            last = min(first + stop - start, self.examples)
            parts.append(self._within_epoch(epoch, first, last))
            start += last - first
        return np.concatenate(parts)

    def shards_ahead(self, position: int) -> list[int]:
        """List the shards needed from a position on: those of its window, then the next one's."""
        epoch, within = divmod(position, self.examples)
        shards, starts = self._windows(epoch)
        window = int(np.searchsorted(starts, within, side="right")) - 1
        first = window * self._window_shards
        ahead = shards[first : first + 2 * self._window_shards].tolist()
        if window + 1 == len(starts) - 1:
            ahead += self._windows(epoch + 1)[0][: self._window_shards].tolist()
        return list(dict.fromkeys(ahead))

    def _windows(self, epoch: int) -> tuple[Int64s, Int64s]:
        """Give an epoch's order of the shards, and where each window begins, with the end."""
        hashes = keyed_hash(self._seed, epoch, self._filled)
        shards = self._filled[np.argsort(hashes, kind="stable")]
        firsts = np.arange(0, len(shards), self._window_shards)
        sizes = np.add.reduceat(self._sizes[shards], firsts)
        return shards, np.concatenate([[0], np.cumsum(sizes)])

    def _within_epoch(self, epoch: int, first: int, last: int) -> Int64s:
        shards, starts = self._windows(epoch)
        window = int(np.searchsorted(starts, first, side="right")) - 1
        parts = []
        while first < last:
            begin, end = int(starts[window]), int(starts[window + 1])
            wanted = np.arange(first, min(last, end)) - begin
            members = shards[window * self._window_shards : (window + 1) * self._window_shards]
            key = int(keyed_hash(self._seed, epoch, _WINDOW_KEYS + window)[0])
            shuffled = permute(wanted, end - begin, key)
            parts.append(self._locate(epoch, members, shuffled))
            first, window = max(first, min(last, end)), window + 1
        return np.concatenate(parts)

    def _locate(self, epoch: int, members: Int64s, places: Int64s) -> Int64s:
        """Turn places in a window into (epoch, shard, record)."""
        ends = np.cumsum(self._sizes[members])
        member = np.searchsorted(ends, places, side="right")
        records = places - (ends - self._sizes[members])[member]
        return np.stack([np.full_like(places, epoch), members[member], records], axis=1)


def slice_of_batch(step: int, global_batch_size: int, part: int, parts: int) -> tuple[int, int]:
    """Give the positions [start, stop) of one of `parts` equal, consecutive parts of a batch."""
    size = global_batch_size // parts
    start = step * global_batch_size + part * size
    return start, start + size
