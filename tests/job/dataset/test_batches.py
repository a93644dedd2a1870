"""Batches: exact, in order, the same for any number of workers, and clear about damage."""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from job import storage
from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.dataset.batches import Batch, evaluation_batches, train_batches
from job.dataset.description import Dataset
from job.dataset.order import WINDOW_SHARDS, Order
from job.dataset.tfrecord import FRAME_BYTES, ShardWriter
from tests.fault_proxy import Fault, FaultProxy
from tests.job.trained_run import make_dataset, noise_jpeg

SIZES = [9, 4, 12]
TOTAL = sum(SIZES)


def small_dataset(folder: Path, encoded: Callable[[int], bytes] = noise_jpeg) -> Dataset:
    made = make_dataset(folder, SIZES, encoded=encoded)
    return dataclasses.replace(
        made, splits={"train": made.splits["test"], "test": made.splits["test"]}
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("dataset"))


def config(**changes: object) -> TrainConfig:
    settings = {"global_batch_size": 12, "image_size_px": 32, "head": "gap"}
    return TrainConfig(data="unused", run="unused", **(settings | changes))  # type: ignore[arg-type]


def take(batches: Iterable[Batch], count: int) -> dict[str, np.ndarray]:
    """Lay the first batches end to end."""
    found = list(itertools.islice(batches, count))
    return {name: np.concatenate([b[name].numpy() for b in found]) for name in found[0]}


def train(
    dataset: Dataset, start: int = 0, steps: int = 4, **changes: object
) -> dict[str, np.ndarray]:
    chosen = config(**changes)
    first = start * chosen.global_batch_size
    batches = train_batches(dataset, chosen, first_example=first, worker=0, num_workers=1)
    return take(batches, steps)


def test_batches_have_the_agreed_form(dataset: Dataset) -> None:
    batch = next(iter(train_batches(dataset, config(), first_example=0, worker=0, num_workers=1)))
    forms = {name: (value.dtype.name, tuple(value.shape)) for name, value in batch.items()}
    assert forms == {
        "images": ("uint8", (12, 32, 32, 3)),
        "labels": ("int32", (12,)),
        "ids": ("int64", (12,)),
    }


def test_every_example_comes_once_an_epoch_with_its_own_label(dataset: Dataset) -> None:
    """25 examples in batches of 12: epochs begin within batches."""
    found = train(dataset, steps=25)
    for epoch in range(12):
        ids = found["ids"][epoch * TOTAL : (epoch + 1) * TOTAL]
        assert sorted(ids.tolist()) == list(range(TOTAL))
    assert np.array_equal(found["labels"], found["ids"] * 3 % 7)


def test_pictures_go_with_their_ids(dataset: Dataset) -> None:
    trained = train(dataset, steps=3, crop_min_fraction=1.0, flip=False)
    seen = take(evaluation_batches(dataset, "test", image_size_px=32, batch_size=25), 1)
    for image, number in zip(trained["images"], trained["ids"], strict=True):
        # The random square lies within 4 px of the central one: no other picture is nearer.
        distances = np.abs(seen["images"].astype(int) - image).mean(axis=(1, 2, 3))
        assert seen["ids"][distances.argmin()] == number


@pytest.mark.parametrize(("workers", "replicas"), [(2, 1), (1, 3), (3, 2), (12, 1)])
def test_any_number_of_workers_makes_the_same_global_batch(
    dataset: Dataset, workers: int, replicas: int
) -> None:
    """Augmentation included: bit for bit what one worker sees."""
    alone = train(dataset, start=3, steps=2, color_jitter=0.3)
    parts = [
        iter(
            train_batches(
                dataset,
                config(color_jitter=0.3),
                first_example=3 * config().global_batch_size,
                worker=worker,
                num_workers=workers,
                local_replicas=replicas,
            )
        )
        for worker in range(workers)
    ]
    in_order = [next(part) for _ in range(2) for part in parts for _ in range(replicas)]
    together = take(in_order, len(in_order))
    for name, values in alone.items():
        assert np.array_equal(together[name], values), name


def test_starting_at_a_step_is_going_on_from_it(dataset: Dataset) -> None:
    through, resumed = train(dataset, steps=7), train(dataset, start=4, steps=3)
    for name, values in resumed.items():
        assert np.array_equal(through[name][4 * 12 :], values), name


def test_an_example_looks_different_in_another_epoch(dataset: Dataset) -> None:
    found = train(dataset, steps=5)
    first, second = (int(np.flatnonzero(found["ids"] == 3)[n]) for n in (0, 1))
    assert not np.array_equal(found["images"][first], found["images"][second])


def test_seeds_change_order_and_pictures(dataset: Dataset) -> None:
    assert not np.array_equal(train(dataset, seed=1)["ids"], train(dataset, seed=2)["ids"])


