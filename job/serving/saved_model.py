"""The model as it serves: encoded images in, classes out, preprocessing inside."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from job.evaluation.passes import score
from job.images.preprocess import decode_for_evaluation
from job.model.vgg19 import VGG19, Forward

TOP_CLASSES = 5
_DENSE_SCALE = 8 / 7  # 256 px for a network of 224 px, as the VGG paper's smallest test scale


def dense_size_px(image_size_px: int) -> int:
    """Give the side of the larger square that the dense signature scores."""
    return round(image_size_px * _DENSE_SCALE)


class ServingModel(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What `job.export` saves; `signatures` lists what it answers to.

    All signatures take any number of images. Those that score give `probabilities` and `logits`,
    float32 [N, classes] in the order of the labels, and `embedding`, float32 [N, features], what
    the last layer sees.

    Args:
        network: The network with its weights.
        classes: Names of the classes, in the order of the labels.
        image_size_px: Side of the square that the network was trained on.
        compute_dtype: Of the activations.
        classes_file: Local file with the names, one a line, to travel as an asset.
    """

    def __init__(
        self,
        network: VGG19,
        classes: Sequence[str],
        *,
        image_size_px: int,
        compute_dtype: tf.DType,
        classes_file: str,
    ) -> None:
        super().__init__(name="ServingModel")
        self.network = network
        self.class_names = tf.constant(list(classes), tf.string)
        self.classes_file = tf.saved_model.Asset(classes_file)
        self._size = image_size_px
        self._dense_size = dense_size_px(image_size_px)
        self._compute_dtype = compute_dtype

    def signatures(self) -> dict[str, Any]:
        """Trace the functions that a server or `tf.saved_model.load` can call.

        serving_default: `images`, encoded images, string [N] -> `probabilities`, and the five
            likeliest classes as `classes`, string [N, 5], and `labels`, int32 [N, 5].
        features: `images` as above -> `probabilities`, `logits`, `embedding`.
        decode: `images` as above -> `pixels`, uint8 [N, side, side, 3], as the network sees them.
        pixels: `pixels` as above -> `probabilities`, `logits`, `embedding`.
        dense_decode, dense_pixels: the same on squares larger by 8/7, of which the network scores
            every position; the logits are the mean.
        """
        encoded = tf.TensorSpec([None], tf.string, name="images")

        def of_pixels(size: int) -> Any:
            spec = tf.TensorSpec([None, size, size, 3], tf.uint8, name="pixels")
            return tf.function(self._score, input_signature=[spec], autograph=False)

        def decoder(size: int) -> Any:
            return tf.function(
                lambda images: {"pixels": self._decode(images, size)},
                input_signature=[encoded],
                autograph=False,
            )

        return {
            "serving_default": tf.function(
                self._classify, input_signature=[encoded], autograph=False
            ),
            "features": tf.function(
                lambda images: self._score(self._decode(images, self._size)),
                input_signature=[encoded],
                autograph=False,
            ),
            "decode": decoder(self._size),
            "pixels": of_pixels(self._size),
            "dense_decode": decoder(self._dense_size),
            "dense_pixels": of_pixels(self._dense_size),
        }

    def _classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = self._score(self._decode(images, self._size))["probabilities"]
        shown = min(TOP_CLASSES, self.network.num_classes)
        labels = tf.math.top_k(probabilities, k=shown).indices
        return {
            "probabilities": probabilities,
            "classes": tf.gather(self.class_names, labels),
            "labels": labels,
        }

    def _score(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        # oneDNN's fused convolutions refuse a batch of no images; one black image stands in.
        count = tf.shape(pixels)[0]
        some = tf.pad(pixels, [[0, tf.maximum(1 - count, 0)], [0, 0], [0, 0], [0, 0]])
        forward: Forward = score(self.network, some, self._compute_dtype)
        logits = forward.logits[:count]
        return {
            "probabilities": tf.nn.softmax(logits),
            "logits": logits,
            "embedding": forward.embedding[:count],
        }

    def _decode(self, images: tf.Tensor, size: int) -> tf.Tensor:
        return tf.map_fn(
            lambda encoded: decode_for_evaluation(encoded, size),
            images,
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        )
