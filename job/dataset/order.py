"""Which example comes when: arithmetic on (shard sizes, seed, position), without any state.

Positions number the endless stream of epochs: epoch e holds positions [e*N, (e+1)*N), and the
global batch after E images is [E, E + B). An epoch visits every example once. It shuffles the
shards, cuts their list into windows of `window_shards`, and shuffles the examples of each window as
a whole: a worker needs one window of shards at a time, so the rest can still be on its way from a
bucket.

Its arithmetic is a keyed permutation of 0..n-1, with random access in constant memory: a Feistel
network (Luby and Rackoff 1988) over the smallest power of two that holds n, at least 32. Results
outside 0..n-1 are sent through it again until they are inside (cycle walking, Black and Rogaway
2002): fewer than two passes on average where n is above 16. The hash is SplitMix64's finaliser.
Both are spelled out, so that an order stays the same under every numpy.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from job.contract.errors import DataError

WINDOW_SHARDS = 16
_LARGEST_SIZE = 2**62
_WINDOW_KEYS = 2**32  # Beyond all shard numbers, which are hashed with the same seed and epoch.
_ROUNDS = 8
_FEWEST_BITS = 5  # A network over less cannot make all orders equally likely.
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]


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


def slice_of_batch(number: int, global_batch_size: int, part: int, parts: int) -> tuple[int, int]:
    """Give the positions [start, stop) of one of `parts` equal, consecutive parts of a batch.

    They are counted from the first of batches that all have the same size.
    """
    size = global_batch_size // parts
    start = number * global_batch_size + part * size
    return start, start + size


def keyed_hash(*values: int | Int64s) -> UInt64s:
    """Hash numbers or broadcastable arrays of numbers into 64 well mixed bits.

    Args:
        values: Non-negative integers; their order matters.

    Returns:
        uint64, of the arrays' broadcast shape; [1] if there are only numbers.
    """
    state = np.zeros(1, np.uint64)
    for value in values:
        if isinstance(value, int):
            part = np.full(1, value & _MASK, np.uint64)
        else:
            part = value.astype(np.uint64)
        state = _mix((state ^ part) + np.uint64(_GOLDEN))
    return state


def uniforms(count: int, *values: int | Int64s) -> npt.NDArray[np.float64]:
    """Draw numbers from [0, 1) that depend on `values` alone, each [n] or a number.

    Returns:
        float64 [n, count].
    """
    keys = keyed_hash(*values)[:, np.newaxis]
    bits = _mix((keys ^ np.arange(1, count + 1, dtype=np.uint64)) + np.uint64(_GOLDEN))
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


def permute(indexes: Int64s, size: int, key: int) -> Int64s:
    """Map indexes in 0..size-1 one to one onto 0..size-1, in an order that only `key` decides.

    Args:
        indexes: int64 [n], each in 0..size-1.
        size: How many there are in all.
        key: Any integer.
    """
    if size == 1:
        return indexes.copy()
    bits = max(_FEWEST_BITS, (size - 1).bit_length())
    keys = keyed_hash(key, np.arange(_ROUNDS))
    result = _feistel(indexes.astype(np.uint64), bits, keys)
    outside = np.flatnonzero(result >= size)
    while outside.size:
        walked = _feistel(result[outside], bits, keys)
        result[outside] = walked
        outside = outside[walked >= size]
    return result.astype(np.int64)


def _feistel(values: UInt64s, bits: int, keys: UInt64s) -> UInt64s:
    """Permute 0..2**bits-1; the halves may differ by a bit, each round changes one by the other."""
    low_bits = np.uint64(bits // 2)
    low_mask = np.uint64((1 << (bits // 2)) - 1)
    high_mask = np.uint64((1 << (bits - bits // 2)) - 1)
    low, high = values & low_mask, values >> low_bits
    for number, key in enumerate(keys):
        if number % 2:
            low = low ^ (_mix(high ^ key) & low_mask)
        else:
            high = high ^ (_mix(low ^ key) & high_mask)
    return (high << low_bits) | low


def _mix(values: UInt64s) -> UInt64s:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
