"""From an encoded image to what the network sees: one definition for all uses.

1. Choose a square: the largest central one, or in training a random one (`job/images/augment.py`).
2. Decode; a JPEG that is at least twice too large at a half, a quarter or an eighth of its size.
3. Bring the square to `image_size_px` by the kernel that `resampling` names.
4. Subtract the mean colour of the pretrained network's training data.

Evaluation, the exported model and prediction run `decode_for_evaluation`, TensorFlow operations
that a SavedModel carries with it. Training runs the same definition as native code outside of
the graph, at about twice the speed; a test holds the two within one level of each other.
"""

import functools
from typing import Literal

import tensorflow as tf

MEAN_RGB = (123.68, 116.78, 103.94)
"""Of the slim checkpoint vgg_19_2016_08_28: RGB in 0..255, no scaling."""

AREA_ABOVE = 1.6
"""Shrinking by more than this factor averages areas, as bilinear sampling would skip pixels. Up to
it bilinear samples of photographs come nearer to a Lanczos filter's than areas do, at a seventh of
the cost."""

REDUCTIONS = (1, 2, 4, 8)
"""By what libjpeg can divide an image's sides as it decodes, rounding up."""

Resampling = Literal["none", "bilinear", "area"]


def resampling(side_px: int, image_size_px: int) -> Resampling:
    """Choose how a square of one side becomes one of another."""
    if side_px == image_size_px:
        return "none"
    return "area" if side_px > AREA_ABOVE * image_size_px else "bilinear"


def reduction(side_px: int, image_size_px: int) -> int:
    """Choose by how much a JPEG is reduced in decoding, of which a square of `side_px` is wanted.

    libjpeg leaves out the high frequencies, which is as good a filter as averaging areas, saves
    most of the decoder's arithmetic, and of a 12-megapixel photograph needs 1/64 of the memory.
    """
    return max(factor for factor in REDUCTIONS if factor == 1 or side_px >= factor * image_size_px)


def decode_for_evaluation(encoded: tf.Tensor, image_size_px: int) -> tf.Tensor:
    """Decode the central square of one image; a pure function of its bytes.

    Args:
        encoded: string [], a JPEG file; PNG, GIF (its first frame) and BMP are taken as well.
        image_size_px: Side of the result.

    Returns:
        uint8 [image_size_px, image_size_px, 3], RGB.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: _decode_jpeg(encoded, image_size_px),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return _resize(_central_square(image), image_size_px)


def subtract_mean(images: tf.Tensor) -> tf.Tensor:
    """Centre colours as the pretrained network expects them.

    Args:
        images: uint8 or float [..., 3], RGB in 0..255.

    Returns:
        float32 of the same shape.
    """
    return tf.cast(images, tf.float32) - tf.constant(MEAN_RGB, tf.float32)


def _decode_jpeg(encoded: tf.Tensor, image_size_px: int) -> tf.Tensor:
    """Decode at the size that `reduction` says, here for a side known only later."""
    side = tf.reduce_min(tf.image.extract_jpeg_shape(encoded)[:2])
    fitting = [tf.cast(side >= factor * image_size_px, tf.int32) for factor in REDUCTIONS[1:]]
    # TensorFlow's own choice is the fast transform, which is off by up to 16 levels in images of
    # high quality. Decoding the square alone saves nothing measurable, and changes its border.
    decoders = [
        functools.partial(
            tf.io.decode_jpeg, encoded, channels=3, ratio=factor, dct_method="INTEGER_ACCURATE"
        )
        for factor in REDUCTIONS
    ]
    image: tf.Tensor = tf.switch_case(tf.add_n(fitting), decoders)
    return image


def _central_square(image: tf.Tensor) -> tf.Tensor:
    """Cut out the largest central square; of an odd rest, the smaller half is above or left."""
    size = tf.shape(image)[:2]
    side = tf.reduce_min(size)
    start = (size - side) // 2
    return image[start[0] : start[0] + side, start[1] : start[1] + side]


def _resize(square: tf.Tensor, image_size_px: int) -> tf.Tensor:
    """Resample uint8 [side, side, 3] as `resampling` says, here for a side known only later."""
    side = tf.shape(square)[0]
    size = [image_size_px, image_size_px]

    def resampled() -> tf.Tensor:
        images = square[tf.newaxis]
        values = tf.cond(
            tf.cast(side, tf.float32) > AREA_ABOVE * image_size_px,
            lambda: tf.raw_ops.ResizeArea(images=images, size=size),
            lambda: tf.raw_ops.ResizeBilinear(images=images, size=size, half_pixel_centers=True),
        )
        return tf.cast(values[0] + 0.5, tf.uint8)

    result = tf.cond(tf.equal(side, image_size_px), lambda: square, resampled)
    return tf.ensure_shape(result, [image_size_px, image_size_px, 3])
