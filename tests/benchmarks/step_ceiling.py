"""Matrix products alone, with as many multiplications as a training step needs.

No step that computes its convolutions directly can be faster than this on the same processor: it
leaves out every other operation, and its operands have the best of all shapes.
"""

import re

import tensorflow as tf

from job import vgg19_shapes
from tests.benchmarks.step_server import BATCH, CLASSES, IMAGE_PX, serve

_PRODUCTS, _SIDE = 8, 4096


def step_flops() -> int:
    """Count a step's multiplications and additions; forward, and twice that backward.

    The first layer has no gradient of its input.
    """
    total = 0
    for number, (name, shape) in enumerate(_weights()):
        height, width, channels, outputs = shape
        stage = re.search(r"conv(\d)_", name)
        places = (IMAGE_PX >> (int(stage[1]) - 1)) ** 2 if stage else 1
        forward = 2 * BATCH * places * height * width * channels * outputs
        total += forward * (3 if number else 2)
    return total


def _weights() -> list[tuple[str, tuple[int, ...]]]:
    shapes = vgg19_shapes.layer_shapes(CLASSES, "fc", 1.0)
    return [(name, shape) for name, shape in shapes.items() if name.endswith("/weights")]


def make_steps():
    """Cut the work into equal products; returns what does it all in each precision."""
    inner = round(step_flops() / (_PRODUCTS * 2 * _SIDE**2))

    def step(dtype: tf.DType):
        left = tf.cast(tf.random.normal((_SIDE, inner)), dtype)
        right = tf.cast(tf.random.normal((inner, _SIDE)), dtype)
        multiply = tf.function(lambda: tf.matmul(left, right))

        def take() -> float:
            for _ in range(_PRODUCTS):
                product = multiply()
            return float(product[0, 0])

        return take

    return {"float32": step(tf.float32), "bfloat16": step(tf.bfloat16)}


if __name__ == "__main__":
    serve(make_steps())
