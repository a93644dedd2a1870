"""Keyed hashes and keyed permutations of 0..n-1: random access in constant memory.

The permutation is a Feistel network (Luby and Rackoff 1988) over the smallest power of two that
holds n, at least 32. Results outside 0..n-1 are sent through it again until they are inside (cycle
walking, Black and Rogaway 2002): fewer than two passes on average where n is above 16. The hash is
SplitMix64's finaliser. Both are spelled out, so that an order stays the same under every numpy.
"""

import numpy as np
import numpy.typing as npt

_ROUNDS = 8
_FEWEST_BITS = 5  # A network over less cannot make all orders equally likely.
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]


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
