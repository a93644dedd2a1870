"""Batches of decoded images, made ahead of need by threads.

A batch is a pure function of its number: where its examples lie (`job/dataset/order.py`), their
bytes (`job/dataset/record_source.py`), their pixels (`job/images/augment.py`,
`job/images/preprocess.py`). So batches are made in parallel and handed out in order, and resuming
is starting at a number.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import tensorflow as tf

from job import storage
from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError, DataError
from job.dataset.batch_memory import BatchMemory, as_tensor
from job.dataset.description import Dataset
from job.dataset.order import WINDOW_SHARDS, Order, slice_of_batch, uniforms
from job.dataset.record_source import Examples, RecordSource
from job.dataset.shard_cache import ShardCache
from job.images.augment import DRAWS, AugmentOptions, Image, decode_for_training
from job.images.preprocess import decode_for_evaluation
from job.process.cores import available_cores

Batch = Mapping[str, tf.Tensor]
_MOST_THREADS = 32
# While one thread holds the interpreter's lock, for a batch's copy into a tensor, others decode.
_MORE_THREADS_THAN_CORES = 2
_BATCHES_IN_HAND = 2


class _Loader(Protocol):
    """Makes batches by their number."""

    def __call__(self, source: RecordSource, number: int) -> Batch: ...

    def fetch_ahead(self, source: RecordSource, number: int) -> None:
        """Have shards fetched that this batch and those after it will need; does not wait."""


class Batches(Iterable[Batch]):
    """Batches in order. Each iteration starts over, with threads and open files of its own.

    An error in a thread comes out of the iterator at the batch that has it, as it was raised.
    """

    def __init__(
        self,
        numbers: Callable[[], Iterator[int]],
        open_source: Callable[[], Any],
        load: _Loader,
    ) -> None:
        self._numbers = numbers
        self._open_source = open_source
        self._load = load

    def __iter__(self) -> Iterator[Batch]:
        threads = min(available_cores() + _MORE_THREADS_THAN_CORES, _MOST_THREADS)
        with self._open_source() as source:
            pool = ThreadPoolExecutor(threads, "input")
            try:
                yield from self._in_order(source, pool, threads + _BATCHES_IN_HAND)
            finally:
                pool.shutdown(cancel_futures=True)

    def _in_order(
        self, source: RecordSource, pool: ThreadPoolExecutor, in_hand: int
    ) -> Iterator[Batch]:
        numbers = self._numbers()
        pending: deque[tuple[int, Future[Batch]]] = deque()
        while True:
            for number in itertools.islice(numbers, in_hand - len(pending)):
                # Asked for by the oldest batch alone: those in the threads, in any order, would
                # have shards of later windows fetched before the ones that are waited for.
                if not pending:
                    self._load.fetch_ahead(source, number)
                pending.append((number, pool.submit(self._load, source, number)))
            if not pending:
                return
            yield pending.popleft()[1].result()
            if pending:
                self._load.fetch_ahead(source, pending[0][0])


def train_batches(
    dataset: Dataset,
    config: TrainConfig,
    *,
    first_example: int,
    worker: int,
    num_workers: int,
    local_replicas: int = 1,
) -> Batches:
    """Give this worker's share of each global batch from an image on, without end.

    Args:
        dataset: Its train split is read.
        config: Batch size, seed, image size, augmentation and cache.
        first_example: Images that were taken before the first batch.
        worker: This worker's number, from 0.
        num_workers: How many there are.
        local_replicas: Elements for one step here; each holds one replica's examples.

    Returns:
        Elements {images: uint8 [b, side, side, 3] RGB, labels: int32 [b], ids: int64 [b]}, b being
        global_batch_size / (num_workers * local_replicas); ids are places in the split. In the
        order of workers and replicas the elements of a step make up the global batch, which
        depends on the dataset, the seed and the step alone.

    Raises:
        ConfigError: The global batch cannot be cut evenly.
        DataError: The split is empty; or, when iterated, a record is damaged.
    """
    replicas = num_workers * local_replicas
    if config.global_batch_size % replicas:
        raise ConfigError(
            f"global_batch_size {config.global_batch_size} is not divisible by {replicas} "
            f"replicas; try {max(1, config.global_batch_size // replicas) * replicas}"
        )
    # Parallelism comes from the threads here; OpenCV's own would only get in their way.
    cv2.setNumThreads(0)
    side = config.image_size_px
    load = _TrainingBatch(
        config=config,
        memory=BatchMemory((config.global_batch_size // replicas, side, side, 3)),
        order=Order(dataset.split("train").shard_sizes, config.seed),
        options=AugmentOptions.of(config),
        first_example=first_example,
        first_part=worker * local_replicas,
        local_parts=local_replicas,
        parts=replicas,
        remote=storage.is_remote(dataset.path),
    )
    return Batches(
        itertools.count,
        lambda: _source(dataset, "train", config.cache_dir, config.cache_size_gb),
        load,
    )


def evaluation_batches(
    dataset: Dataset,
    split: str,
    *,
    image_size_px: int,
    batch_size: int,
    cache_dir: str = "",
    cache_size_gb: float = 0.0,
    worker: int = 0,
    num_workers: int = 1,
) -> Batches:
    """Give this worker's share of a split, every example once over all workers.

    A worker has consecutive examples, so it fetches few shards that others fetch too. All workers
    get the same number of batches of the same size; rows without an example have weight 0,
    label 0, id -1 and a black image.

    Returns:
        {images: uint8 [b, side, side, 3] RGB, labels: int32 [b], ids: int64 [b],
        weights: float32 [b]}, b being batch_size; ids are places in the split.

    Raises:
        DataError: The split is empty; or, when iterated, a record is damaged.
    """
    examples = dataset.split(split).examples
    largest_share = -(-examples // num_workers)
    load = _EvaluationBatch(
        image_size_px=image_size_px,
        batch_size=batch_size,
        first=worker * examples // num_workers,
        end=(worker + 1) * examples // num_workers,
    )
    return Batches(
        lambda: iter(range(-(-largest_share // batch_size))),
        lambda: _source(dataset, split, cache_dir, cache_size_gb),
        load,
    )


@dataclass(frozen=True, kw_only=True)
class _TrainingBatch:
    """Makes the elements of this worker, numbered by step and then by local replica."""

    config: TrainConfig
    memory: BatchMemory
    order: Order
    options: AugmentOptions
    first_example: int
    first_part: int
    local_parts: int
    parts: int
    remote: bool

    def __call__(self, source: RecordSource, number: int) -> Batch:
        positions = self.order.positions(*self._slice(number))
        places = positions[:, 1:]
        examples = source.read(places)
        draws = uniforms(DRAWS, self.config.seed, positions[:, 0], examples.ids)
        images = self.memory.take()
        for row, encoded in enumerate(examples.encoded):
            try:
                decode_for_training(encoded, draws[row], self.options, out=images[row])
            except DataError as error:
                raise DataError(f"{source.name(places[row])}: {error}") from error
        numbers = _to_tensors(labels=examples.labels, ids=examples.ids)
        return {"images": as_tensor(images), **numbers}

    def fetch_ahead(self, source: RecordSource, number: int) -> None:
        if self.remote:
            source.prefetch(self.order.shards_ahead(self._slice(number)[0]))

    def _slice(self, number: int) -> tuple[int, int]:
        """Give the positions [start, stop) of an element's examples."""
        batch, replica = divmod(number, self.local_parts)
        start, stop = slice_of_batch(
            batch, self.config.global_batch_size, self.first_part + replica, self.parts
        )
        return self.first_example + start, self.first_example + stop


