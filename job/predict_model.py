"""An exported model as prediction uses it: one image decoded, batches of pixels scored.

Both are the model's own signatures, so what is decoded and scored is what was exported, to the
last bit. Another precision than the exported one scores the same weights through `job.vgg19`.
"""

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from job import layout, precision, storage
from job.checkpoints import sha256_of_file
from job.errors import DataError, InputMissingError
from job.evaluation import score
from job.export import MODEL_FORMAT
from job.image_reader import RejectedError
from job.image_safety import check_before_decoding
from job.storage_interface import NotFoundError
from job.vgg19 import VGG19

Pixels = npt.NDArray[np.uint8]
_log = logging.getLogger(__name__)
_BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
_WORTHWHILE = 1.03
_LONGEST_TRIAL_S = 4.0


@dataclass(frozen=True)
class ModelFacts:
    """What model.json says.

    `version` names the weights: the beginning of the hash of all the model's files.
    """

    classes: tuple[str, ...]
    version: str
    step: int
    image_size_px: int
    precision: str
    head: str
    width_multiplier: float
    files: dict[str, str]


@dataclass(frozen=True)
class Scores:
    """float32 [batch, classes] and float32 [batch, features]."""

    probabilities: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]


def read_facts(model: str) -> ModelFacts:
    """Read what a model directory says about itself.

    Raises:
        InputMissingError: There is no complete model.
        DataError: Its description is not one that this version understands.
    """
    path = layout.model_file(model)
    try:
        raw = json.loads(storage.read_bytes(path))
        if raw["format"] != MODEL_FORMAT:
            raise DataError(f"{path} has format {raw['format']}, this program reads {MODEL_FORMAT}")
        files = {name: facts["sha256"] for name, facts in raw["files"].items()}
        return ModelFacts(
            classes=tuple(raw["classes"]),
            version=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16],
            step=raw["step"],
            image_size_px=raw["image_size_px"],
            precision=raw["precision"],
            head=raw["config"]["head"],
            width_multiplier=raw["config"]["width_multiplier"],
            files=files,
        )
    except NotFoundError as error:
        raise InputMissingError(
            f"{model} is not a complete model: it has no {layout.MODEL_FILE}; make one with "
            f"python -m job.export --run=RUN --output={model}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not describe a model: {error!r}") from error


class PredictModel:
    """Decodes and scores with a model; `decode` may be called from many threads.

    Args:
        folder: Local folder of the SavedModel.
        facts: What it says about itself.
        tta: Views to average over: none, flip, ten_crop or dense.
        compute_precision: Name of the arithmetic.
    """

    def __init__(self, folder: str, facts: ModelFacts, tta: str, compute_precision: str) -> None:
        self._loaded = tf.saved_model.load(folder)
        signatures = self._loaded.signatures
        larger = "dense_" if tta in ("dense", "ten_crop") else ""
        self._decode = signatures[f"{larger}decode"]
        self._score = signatures["dense_pixels" if tta == "dense" else "pixels"]
        if compute_precision != facts.precision:
            self._score = _rescored(self._score, facts, tf.dtypes.as_dtype(compute_precision))
        self._views = _VIEWS[tta]
        self._image_size_px = facts.image_size_px
        self.precision = compute_precision
        """The arithmetic in use."""

    def decode(self, encoded: bytes) -> Pixels:
        """Decode one image: uint8 [side, side, 3]. RejectedError if that cannot be done."""
        check_before_decoding(encoded)
        try:
            pixels: Pixels = self._decode(images=tf.constant([encoded]))["pixels"][0].numpy()
        except tf.errors.OpError as error:
            raise RejectedError("damaged", _first_line(error)) from error
        return pixels

    def score(self, pixels: Pixels) -> Scores:
        """Score uint8 [batch, side, side, 3]; the mean over all views."""
        probabilities: Any = 0.0
        embedding: Any = 0.0
        count = 0
        for view in self._views(pixels, self._image_size_px):
            answer = self._score(pixels=tf.constant(np.ascontiguousarray(view)))
            probabilities = probabilities + answer["probabilities"].numpy()
            embedding = embedding + answer["embedding"].numpy()
            count += 1
        return Scores(probabilities / np.float32(count), embedding / np.float32(count))

    def fastest_batch_size(self, most: int) -> int:
        """Find the number of images whose scoring at once is fastest and fits.

        Args:
            most: There are no more images than this.
        """
        side = self._decode.structured_outputs["pixels"].shape[1]
        best, best_rate = _BATCH_SIZES[0], 0.0
        for size in _BATCH_SIZES:
            batch = np.zeros((size, side, side, 3), np.uint8)
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


@contextmanager
def local_model(model: str, facts: ModelFacts) -> Iterator[str]:
    """Give a local folder with the model, its files checked against their hashes.

    Raises:
        InputMissingError: A file is missing.
        DataError: A file is not what model.json says.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        folder = scratch if storage.is_remote(model) else model
        if folder == scratch:
            for name in facts.files:
                os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with ThreadPoolExecutor(8, thread_name_prefix="model") as threads:
                names = list(facts.files)
                list(
                    threads.map(
                        lambda name: storage.download(
                            layout.join(model, name), os.path.join(folder, name)
                        ),
                        names,
                    )
                )
        for name, expected in facts.files.items():
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                raise InputMissingError(f"{layout.join(model, name)} is missing; export again")
            if sha256_of_file(path) != expected:
                raise DataError(f"{layout.join(model, name)} is damaged; export the model again")
        yield folder


def resolve_precision(wanted: str) -> str:
    """Name the arithmetic: what was asked for, or what this machine is fast in."""
    return precision.choose(wanted).name


def _rescored(signature: Any, facts: ModelFacts, dtype: tf.DType) -> Callable[..., Any]:
    """Score the weights of an exported model in another precision."""
    network = VGG19(len(facts.classes), head=facts.head, width_multiplier=facts.width_multiplier)
    weights = {variable.name.partition(":")[0]: variable for variable in signature.variables}
    for name, variable in network.variables_by_name.items():
        variable.assign(weights[name])

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec(signature.structured_input_signature[1]["pixels"].shape,
                                       tf.uint8)],
        autograph=False,
    )  # fmt: skip
    def scored(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        forward = score(network, pixels, dtype)
        return {
            "probabilities": tf.nn.softmax(forward.logits),
            "embedding": forward.embedding,
        }

    return lambda pixels: scored(pixels)


def _as_they_are(pixels: Pixels, _: int) -> Iterator[Pixels]:
    yield pixels


def _mirrored_too(pixels: Pixels, _: int) -> Iterator[Pixels]:
    yield pixels
    yield pixels[:, :, ::-1]


def _ten_crops(pixels: Pixels, side: int) -> Iterator[Pixels]:
    """Cut the corners and the middle out of larger squares, and mirror each (AlexNet, 2012)."""
    end = pixels.shape[1] - side
    for top, left in ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)):
        crop = pixels[:, top : top + side, left : left + side]
        yield from _mirrored_too(crop, side)


_VIEWS: dict[str, Callable[[Pixels, int], Iterator[Pixels]]] = {
    "none": _as_they_are,
    "dense": _as_they_are,
    "flip": _mirrored_too,
    "ten_crop": _ten_crops,
}


def _first_line(error: tf.errors.OpError) -> str:
    """Give the reason without the graph's node names, which say nothing to a user."""
    text = str(error.message).strip().partition("\n")[0]
    return text.rpartition("}} ")[2].strip()[:300]
