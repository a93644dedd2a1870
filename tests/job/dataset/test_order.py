"""The order of examples: every one once an epoch, cut the same way for any number of workers."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract.errors import DataError
from job.dataset.order import Order, keyed_hash, permute, slice_of_batch, uniforms

sizes = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any)
seeds = st.integers(0, 2**31 - 1)
windows = st.integers(1, 5)


def all_records(shard_sizes: list[int]) -> set[tuple[int, int]]:
    return {(s, r) for s, size in enumerate(shard_sizes) for r in range(size)}


@settings(deadline=None)
@given(sizes, seeds, windows, st.integers(0, 10**6))
def test_an_epoch_holds_every_example_once(
    shard_sizes: list[int], seed: int, window: int, epoch: int
) -> None:
    order = Order(shard_sizes, seed, window)
    total = order.examples
    positions = order.positions(epoch * total, (epoch + 1) * total)
    assert set(positions[:, 0].tolist()) == {epoch}
    places = [(shard, record) for _, shard, record in positions.tolist()]
    assert len(places) == total
    assert set(places) == all_records(shard_sizes)


@settings(deadline=None)
@given(sizes, seeds, windows, st.integers(0, 500), st.lists(st.integers(0, 60), max_size=6))
def test_any_cut_of_the_stream_gives_the_same_stream(
    shard_sizes: list[int], seed: int, window: int, start: int, lengths: list[int]
) -> None:
    """Pieces may begin anywhere and cross epochs: nothing is remembered between calls."""
    order = Order(shard_sizes, seed, window)
    ends = list(itertools.accumulate(lengths, initial=start))
    pieces = [order.positions(a, b) for a, b in itertools.pairwise(ends)]
    whole = Order(shard_sizes, seed, window).positions(start, ends[-1])
    assert np.array_equal(np.concatenate([np.zeros((0, 3), np.int64), *pieces]), whole)


@given(st.integers(0, 10**9), st.integers(1, 64), st.sampled_from([1, 2, 3, 4, 8]))
def test_the_workers_slices_are_the_global_batch(step: int, per_worker: int, workers: int) -> None:
    batch = per_worker * workers
    slices = [slice_of_batch(step, batch, worker, workers) for worker in range(workers)]
    covered = [position for start, stop in slices for position in range(start, stop)]
    assert covered == list(range(step * batch, (step + 1) * batch))


@settings(deadline=None, max_examples=40)
@given(sizes, seeds, windows)
def test_only_one_window_of_shards_is_needed_at_a_time(
    shard_sizes: list[int], seed: int, window: int
) -> None:
    """While a window's examples last, no other shard is touched, and it was announced before."""
    order = Order(shard_sizes, seed, window)
    shards = order.positions(0, 2 * order.examples)[:, 1].tolist()
    for epoch in range(2):
        part = shards[epoch * order.examples : (epoch + 1) * order.examples]
        first_seen = list(dict.fromkeys(part))
        last_place = {shard: place for place, shard in enumerate(part)}
        for number, shard in enumerate(first_seen):
            later = first_seen[number + window :]
            assert all(part.index(other) > last_place[shard] for other in later)
    for position in range(0, len(shards) - 1, 7):
        ahead = order.shards_ahead(position)
        assert shards[position] in ahead
        assert shards[position + 1] in ahead
        assert len(ahead) == len(set(ahead))


def test_seeds_and_epochs_give_different_orders() -> None:
    def places(seed: int, epoch: int) -> list[list[int]]:
        order = Order([50] * 8, seed)
        found: list[list[int]] = order.positions(epoch * 400, (epoch + 1) * 400)[:, 1:].tolist()
        return found

    orders = [places(seed, epoch) for seed in range(3) for epoch in range(3)]
    for one, other in itertools.combinations(orders, 2):
        same = sum(a == b for a, b in zip(one, other, strict=True))
        assert same < 15  # 1 expected by chance


def test_a_batch_mixes_the_shards_of_its_window() -> None:
    """Each of 25 batches draws from 16 shards about evenly, as a full shuffle would."""
    positions = Order([100] * 16, seed=5).positions(0, 1600)
    counts = np.array(
        [np.bincount(batch, minlength=16) for batch in positions[:, 1].reshape(25, 64)]
    )
    assert np.all(counts.sum(axis=0) == 100)
    # The variance of hypergeometric counts: 4 * (15 / 16) * (1536 / 1599) = 3.6.
    assert 2.5 < counts.var() < 5


def test_neighbours_in_a_shard_are_not_neighbours_in_the_order() -> None:
    records = Order([20_000], seed=1).positions(0, 20_000)[:, 2]
    assert abs(np.corrcoef(records[:-1], records[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(records, np.arange(20_000))[0, 1]) < 0.03
    assert np.mean(np.abs(np.diff(records)) == 1) < 0.001


def test_a_far_step_of_a_huge_dataset_needs_little_memory() -> None:
    """Seeking computes; it neither walks there nor lays an epoch out."""
    order = Order([20_000] * 5_000, seed=3)
    positions = order.positions(10**15, 10**15 + 64)
    assert positions[0, 0] == 10**15 // 10**8
    assert len(np.unique(positions[:, 1:], axis=0)) == 64


def test_the_order_never_changes() -> None:
    """A run resumed with a later version must go on in the same order."""
    assert Order([5, 0, 7, 3], seed=11, window_shards=2).positions(12, 18).tolist() == [
        [0, 0, 2],
        [0, 0, 0],
        [0, 0, 4],
        [1, 2, 2],
        [1, 2, 4],
        [1, 2, 0],
    ]


def test_no_examples_is_an_error() -> None:
    with pytest.raises(DataError, match="2 shards hold 0 examples"):
        Order([0, 0], seed=0)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64))
def test_a_permutation_maps_one_to_one(size: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


def test_all_orders_of_four_are_about_equally_likely() -> None:
    found = Counter(tuple(permute(np.arange(4), 4, key).tolist()) for key in range(960))
    assert len(found) == 24
    chi_squared = sum((count - 40) ** 2 / 40 for count in found.values())
    assert chi_squared < 50  # 23 expected; above 50 once in 1,000 times


def test_draws_are_even_and_independent() -> None:
    draws = uniforms(4, 7, np.arange(20_000), np.full(20_000, 3))
    assert draws.shape == (20_000, 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.allclose(draws.mean(axis=0), 0.5, atol=0.01)
    assert np.allclose(draws.var(axis=0), 1 / 12, atol=0.003)
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03


def test_a_hash_depends_on_the_order_of_its_values() -> None:
    assert keyed_hash(1, 2) != keyed_hash(2, 1)
    assert keyed_hash(0) != keyed_hash(0, 0)
