"""Matrix products alone, with as many multiplications as a training step needs.

No step that computes its convolutions directly can be faster than this on the same processor: it
leaves out every other operation, and its operands have the best of all shapes.
"""

import tensorflow as tf

from job.contract.configs import TrainConfig
from launcher.describe.estimate import flops_per_image
from tests.benchmarks.step_server import BATCH, CLASSES, IMAGE_PX, serve

_PRODUCTS, _SIDE = 8, 4096


def make_steps():
    """Cut the work into equal products; returns what does it all in each precision."""
    config = TrainConfig(data="data", run="run", image_size_px=IMAGE_PX)
    inner = round(BATCH * flops_per_image(config, CLASSES) / (_PRODUCTS * 2 * _SIDE**2))

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
