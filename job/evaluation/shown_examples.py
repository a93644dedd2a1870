"""Examples worth a look: the hardest ones and those of the commonest mistakes, with their images.

Which ones is a pure question to the predictions; their images are read again from the dataset,
a few dozen records, so that an evaluation need not keep thousands of images.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from job.dataset.description import Dataset
from job.dataset.shard_cache import ShardCache
from job.dataset.tfrecord import ImageExample, ShardReader, decode_example
from job.evaluation.counts import Int64Array, log_softmax
from job.evaluation.metrics import Confusion
from job.evaluation.passes import Predictions
from job.images.preprocess import decode_for_evaluation

SHOWN_GUESSES = 3
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Exhibit:
    """An image as the model saw it, and what the model made of it.

    Attributes:
        pixels: uint8 [side, side, 3], the square that the model was given.
        name: Where the image comes from.
        truth: Its class.
        truth_probability: The probability that the model gave to that class.
        guesses: The likeliest classes with their probabilities, best first.
    """

    pixels: npt.NDArray[np.uint8]
    name: str
    truth: int
    truth_probability: float
    guesses: tuple[tuple[int, float], ...]

    def jpeg(self) -> bytes:
        """Encode the pixels."""
        target = io.BytesIO()
        Image.fromarray(self.pixels).save(target, "JPEG", quality=_JPEG_QUALITY)
        return target.getvalue()


def hardest(predictions: Predictions, limit: int) -> Int64Array:
    """Choose the rows whose true class was given the lowest probability, hardest first."""
    log_probabilities = log_softmax(predictions.logits)
    of_truth = np.take_along_axis(log_probabilities, predictions.labels[:, None], axis=1)[:, 0]
    # Of equally hard ones the first in the split, whatever the order they were scored in.
    return np.lexsort((predictions.ids, of_truth))[:limit].astype(np.int64)


def of_confusion(predictions: Predictions, confusion: Confusion, limit: int) -> Int64Array:
    """Choose rows of one kind of mistake, hardest first."""
    of_kind = (predictions.labels == confusion.truth) & (
        predictions.logits.argmax(axis=1) == confusion.predicted
    )
    return np.array(
        [row for row in hardest(predictions, len(of_kind)) if of_kind[row]][:limit], np.int64
    )


class Gallery:
    """Shows examples of a split with what a model said about them; a context manager.

    Args:
        dataset: Where the images are.
        split: Its split that the predictions are of.
        predictions: What the model said.
        image_size_px: Side of the square that the model was given.
        cache_dir: Folder for downloaded shards; empty takes the user's cache folder.
        cache_size_gb: Largest size of that folder; 0 takes what the disk has.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        predictions: Predictions,
        *,
        image_size_px: int,
        cache_dir: str = "",
        cache_size_gb: float = 0.0,
    ) -> None:
        shards = dataset.split(split).shards
        self._ends = np.cumsum([shard.records for shard in shards])
        self._cache = ShardCache(dataset.path, shards, cache_dir, cache_size_gb=cache_size_gb)
        self._readers: dict[int, ShardReader] = {}
        self._predictions = predictions
        self._image_size_px = image_size_px

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.clear()
        self._cache.close()

    def show(self, rows: Iterable[int]) -> tuple[Exhibit, ...]:
        """Show some rows of the predictions, in their order.

        Raises:
            DataError: A damaged record.
        """
        return tuple(self._exhibit(int(row)) for row in rows)

    def _exhibit(self, row: int) -> Exhibit:
        example = self._read(int(self._predictions.ids[row]))
        probabilities = np.exp(log_softmax(self._predictions.logits[row : row + 1]))[0]
        best = np.argsort(-probabilities, kind="stable")[:SHOWN_GUESSES]
        truth = int(self._predictions.labels[row])
        return Exhibit(
            pixels=decode_for_evaluation(example.encoded, self._image_size_px).numpy(),
            name=example.source_id or example.filename,
            truth=truth,
            truth_probability=float(probabilities[truth]),
            guesses=tuple((int(index), float(probabilities[index])) for index in best),
        )

    def _read(self, example_id: int) -> ImageExample:
        """Read one example; its number counts through the split's shards."""
        shard = int(np.searchsorted(self._ends, example_id, side="right"))
        first = int(self._ends[shard - 1]) if shard else 0
        if shard not in self._readers:  # Opening one walks over all of its records.
            self._readers[shard] = ShardReader(self._cache.local_file(shard))
        return decode_example(self._readers[shard].read(example_id - first))
