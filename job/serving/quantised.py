"""An exported network in int8: calibrated on photographs, measured before anybody relies on it.

Post-training quantisation by NNCF (Kozlov et al., "Neural Network Compression Framework for fast
model inference", 2020): weights per output channel, activations per tensor, ranges from images
that went through our own preprocessing. The last layer stays in float32, as everywhere here.
"""

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from job.contract import layout
from job.contract.errors import ConfigError, DataError
from job.dataset.batches import Batch, evaluation_batches
from job.dataset.description import Dataset
from job.evaluation.counts import count
from job.evaluation.metrics import judge
from job.evaluation.passes import score
from job.model.vgg19 import VGG19
from job.serving.model_files import Int8Network

CALIBRATION_IMAGES = 256
MEASURED_IMAGES = 2_000
"""Ten thousand more would narrow the interval of the loss by a tenth of a point, for an hour."""

_BATCH_SIZE = 32
_log = logging.getLogger(__name__)


class BothScores(NamedTuple):
    """The same images scored in float32 and in int8."""

    labels: npt.NDArray[np.int64]  # [images]
    float32: npt.NDArray[np.float32]  # [images, classes]
    int8: npt.NDArray[np.float32]  # [images, classes]


def require_tools() -> None:
    """Make sure that OpenVINO and NNCF are here.

    Raises:
        ConfigError: One is missing; the message says how to install it.
    """
    # NNCF tells its maker about its use unless it believes itself in a test system.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf  # noqa: F401
        import openvino  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"precision int8 needs the package {error.name}, which is not installed; "
            "pip install 'food101-vgg19[int8]'"
        ) from error


def write(
    folder: str, network: VGG19, dataset: Dataset, *, image_size_px: int, max_top1_loss: float
) -> Int8Network:
    """Write the quantised network into the folder of a SavedModel, and measure it.

    Args:
        folder: Local folder.
        network: The network with its weights.
        dataset: Calibrates with its train split, measures with its test split.
        image_size_px: Side of the square that the network was trained on.
        max_top1_loss: Percentage points that the network may lose to be used unasked.
    """
    import openvino

    graph = quantise(network, dataset, image_size_px)
    scores = score_both(graph, network, dataset, image_size_px)
    path = os.path.join(folder, layout.INT8_NETWORK_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    openvino.save_model(graph, path, compress_to_fp16=False)
    described = describe(scores, dataset.path, max_top1_loss)
    _say(described, max_top1_loss)
    return dataclasses.replace(
        described, software={"openvino": version("openvino"), "nncf": version("nncf")}
    )


def describe(scores: BothScores, calibrated_on: str, max_top1_loss: float) -> Int8Network:
    """Say what quantisation costs, and decide whether predictions may use it unasked."""
    ours = judge(count(scores.int8, scores.labels))
    reference = judge(count(scores.float32, scores.labels))
    lost = _points(reference.top1.value) - _points(ours.top1.value)
    return Int8Network(
        file=layout.INT8_NETWORK_FILE,
        default=lost <= max_top1_loss,
        calibrated_on=calibrated_on,
        images=len(scores.labels),
        top1=ours.top1.value,
        top5=ours.top5.value,
        float32_top1=reference.top1.value,
        float32_top5=reference.top5.value,
        same_top1=float((scores.int8.argmax(1) == scores.float32.argmax(1)).mean()),
    )


def _points(share: float | None) -> float:
    return 100.0 * (share or 0.0)


def _say(int8: Int8Network, max_top1_loss: float) -> None:
    _log.info(
        "int8: top-1 %.2f %% (float32 %.2f %%), the same first class for %.2f %% of %s test images",
        _points(int8.top1),
        _points(int8.float32_top1),
        _points(int8.same_top1),
        f"{int8.images:,}",
    )
    if not int8.default:
        _log.warning(
            "int8 loses more than --max_top1_loss=%g points of top-1: predictions use it only "
            "with --runtime=openvino",
            max_top1_loss,
        )


def quantise(network: VGG19, dataset: Dataset, image_size_px: int) -> Any:
    """Quantise a network, calibrated on images of the train split.

    Returns:
        openvino.Model, as `openvino_graph.build` gives it.
    """
    import nncf

    from job.serving import openvino_graph

    weights = {name: variable.numpy() for name, variable in network.variables_by_name.items()}
    graph = openvino_graph.build(
        weights, head=network.head, width_multiplier=network.width_multiplier
    )
    images = [
        image[np.newaxis]
        for batch in _batches(dataset, "train", image_size_px, CALIBRATION_IMAGES)
        for image in batch[0]
    ]
    _log.info("calibrating int8 on %d images of the train split", len(images))
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        graph,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=[openvino_graph.LAST_LAYER]),
    )


def score_both(quantised: Any, network: VGG19, dataset: Dataset, image_size_px: int) -> BothScores:
    """Score images of the test split, which calibration has not seen, in both arithmetics.

    Raises:
        DataError: The dataset has no test images.
    """
    from job.serving.openvino_network import OpenVinoNetwork

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def exact(pixels: tf.Tensor) -> tf.Tensor:
        return score(network, pixels, tf.float32).logits

    approximate = OpenVinoNetwork(quantised, image_size_px)
    labels, float32, int8 = [], [], []
    for pixels, true in _batches(dataset, "test", image_size_px, MEASURED_IMAGES):
        labels.append(true)
        float32.append(exact(tf.constant(pixels)).numpy())
        int8.append(approximate(pixels)["logits"])
    if not labels:
        raise DataError(
            f"{dataset.path} has no test images, on which int8 could be measured; give "
            "--calibration_data with a test split"
        )
    return BothScores(np.concatenate(labels), np.concatenate(float32), np.concatenate(int8))


def _batches(
    dataset: Dataset, split: str, image_size_px: int, most: int
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Yield pixels and labels of the first images of a split, whose records are shuffled."""
    left = min(most, dataset.split(split).examples)
    batches: Iterator[Batch] = iter(
        evaluation_batches(
            dataset,
            split,
            image_size_px=image_size_px,
            batch_size=_BATCH_SIZE,
            cache_dir="",
            cache_size_gb=0.0,
            worker=0,
            num_workers=1,
        )
    )
    for batch in itertools.islice(batches, -(-left // _BATCH_SIZE)):
        real = (batch["weights"].numpy() > 0).nonzero()[0][:left]
        left -= len(real)
        yield batch["images"].numpy()[real], batch["labels"].numpy()[real].astype(np.int64)
