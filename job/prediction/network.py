"""The network as prediction runs it: weights as constants, converted once, not once a batch.

The network's own arithmetic is untouched; only where it finds its weights differs. Convolution
kernels become constants of the graph, which oneDNN brings into its own layout once. The others are
tensors that the graph captures: as constants of the graph their biases would not be fused with the
products, and fc6 alone would make the graph 200 MB larger.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from job.evaluation.passes import score
from job.model import shapes
from job.model.vgg19 import VGG19
from job.serving.model_files import ModelFacts

Array = npt.NDArray[np.float32]
ScoreFunction = Callable[[npt.NDArray[np.uint8]], Mapping[str, Array]]
"""uint8 [batch, side, side, 3] -> `probabilities` and `embedding`."""


def score_function(
    weights: Mapping[str, tf.Tensor], facts: ModelFacts, compute_dtype: tf.DType, side_px: int
) -> ScoreFunction:
    """Compile the network: uint8 [batch, side_px, side_px, 3] -> `probabilities`, `embedding`.

    Args:
        weights: Of all layers by slim's names; float32 variables or tensors.
        facts: What the model says about itself.
        compute_dtype: Of the activations; the last layer is float32 in any case.
        side_px: Of the squares to score.
    """
    network = VGG19(
        len(facts.classes),
        head=facts.head,
        width_multiplier=facts.width_multiplier,
        weights={name: _constant(name, weights[name], compute_dtype) for name in weights},
    )

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None, side_px, side_px, 3], tf.uint8)], autograph=False
    )
    def scored(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        forward = score(network, pixels, compute_dtype)
        return {"probabilities": tf.nn.softmax(forward.logits), "embedding": forward.embedding}

    compiled = scored.get_concrete_function()

    def function(pixels: npt.NDArray[np.uint8]) -> dict[str, Array]:
        return {name: value.numpy() for name, value in compiled(tf.constant(pixels)).items()}

    return function


def _constant(name: str, value: tf.Tensor, compute_dtype: tf.DType) -> Any:
    if name.startswith(f"{shapes.SCOPE}/fc8/"):
        return tf.convert_to_tensor(value)
    converted = tf.cast(value, compute_dtype)
    is_kernel = name.endswith("/weights") and "/conv" in name
    # An array becomes a constant of the graph that uses it, a tensor is captured.
    return converted.numpy() if is_kernel else converted
