"""How fast images come, against the article's input pipeline and TensorFlow's bare decoder.

    python -m tests.benchmarks.input_pipeline [--rounds=5] [--images=6144]

All sides take turns in one run on the same photographs; medians count. The article's pipeline is
that of github.com/dkorobchenko/transfer-learning-food: files, one after the other, decoded whole,
cropped at random to a square of the shorter side less 20 px, shrunk by areas to 224 px, as
float32 in batches of 64. Ours does the same crops from records, as uint8. The ceiling is
`tf.io.decode_jpeg` alone, in parallel, of images that lie in memory. Targets on 2 cores: ours on
256 px records at least 2.6 times the article's with AUTOTUNE, and 85 % of its own ceiling.
"""

import argparse
import itertools
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from job.contract.configs import RecordsConfig, TrainConfig
from job.dataset.batches import train_batches
from job.dataset.description import Dataset, load_dataset
from job.dataset.order import Order
from job.dataset.tfrecord import ShardReader, decode_example
from job.making.maker import make_tfrecords

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = Path(os.environ.get("FOOD101_DATA", ROOT.parent / "shared" / "data"))
ARCHIVE = PHOTOGRAPHS / "food-101-10class.tar.gz"
BATCH = 64
SIZE_PX = 224
CORES = len(os.sched_getaffinity(0))


def article_batches(files: list[str], parallel: int | None) -> Iterable[Any]:
    """Build the published pipeline; in parallel and ahead of need if told so."""

    def load(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        side = tf.reduce_min(tf.shape(image)[:2]) - 20
        crop = tf.image.random_crop(image, [side, side, 3])
        return tf.image.resize(crop, [SIZE_PX, SIZE_PX], method="area") / 255.0

    paths = tf.data.Dataset.from_tensor_slices(files).repeat()
    batches = paths.map(load, num_parallel_calls=parallel).batch(BATCH)
    return batches.prefetch(tf.data.AUTOTUNE) if parallel else batches


def decoded_batches(encoded: list[bytes]) -> Iterable[Any]:
    """Decode and throw away: what no pipeline on TensorFlow's decoder can pass."""
    images = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    shapes = images.map(
        lambda one: tf.shape(tf.io.decode_jpeg(one, channels=3)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return shapes.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def our_batches(dataset: Dataset, **options: Any) -> Iterable[Any]:
    """Give a worker's batches; the article's crops unless told otherwise."""
    article = {"crop_margin_px": 20, "crop_min_fraction": 1.0, "flip": False}
    config = TrainConfig(
        data=dataset.path, run="none", global_batch_size=BATCH, **(article | options)
    )
    return train_batches(dataset, config, first_example=0, worker=0, num_workers=1)


def measure(batches: Iterable[Any], images: int) -> tuple[float, float]:
    """(images/s, CPU time per image in us) after the first batch."""
    iterator = iter(batches)
    next(iterator)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in itertools.islice(iterator, images // BATCH):
        pass
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    if hasattr(iterator, "close"):
        iterator.close()
    return images / seconds, cpu_s / images * 1e6


def seek_ms() -> float:
    """Time to find a far batch of a dataset of 100 million examples, order included."""
    start = time.perf_counter()
    Order([20_000] * 5_000, seed=0).positions(10**12, 10**12 + BATCH)
    return (time.perf_counter() - start) * 1e3


def make_dataset(folder: Path, shorter_side: int) -> Dataset:
    """Make records of the archive."""
    output = str(folder / f"records-{shorter_side}")
    make_tfrecords(RecordsConfig(source=str(ARCHIVE), output=output, shorter_side=shorter_side))
    return load_dataset(output)


def stored_images(dataset: Dataset) -> list[bytes]:
    """Read the image files of the train split."""
    shards = dataset.splits["train"].shards
    readers = (ShardReader(dataset.shard_path(shard)) for shard in shards)
    return [decode_example(record).encoded for reader in readers for record in reader]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=6144)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        full, small = make_dataset(folder, 0), make_dataset(folder, 256)
        full_images, small_images = stored_images(full), stored_images(small)
        paths = (folder / "food-101/images").glob("*/*.jpg")
        # The article lists, then shuffles once; the order costs it nothing here.
        files = [str(path) for path in np.random.default_rng(0).permutation(sorted(paths))]
        sides: dict[str, Callable[[], Iterable[Any]]] = {
            "article, as published": lambda: article_batches(files, None),
            "article, AUTOTUNE": lambda: article_batches(files, tf.data.AUTOTUNE),
            "ours, full-size records": lambda: our_batches(full),
            "ours, 256 px records": lambda: our_batches(small),
            "ours, 256 px, default augmentation": lambda: our_batches(
                small, crop_margin_px=0, crop_min_fraction=0.6, flip=True
            ),
            "decoding alone, full size": lambda: decoded_batches(full_images),
            "decoding alone, 256 px": lambda: decoded_batches(small_images),
        }
        found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for number in range(options.rounds + 1):
            for side, batches in sides.items():
                result = measure(batches(), options.images if number else BATCH * 2)
                if number:  # The first round only warms up.
                    found[side].append(result)
    report(found, options)


def report(found: dict[str, list[tuple[float, float]]], options: argparse.Namespace) -> None:
    """Print medians and the ratios that are aimed at."""
    rates = {side: statistics.median(rate for rate, _ in runs) for side, runs in found.items()}
    cpu = {side: statistics.median(cpu for _, cpu in runs) for side, runs in found.items()}
    print(f"{options.images:,} images, {CORES} cores, median of {options.rounds} rounds")
    for side, runs in found.items():
        spread = f"{min(rate for rate, _ in runs):,.0f} to {max(rate for rate, _ in runs):,.0f}"
        print(f"{side:36}{rates[side]:7,.0f} images/s  ({spread:14})  {cpu[side]:6,.0f} us CPU")
    ours, article = "ours, 256 px records", "article, AUTOTUNE"
    for other, target in ((article, 2.6), ("decoding alone, 256 px", 0.85)):
        print(
            f"ours(256) / {other}: {rates[ours] / rates[other]:.2f} by time, "
            f"{cpu[other] / cpu[ours]:.2f} by CPU (target {target})"
        )
    print(f"ours(full) / {article}: {rates['ours, full-size records'] / rates[article]:.2f}")
    print(f"seeking batch 15,625,000,000 in 100 million examples: {seek_ms():.1f} ms")


if __name__ == "__main__":
    main()
