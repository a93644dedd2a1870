"""Which image goes where: shards partition the images, splits stay put."""

from hypothesis import given, settings
from hypothesis import strategies as st

from job.making.placement import expected_bytes, order_key, plan_shards, split_of


@settings(deadline=None)
@given(
    examples=st.integers(0, 5000),
    first=st.integers(0, 100),
    total=st.floats(0, 1e9),
    size_mb=st.floats(0.01, 1000),
)
def test_shards_cover_every_image_once_in_nearly_equal_parts(
    examples: int, first: int, total: float, size_mb: float
) -> None:
    shards = plan_shards("train", first, examples, total, size_mb)
    positions = [p for shard in shards for p in range(shard.first, shard.last)]
    assert positions == list(range(first, first + examples))
    sizes = {shard.last - shard.first for shard in shards}
    assert not sizes or (max(sizes) - min(sizes) <= 1 and min(sizes) > 0)
    assert len({shard.file for shard in shards}) == len(shards)


def test_shards_get_the_size_asked_for() -> None:
    shards = plan_shards("train", 0, 75_750, 75_750 * 32_000.0, 64)
    assert len(shards) == 38
    assert shards[0].file == "train-00000-of-00038.tfrecord"


def test_the_share_of_test_images_is_the_fraction_asked_for() -> None:
    ids = [f"pie/{number}.jpg" for number in range(20_000)]
    share = sum(split_of(one, 1, 0.2) == "test" for one in ids) / len(ids)
    assert abs(share - 0.2) < 0.02
    assert {split_of(one, 1, 0.0) for one in ids} == {"train"}


def test_seeds_give_other_splits_and_orders() -> None:
    ids = [f"pie/{number}.jpg" for number in range(100)]
    assert [split_of(one, 0, 0.5) for one in ids] != [split_of(one, 1, 0.5) for one in ids]
    assert sorted(ids, key=lambda one: order_key(one, 0)) != sorted(
        ids, key=lambda one: order_key(one, 1)
    )


def test_shrinking_bounds_the_expected_size() -> None:
    assert expected_bytes(50_000, 0, 95) > 50_000
    assert 30_000 < expected_bytes(50_000, 256, 95) < 45_000
    assert expected_bytes(2_000, 256, 95) < 3_000
    assert expected_bytes(50_000, 256, 1) < expected_bytes(50_000, 256, 100)
