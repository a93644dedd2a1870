"""VGG19 as a `tf.Module`, with the variable names of TF-Slim's `vgg_19`.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015);
layers and names follow tf_slim.nets.vgg, so that its checkpoints fit as they are.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from job.contract.errors import ConfigError
from job.model import shapes as vgg19_shapes

_INPUT_SCALE = 64.0
"""Typical size of a colour channel, 0..255 with the mean subtracted."""

_LAST_LAYER_STDDEV = 0.01
_IDENTITY_NOISE = 0.25


class DropoutRows(NamedTuple):
    """Which rows of the global batch's dropout masks a call needs.

    The masks are drawn for the whole global batch and cut, so that they are the same on one
    worker, on many, and when a replica takes its share in parts.
    """

    seed: tf.Tensor  # int32 [2], another one for every step
    first: tf.Tensor | int  # row of the global batch that is the call's first image
    total: int  # rows of the global batch


class FactorTap(NamedTuple):
    """The two sides of one fully connected layer, for exchanging factors instead of gradients.

    With `delta = tape.gradient(loss, outputs)`, the gradient of the layer's weights is
    `inputs^T @ delta`, reshaped to the weights' shape.
    """

    inputs: tf.Tensor  # [batch, in]
    outputs: tf.Tensor  # [batch, out], the product before the bias


class Forward(NamedTuple):
    """What one forward pass gives."""

    logits: tf.Tensor  # float32 [batch, classes]
    taps: dict[str, FactorTap]  # by the name of the layer's weights
    embedding: tf.Tensor  # float32 [batch, features], what the last layer sees, without dropout


class VGG19(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """VGG19 with float32 variables, whatever it computes in.

    The head `fc` is slim's: fc6 as a 7x7 VALID convolution, fc7, fc8, with dropout after fc6 and
    fc7. It takes images of at least 224 px; on larger ones it is evaluated densely, and the
    logits are the mean of the score map (section 3.2 of the paper). The head `gap` is a global
    average pool and one linear layer, also called fc8, of shape (1, 1, features, classes); it
    takes images of at least 32 px and has no dropout.

    Random weights are a pure function of `seed` and the variable's name: every worker draws the
    same ones. The variables are made in the scope of the current strategy.

    With `weights`, tensors or arrays of any precision, there are no variables: the network computes
    with those, for inference alone.

    Raises:
        ConfigError: for a head that does not exist.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        head: str = "fc",
        width_multiplier: float = 1.0,
        dropout_rate: float = 0.5,
        seed: int = 0,
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name="VGG19")
        self.num_classes = num_classes
        self.head = head
        self.width_multiplier = width_multiplier
        self.dropout_rate = dropout_rate
        shapes = vgg19_shapes.layer_shapes(num_classes, head, width_multiplier)
        self.variables_by_name: dict[str, tf.Variable] = (
            dict(weights)
            if weights is not None
            else {
                name: tf.Variable(_initial_value(name, shapes, seed), name=name) for name in shapes
            }
        )
        self._conv_layers = tuple(vgg19_shapes.conv_layers(width_multiplier))

    def forward(
        self,
        images: tf.Tensor,
        *,
        training: bool,
        dropout: DropoutRows | None = None,
        compute_dtype: tf.DType = tf.float32,
    ) -> Forward:
        """Run the network.

        Args:
            images: float [batch, height, width, 3], RGB 0..255 with the mean subtracted; height
                and width must be static.
            training: whether to drop activations.
            dropout: where in the global batch `images` are; needed for training with dropout.
            compute_dtype: of the activations and their gradients; fc8 is always float32.

        Raises:
            ConfigError: if the images are too small for the head.
        """
        self._check_size(images)
        features = tf.cast(images, compute_dtype)
        previous_block = ""
        for layer in self._conv_layers:
            block = layer.split("/")[1]
            if previous_block and block != previous_block:
                features = _max_pool(features)
            features = tf.nn.relu(self._convolve(features, layer, "SAME"))
            previous_block = block
        features = _max_pool(features)
        if self.head == "gap":
            pooled = tf.reduce_mean(tf.cast(features, tf.float32), axis=[1, 2], keepdims=True)
            return self._classify(pooled, pooled, {})
        return self._fully_connected(features, dropout if training else None, training)

    def _fully_connected(
        self, features: tf.Tensor, dropout: DropoutRows | None, training: bool
    ) -> Forward:
        taps: dict[str, FactorTap] = {}
        embedding = dropped = features
        for number, name in enumerate(("fc6", "fc7")):
            products = self._multiply(dropped, f"{vgg19_shapes.SCOPE}/{name}", taps)
            biases = self.variables_by_name[f"{vgg19_shapes.SCOPE}/{name}/biases"]
            embedding = dropped = tf.nn.relu(_add_biases(products, biases))
            if training and self.dropout_rate > 0.0:
                dropped = self._drop(embedding, dropout, number)
        return self._classify(tf.cast(dropped, tf.float32), tf.cast(embedding, tf.float32), taps)

    def _classify(
        self, dropped: tf.Tensor, embedding: tf.Tensor, taps: dict[str, FactorTap]
    ) -> Forward:
        # In float32 whatever the rest computes in: the layer is small, and a bfloat16 logit has
        # only 8 bits to tell two classes apart.
        layer = f"{vgg19_shapes.SCOPE}/fc8"
        products = self._multiply(dropped, layer, taps)
        scores = _add_biases(products, self.variables_by_name[f"{layer}/biases"])
        return Forward(
            logits=tf.reduce_mean(scores, axis=[1, 2]),
            taps=taps,
            embedding=tf.reduce_mean(embedding, axis=[1, 2]),
        )

    def _multiply(self, inputs: tf.Tensor, layer: str, taps: dict[str, FactorTap]) -> tf.Tensor:
        """Multiply [batch, h, w, in] by a layer's weights; as a tapped matmul if it gives 1x1."""
        name = f"{layer}/weights"
        weights = self.variables_by_name[name]
        window = tuple(weights.shape[:2])
        if tuple(inputs.shape[1:3]) != window:
            return tf.nn.conv2d(inputs, tf.cast(weights, inputs.dtype), 1, "VALID")
        width_in, width_out = math.prod(weights.shape[:3]), weights.shape[3]
        flat = tf.reshape(inputs, [-1, width_in])
        matrix = tf.reshape(tf.cast(weights, inputs.dtype), [width_in, width_out])
        taps[name] = FactorTap(inputs=flat, outputs=tf.matmul(flat, matrix))
        return tf.reshape(taps[name].outputs, [-1, 1, 1, width_out])

    def _convolve(self, inputs: tf.Tensor, layer: str, padding: str) -> tf.Tensor:
        weights = tf.cast(self.variables_by_name[f"{layer}/weights"], inputs.dtype)
        products = tf.nn.conv2d(inputs, weights, 1, padding)
        return _add_biases(products, self.variables_by_name[f"{layer}/biases"])

    def _drop(self, values: tf.Tensor, rows: DropoutRows | None, layer_number: int) -> tf.Tensor:
        """Drop values [batch, h, w, channels] and scale up the others."""
        if rows is None:
            raise ValueError("training with dropout needs DropoutRows")
        # Stateless, so that a resumed run draws the masks that the interrupted one would have.
        seed = tf.random.fold_in(rows.seed, layer_number)
        draws = tf.random.stateless_uniform([rows.total, *values.shape[1:]], seed)
        own = tf.slice(draws, [rows.first, 0, 0, 0], tf.shape(values))
        kept = values / (1.0 - self.dropout_rate)
        return tf.where(own >= self.dropout_rate, kept, tf.zeros_like(values))

    def _check_size(self, images: tf.Tensor) -> None:
        smallest = vgg19_shapes.smallest_image_px(self.head)
        height, width = images.shape[1:3]
        if height is None or width is None:
            raise ValueError(f"images need a static height and width, not {images.shape}")
        if min(height, width) < smallest:
            way_out = "use --head gap or larger images" if self.head == "fc" else "use larger ones"
            raise ConfigError(
                f"images of {width}x{height} px are too small for head {self.head}, which needs "
                f"at least {smallest} px; {way_out}"
            )