def test_training_starts_while_shards_that_it_needs_later_are_still_on_their_way(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Only the first window of shards must be there; the rest is being fetched meanwhile."""
    made = make_dataset(tmp_path, [2] * 40)
    split = made.splits["test"]
    for shard in split.shards:
        storage.upload(str(tmp_path / shard.file), f"{faulty_bucket}/{shard.file}")
    remote = dataclasses.replace(made, path=faulty_bucket, splits={"train": split})
    first_window = Order(split.shard_sizes, config().seed).shards_ahead(0)[:WINDOW_SHARDS]
    needed = "|".join(split.shards[number].file for number in first_window)
    later = threading.Event()
    proxy.faults.append(Fault(paths=f"o/(?!{needed}).*alt=media", until=later))
    batches = train_batches(
        remote, config(cache_dir=str(tmp_path)), first_example=0, worker=0, num_workers=1
    )
    with contextlib.closing(iter(batches)) as running:
        first = next(running)
        assert proxy.faults[0].seen > 0
        later.set()
        expected = train(dataclasses.replace(made, splits={"train": split}), steps=1)
        assert np.array_equal(first["images"].numpy(), expected["images"])


def test_evaluation_fetches_ahead(faulty_bucket: str, proxy: FaultProxy, tmp_path: Path) -> None:
    """Shards of later batches are asked for while the first one is being made."""
    made = make_dataset(tmp_path, [2] * 8)
    split = made.splits["test"]
    for shard in split.shards:
        storage.upload(str(tmp_path / shard.file), f"{faulty_bucket}/{shard.file}")
    remote = dataclasses.replace(made, path=faulty_bucket)
    held = threading.Event()
    proxy.faults.append(Fault(paths="alt=media", until=held))
    batches = evaluation_batches(
        remote, "test", image_size_px=32, batch_size=2, cache_dir=str(tmp_path)
    )
    with contextlib.closing(iter(batches)) as running, ThreadPoolExecutor(1) as thread:
        first = thread.submit(next, running)
        while proxy.count("alt=media") < 8:
            time.sleep(0.01)
        held.set()
        assert first.result()["ids"].numpy().tolist() == [0, 1]


def test_a_batch_that_cannot_be_cut_evenly_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="12 is not divisible by 5 replicas; try 10"):
        train_batches(dataset, config(), first_example=0, worker=0, num_workers=5)


@pytest.mark.parametrize("workers", [1, 3, 40])
@pytest.mark.parametrize("batch_size", [4, 25])
def test_evaluation_sees_every_example_once(
    dataset: Dataset, workers: int, batch_size: int
) -> None:
    """Also with more workers than examples; all have equally many batches, all full."""
    ids: list[int] = []
    counts = set()
    for worker in range(workers):
        batches = list(
            evaluation_batches(
                dataset,
                "test",
                image_size_px=32,
                batch_size=batch_size,
                worker=worker,
                num_workers=workers,
            )
        )
        counts.add(len(batches))
        for batch in batches:
            assert batch["images"].shape == (batch_size, 32, 32, 3)
            real = batch["weights"].numpy() == 1
            assert np.array_equal(batch["ids"].numpy() == -1, ~real)
            assert np.array_equal(batch["labels"].numpy()[real], batch["ids"].numpy()[real] * 3 % 7)
            assert not batch["images"].numpy()[~real].any()
            ids += batch["ids"].numpy()[real].tolist()
    assert sorted(ids) == list(range(TOTAL))
    assert len(counts) == 1


def test_evaluation_can_be_iterated_again(dataset: Dataset) -> None:
    batches = evaluation_batches(dataset, "test", image_size_px=32, batch_size=10)
    one, other = take(batches, 3), take(batches, 3)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_leaving_early_ends_the_threads(dataset: Dataset) -> None:
    before = threading.active_count()
    batches = iter(train_batches(dataset, config(), first_example=0, worker=0, num_workers=1))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def both_splits(dataset: Dataset) -> list[Iterable[Batch]]:
    return [
        itertools.islice(
            train_batches(dataset, config(), first_example=0, worker=0, num_workers=1), 3
        ),
        evaluation_batches(dataset, "test", image_size_px=32, batch_size=10),
    ]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """One flipped bit in a picture: shard, record and source, in training and evaluation."""
    dataset = small_dataset(tmp_path)
    path = tmp_path / dataset.splits["train"].shards[1].file
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    for batches in both_splits(dataset):
        with pytest.raises(
            DataError, match=r"test-00001-of-00003.*record 3 \(source test/.*12.jpg"
        ):
            list(batches)


@pytest.mark.parametrize("cut", [0, 40])
def test_an_intact_record_without_an_image_is_named(tmp_path: Path, cut: int) -> None:
    def encoded(number: int) -> bytes:
        return noise_jpeg(number)[:cut] if number == 12 else noise_jpeg(number)

    for batches in both_splits(small_dataset(tmp_path, encoded)):
        with pytest.raises(DataError, match=r"test-00001.*record 3 .*12.jpg\).*not an? .*image"):
            list(batches)


def test_a_record_that_is_no_example_is_named(tmp_path: Path) -> None:
    """Whoever wrote it: its checksum is right, its content is nothing we know."""
    dataset = small_dataset(tmp_path)
    shard = dataset.splits["test"].shards[1]
    with ShardWriter(str(tmp_path / shard.file)) as writer:
        for size in (100, 100, 100, shard.bytes - 300 - 4 * FRAME_BYTES):
            writer.write(b"\xff" * size)
    for batches in both_splits(dataset):
        with pytest.raises(DataError, match=r"test-00001.*record \d .*damaged"):
            list(batches)


def test_a_label_without_a_class_is_named(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    for batches in both_splits(dataclasses.replace(dataset, classes=dataset.classes[:5])):
        with pytest.raises(DataError, match=r"label [56] is not one of the dataset's 5 classes"):
            list(batches)


def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    (tmp_path / dataset.splits["test"].shards[2].file).unlink()
    for batches in both_splits(dataset):
        with pytest.raises(InputMissingError, match="test-00002-of-00003"):
            list(batches)


def test_a_shard_with_other_records_than_described_is_an_error(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    split = dataset.splits["test"]
    shards = (dataclasses.replace(split.shards[0], records=8), *split.shards[1:])
    wrong = dataclasses.replace(split, shards=shards)
    for batches in both_splits(
        dataclasses.replace(dataset, splits={"train": wrong, "test": wrong})
    ):
        with pytest.raises(DataError, match="has 9 records, but the dataset's description says 8"):
            list(batches)
