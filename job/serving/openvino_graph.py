"""VGG19 as a network of OpenVINO, made from our own weights: no converter, no traced graph.

It takes the pixels that our preprocessing gives and ends in the same logits and embedding as
`job/model/vgg19.py`, so that what runs here is what was trained. Height and width are open, as
the dense signature scores larger squares.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from job.images.preprocess import MEAN_RGB
from job.model import shapes

Weights = Mapping[str, npt.NDArray[np.float32]]

LAST_LAYER = "logits"
"""The name of the last product, which stays in float32 whatever the rest computes in."""

_CHANNELS_FIRST = (0, 3, 1, 2)
_SPACE = (2, 3)


def build(weights: Weights, *, head: str, width_multiplier: float) -> Any:
    """Build the network in float32.

    Args:
        weights: Of all layers by slim's names, convolutions [height, width, in, out].
        head: `fc` or `gap`.
        width_multiplier: Of the convolutions.

    Returns:
        openvino.Model of `pixels`, uint8 [batch, height, width, 3], to `logits`, float32
        [batch, classes], and `embedding`, float32 [batch, features].
    """
    pixels = ops.parameter(ov.PartialShape([-1, -1, -1, 3]), ov.Type.u8, name="pixels")
    pixels.output(0).set_names({"pixels"})
    centred = ops.subtract(ops.convert(pixels, "f32"), _constant(np.array(MEAN_RGB, np.float32)))
    features = ops.transpose(centred, _constant(np.array(_CHANNELS_FIRST)))
    previous_block = ""
    for layer in shapes.conv_layers(width_multiplier):
        block = layer.split("/")[1]
        if previous_block and block != previous_block:
            features = _max_pool(features)
        features = ops.relu(_convolve(features, layer, weights, padding=1))
        previous_block = block
    features = _max_pool(features)
    if head == "gap":
        embedding = ops.reduce_mean(features, _constant(np.array(_SPACE)), False)
    else:
        for name in ("fc6", "fc7"):
            layer = f"{shapes.SCOPE}/{name}"
            features = ops.relu(_convolve(features, layer, weights, padding=0))
        embedding = ops.reduce_mean(features, _constant(np.array(_SPACE)), False)
    # The mean of the positions' logits is the logits of their mean: the last layer is linear.
    last = f"{shapes.SCOPE}/fc8"
    matrix = weights[f"{last}/weights"].reshape(-1, weights[f"{last}/biases"].shape[0])
    product = ops.matmul(embedding, _constant(matrix), False, False)
    product.set_friendly_name(LAST_LAYER)
    logits = ops.add(product, _constant(weights[f"{last}/biases"]))
    logits.output(0).set_names({"logits"})
    embedding.output(0).set_names({"embedding"})
    return ov.Model([logits, embedding], [pixels], "vgg_19")


def _convolve(inputs: Any, layer: str, weights: Weights, *, padding: int) -> Any:
    kernel = np.ascontiguousarray(weights[f"{layer}/weights"].transpose(3, 2, 0, 1))
    pads = [padding, padding]
    product = ops.convolution(inputs, _constant(kernel), [1, 1], pads, pads, [1, 1])
    return ops.add(product, _constant(weights[f"{layer}/biases"].reshape(1, -1, 1, 1)))


def _max_pool(features: Any) -> Any:
    pooled = ops.max_pool(features, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])
    return pooled.output(0)  # The other output is the places of the maxima.


def _constant(value: npt.NDArray[Any]) -> Any:
    return ops.constant(value)