def _max_pool(features: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(features, 2, 2, "VALID")


def _add_biases(products: tf.Tensor, biases: tf.Variable) -> tf.Tensor:
    return tf.nn.bias_add(products, tf.cast(biases, products.dtype))


def _initial_value(name: str, shapes: dict[str, vgg19_shapes.Shape], seed: int) -> Any:
    """Draw a variable's random start, as a callable, so that only one is in memory at a time.

    A plain network this deep stays at chance from He normal weights ("Delving Deep into
    Rectifiers", 2015) alone: what leaves a ReLU is positive, so after 16 layers the features of
    any two photographs point the same way (cosine 0.99), the first gradients are noise, and they
    shrink the features to nothing. Three things mend that:

    - A layer that keeps its width starts as the identity plus a little noise ("DiracNets",
      Zagoruyko & Komodakis, 2017): the network starts as one of five layers, and grows deep.
    - Filters sum to 0, so that they do not pass on what all images have in common; the variance of
      a rectified unit normal around its mean, (1 - 1 / pi) / 2, makes up for what that takes away
      ("Characterizing signal propagation to close the performance gap in unnormalized ResNets",
      Brock et al., 2021).
    - The last layer starts small.

    The size of the input, 64 rather than 1, is taken out in equal parts by all layers but the
    last, so that no layer's gradient outgrows the others'.
    """
    shape = shapes[name]
    layer, kind = name.rsplit("/", 1)
    if kind == "biases":
        return lambda: tf.zeros(shape)
    draw_seed = [seed, zlib.crc32(name.encode()) & 0x7FFFFFFF]
    layers = [other.rsplit("/", 1)[0] for other in shapes if other.endswith("/weights")]
    if layer == layers[-1]:
        return lambda: tf.random.stateless_normal(shape, draw_seed, stddev=_LAST_LAYER_STDDEV)
    gain = _INPUT_SCALE ** (-1.0 / (len(layers) - 1))
    if shape[2] == shape[3]:
        return lambda: gain * _near_identity(shape, draw_seed)
    return lambda: gain * _centred_normal(shape, draw_seed)


def _centred_normal(shape: vgg19_shapes.Shape, seed: list[int]) -> tf.Tensor:
    """Draw filters [height, width, in, out], each with the sum 0, that keep activations' size."""
    variance = 2.0 / (1.0 - 1.0 / math.pi) / math.prod(shape[:-1])
    weights = tf.random.stateless_normal(shape, seed, stddev=math.sqrt(variance))
    return weights - tf.reduce_mean(weights, axis=[0, 1, 2], keepdims=True)


def _near_identity(shape: vgg19_shapes.Shape, seed: list[int]) -> tf.Tensor:
    """Draw filters [height, width, c, c] that hand on what they get, with a little noise."""
    height, width, channels, _ = shape
    above, left = height // 2, width // 2
    identity = tf.pad(
        tf.eye(channels, batch_shape=[1, 1]),
        [[above, height - above - 1], [left, width - left - 1], [0, 0], [0, 0]],
    )
    mixed = identity + _IDENTITY_NOISE * _centred_normal(shape, seed)
    return mixed / math.sqrt(1.0 + _IDENTITY_NOISE**2)
