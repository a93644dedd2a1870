"""An exported model as prediction uses it: one image decoded, batches of pixels scored.

Decoding is the model's own signature, to the last bit; scoring runs the model's weights through
the network that trained them (`job/prediction/network.py`), in the precision asked for.
"""

import logging
import os
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from job.contract.errors import ConfigError, DataError
from job.contract.schema import Word
from job.images.rejected import RejectedError
from job.images.upright import take_in, turn_upright
from job.prediction.network import ScoreFunction, score_function
from job.prediction.views import VIEWS, Pixels
from job.serving.model_files import ModelFacts

_BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
_WORTHWHILE = 1.03
_LONGEST_TRIAL_S = 4.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """Who computes a network, and in what."""

    runtime: Literal["tensorflow", "openvino"]
    precision: Word

    def __str__(self) -> str:
        """Name it as logs do."""
        return f"{self.precision} by {_RUNTIMES[self.runtime]}"


_RUNTIMES = {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Scores:
    """float32 [batch, classes] and float32 [batch, features]."""

    probabilities: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]


class PredictModel:
    """Decodes and scores with a model; `decode` may be called from many threads.

    Args:
        folder: Local folder of the SavedModel.
        facts: What it says about itself.
        tta: Views to average over: none, flip, ten_crop or dense.
        arithmetic: Who computes the network, and in what; `openvino` needs its int8 network.
    """

    def __init__(self, folder: str, facts: ModelFacts, tta: str, arithmetic: Arithmetic) -> None:
        # Decoding needs no weights, so that the loaded ones go once they have been converted.
        loaded = tf.saved_model.load(folder)
        signatures = loaded.signatures
        scored = signatures["pixels"].structured_outputs["probabilities"].shape[1]
        if scored != len(facts.classes):
            raise DataError(
                f"the model scores {scored} classes, but its description names "
                f"{len(facts.classes)}; export it again"
            )
        self._decode = signatures["dense_decode" if tta in ("dense", "ten_crop") else "decode"]
        self.side_px: int = self._decode.structured_outputs["pixels"].shape[1]
        """Side of the squares that `decode` gives and `score` takes, in px."""
        self._image_size_px = facts.image_size_px
        self._views = VIEWS[tta]
        scored_px = self.side_px if tta == "dense" else facts.image_size_px
        if arithmetic.runtime == "openvino":
            self._score = _int8_function(folder, facts, scored_px)
        else:
            dtype = tf.dtypes.as_dtype(arithmetic.precision)
            weights = _weights(signatures["pixels"])
            self._score = score_function(weights, facts, dtype, scored_px)
        self.arithmetic = arithmetic
        """What is in use."""

    def decode(self, encoded: bytes) -> Pixels:
        """Decode one image, upright: uint8 [side, side, 3]. RejectedError if that cannot be."""
        image = take_in(encoded)
        try:
            pixels: Pixels = self._decode(images=tf.constant([image.encoded]))["pixels"][0].numpy()
        except tf.errors.OpError as error:
            raise RejectedError("damaged", _first_line(error)) from error
        return turn_upright(pixels, image.orientation)

    def score(self, pixels: Pixels) -> Scores:
        """Score uint8 [batch, side, side, 3]; the mean over all views."""
        probabilities: Any = 0.0
        embedding: Any = 0.0
        count = 0
        for view in self._views(pixels, self._image_size_px):
            answer = self._score(np.ascontiguousarray(view))
            probabilities = probabilities + answer["probabilities"]
            embedding = embedding + answer["embedding"]
            count += 1
        return Scores(probabilities / np.float32(count), embedding / np.float32(count))

    def fastest_batch_size(self, most: int) -> int:
        """Find the number of images whose scoring at once is fastest and fits.

        Args:
            most: There are no more images than this.
        """
        best, best_rate = _BATCH_SIZES[0], 0.0
        for size in _BATCH_SIZES:
            batch = np.zeros((size, self.side_px, self.side_px, 3), np.uint8)
            try:
                self.score(batch[:1])
                start = time.perf_counter()
                self.score(batch)
                elapsed_s = time.perf_counter() - start
            except tf.errors.ResourceExhaustedError:
                break
            rate = size / elapsed_s
            _log.info("batch size %d: %.1f images/s", size, rate)
            if rate < best_rate * _WORTHWHILE:
                break
            best, best_rate = size, rate
            if size >= most or 2 * elapsed_s > _LONGEST_TRIAL_S:
                break
        return best


def _int8_function(folder: str, facts: ModelFacts, side_px: int) -> ScoreFunction:
    from job.serving.openvino_network import OpenVinoNetwork  # Where OpenVINO is, and asked for.

    if facts.int8 is None:
        raise ConfigError("this model has no int8 network; export it with --precision=int8")
    return OpenVinoNetwork(os.path.join(folder, facts.int8.file), side_px)


def _weights(signature: Any) -> dict[str, tf.Tensor]:
    return {variable.name.partition(":")[0]: variable for variable in signature.variables}


def _first_line(error: tf.errors.OpError) -> str:
    """Give the reason without the graph's node names, which say nothing to a user."""
    text = str(error.message).strip().partition("\n")[0]
    return text.rpartition("}} ")[2].strip()[:300]