@dataclass(frozen=True, kw_only=True)
class _EvaluationBatch:
    """Makes the batches of the examples [first, end) of a split, and full ones without any."""

    image_size_px: int
    batch_size: int
    first: int
    end: int

    def __call__(self, source: RecordSource, number: int) -> Batch:
        start = self._start(number)
        ids = np.arange(start, min(start + self.batch_size, self.end))
        places = source.place(ids)
        examples = source.read(places)
        images = _black(self.batch_size, self.image_size_px)
        if len(ids):
            images[: len(ids)] = _decode(_decoder(self.image_size_px), source, places, examples)
        padding = (0, self.batch_size - len(ids))
        return _to_tensors(
            images=images,
            labels=np.pad(examples.labels, padding),
            ids=np.pad(ids, padding, constant_values=-1),
            weights=np.pad(np.ones(len(ids), np.float32), padding),
        )

    def fetch_ahead(self, source: RecordSource, number: int) -> None:
        start = self._start(number)
        if start < self.end:
            first_shard, last_shard = source.place(np.array([start, self.end - 1]))[:, 0]
            source.prefetch(range(first_shard, last_shard + 1))

    def _start(self, number: int) -> int:
        return min(self.first + number * self.batch_size, self.end)


@contextmanager
def _source(
    dataset: Dataset, split: str, cache_dir: str, cache_size_gb: float
) -> Iterator[RecordSource]:
    shards = dataset.split(split).shards
    with ShardCache(
        dataset.path, shards, cache_dir, cache_size_gb=cache_size_gb, window_shards=WINDOW_SHARDS
    ) as cache:
        yield RecordSource(dataset, split, cache, open_shards=2 * WINDOW_SHARDS)


def _black(count: int, side: int) -> Image:
    return np.zeros((count, side, side, 3), np.uint8)


def _to_tensors(**arrays: Any) -> Batch:
    # On the CPU, whatever else there is: the strategy says which replica's device gets them.
    with tf.device("CPU:0"):
        return {name: tf.constant(array) for name, array in arrays.items()}


@functools.cache
def _decoder(image_size_px: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compile the decoding of a batch, string [n] -> uint8 [n, side, side, 3]."""
    image = tf.TensorSpec([image_size_px, image_size_px, 3], tf.uint8)

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            return tf.map_fn(
                lambda one: decode_for_evaluation(one, image_size_px),
                encoded,
                fn_output_signature=image,
            )

    compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        decode, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    return compiled


def _decode(
    decode: Callable[[tf.Tensor], tf.Tensor],
    source: RecordSource,
    places: Any,
    examples: Examples,
) -> Any:
    try:
        return decode(tf.constant(examples.encoded)).numpy()
    except tf.errors.InvalidArgumentError:
        # The graph's error does not say which image it was.
        for place, encoded in zip(places, examples.encoded, strict=True):
            try:
                decode(tf.constant([encoded]))
            except tf.errors.InvalidArgumentError as error:
                reason = error.message.splitlines()[0]
                raise DataError(f"{source.name(place)}: not an image: {reason}") from error
        raise
