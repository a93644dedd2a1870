"""Running a model over a split: every example counted exactly once, on one worker or many.

Each worker scores its slice of the split; only sums of integers travel between workers, so that
what is counted is what a single worker counts, partial batches and idle workers included.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from job.contract.configs import TrainConfig
from job.dataset import batches as input_pipeline
from job.dataset.batches import Batch
from job.dataset.description import Dataset
from job.distributed.cluster import Cluster
from job.distributed.vote import Vote
from job.evaluation.counts import Int64Array, Tally, count
from job.evaluation.metrics import judge
from job.images.preprocess import subtract_mean
from job.model.precision import Precision
from job.model.vgg19 import VGG19, Forward

BATCH_SIZE = 32
"""Images a replica scores at once during training. The same on any number of workers, because the
last bits of a logit depend on the size of its batch."""


@dataclass(frozen=True)
class Predictions:
    """What a model said about examples.

    Attributes:
        ids: int64 [examples], places in the split.
        labels: int64 [examples], true classes.
        logits: float32 [examples, classes].
    """

    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationResult:
    """The counts over all workers, and this worker's own predictions."""

    classes: tuple[str, ...]
    tally: Tally
    predictions: Predictions
    precision: str

    @property
    def examples(self) -> int:
        """Number of examples counted."""
        return self.tally.examples

    @property
    def metrics(self) -> Mapping[str, float]:
        """The numbers that curves and checkpoints keep: top1, top5, loss and ece."""
        quality = judge(self.tally)
        numbers = {
            "top1": quality.top1.value,
            "top5": quality.top5.value,
            "loss": quality.loss,
            "ece": quality.ece,
        }
        return {name: value for name, value in numbers.items() if value is not None}


def score(network: VGG19, images: tf.Tensor, compute_dtype: tf.DType) -> Forward:
    """Run the network on decoded images: the one path of evaluation, export and prediction.

    Args:
        network: The network.
        images: uint8 [batch, side, side, 3], RGB as `preprocess.decode_for_evaluation` gives it.
        compute_dtype: Of the activations.
    """
    return network.forward(subtract_mean(images), training=False, compute_dtype=compute_dtype)


class Scorer:
    """Scores batches on this worker's replicas; compiled once, usable for many passes.

    Args:
        network: The network, made in the strategy's scope.
        compute_dtype: Of the activations.
        strategy: Where the network's variables live.
        local_replicas: Replicas of this worker.
    """

    def __init__(
        self,
        network: VGG19,
        compute_dtype: tf.DType,
        strategy: tf.distribute.Strategy,
        local_replicas: int,
    ) -> None:
        self._num_classes = network.num_classes
        self._strategy = strategy
        self._local_replicas = local_replicas

        def replica(images: tf.Tensor) -> tf.Tensor:
            return score(network, images, compute_dtype).logits

        @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
        def scores(images: Any) -> Any:
            return strategy.run(replica, (images,))

        self._scores = scores

    def predict(self, batches: Iterable[Batch]) -> Predictions:
        """Score all batches of this worker, without the examples that only fill a batch up."""
        ids, labels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        logits = [np.zeros((0, self._num_classes), np.float32)]
        for group in self._groups(batches):
            for batch, scores in zip(group, self._score_group(group), strict=True):
                counts = batch["weights"].numpy() > 0
                ids.append(batch["ids"].numpy()[counts])
                labels.append(batch["labels"].numpy()[counts].astype(np.int64))
                logits.append(scores.numpy()[counts])
        return Predictions(np.concatenate(ids), np.concatenate(labels), np.concatenate(logits))

    def _score_group(self, group: Sequence[Batch]) -> Sequence[tf.Tensor]:
        parts = iter(group)
        images = self._strategy.experimental_distribute_values_from_function(
            lambda _: next(parts)["images"]
        )
        results: Sequence[tf.Tensor] = self._strategy.experimental_local_results(
            self._scores(images)
        )
        return results

    def _groups(self, batches: Iterable[Batch]) -> Iterator[list[Batch]]:
        """Cut into groups of one batch for each replica, the last filled up with ignored ones."""
        remaining = iter(batches)
        while group := list(itertools.islice(remaining, self._local_replicas)):
            ignored = dict(group[0]) | {"weights": tf.zeros_like(group[0]["weights"])}
            yield group + [ignored] * (self._local_replicas - len(group))


class JointEvaluation:
    """Evaluates a network in training on the test split, on all workers; compiled once.

    Args:
        network: The network, made in the strategy's scope.
        dataset: Its test split is counted.
        config: Of the run.
        precision: Arithmetic of the network.
        strategy: Connects the workers.
        cluster: Who this worker is.
    """

    def __init__(
        self,
        network: VGG19,
        dataset: Dataset,
        config: TrainConfig,
        precision: Precision,
        strategy: tf.distribute.Strategy,
        cluster: Cluster,
    ) -> None:
        self._dataset = dataset
        self._config = config
        self._cluster = cluster
        self._local_replicas = strategy.num_replicas_in_sync // cluster.num_workers
        self._precision = precision.name
        self._scorer = Scorer(network, precision.compute_dtype, strategy, self._local_replicas)
        self._sum = WorkersSum(strategy, cluster)
        self._vote = Vote(strategy, cluster)

    def run(self, leave: Callable[[], bool] = lambda: False) -> EvaluationResult | None:
        """Count the split, or stop between two batches; all workers call it, all get the same.

        Args:
            leave: Says whether this worker wants to stop; one that does stops all of them.

        Returns:
            The counts over all workers; None if it was stopped.

        Raises:
            DivergedError: Logits are not finite.
            DataError: A damaged record, or a test split without examples.
        """
        batches = input_pipeline.evaluation_batches(
            self._dataset,
            "test",
            image_size_px=self._config.image_size_px,
            batch_size=BATCH_SIZE,
            cache_dir=self._config.cache_dir,
            cache_size_gb=self._config.cache_size_gb,
            worker=self._cluster.worker,
            num_workers=self._cluster.num_workers,
        )
        try:
            predictions = self._scorer.predict(self._until_asked(batches, leave))
        except _StoppedError:
            return None
        own = count(predictions.logits, predictions.labels)
        total = Tally(own.num_classes, self._sum(own.sums))
        return EvaluationResult(self._dataset.classes, total, predictions, self._precision)

    def _until_asked(self, batches: Iterable[Batch], leave: Callable[[], bool]) -> Iterator[Batch]:
        # Every worker has the same number of batches, so that all ask at the same ones.
        for number, batch in enumerate(batches):
            if number % self._local_replicas == 0 and self._vote.any(leave()):
                raise _StoppedError
            yield batch


class _StoppedError(Exception):
    """An evaluation that was asked to stop."""


class WorkersSum:
    """Adds up one array of each worker, exactly; every worker gets the sum. Compiled once."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster) -> None:
        self._alone = cluster.num_workers == 1
        local_replicas = strategy.num_replicas_in_sync // cluster.num_workers

        def replica(mine: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # A worker's array counts once, however many replicas it has.
            first = context.replica_id_in_sync_group % local_replicas == 0
            share = tf.where(first, mine, tf.zeros_like(mine))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, share)

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def reduce(mine: tf.Tensor) -> Any:
            return strategy.experimental_local_results(strategy.run(replica, (mine,)))[0]

        self._reduce = reduce

    def __call__(self, mine: Int64Array) -> Int64Array:
        """Give the sum; all workers call it with arrays of the same shape."""
        if self._alone:
            return mine
        total: Int64Array = self._reduce(tf.constant(mine)).numpy()
        return total
