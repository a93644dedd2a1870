"""Our training step, as `python -m job.train` takes it on one worker."""

import sys

import numpy as np
import tensorflow as tf

from job.contract.configs import TrainConfig
from job.distributed.exchange_plan import plan_exchange
from job.model.precision import choose
from job.model.vgg19 import VGG19
from job.training.optimizer import Momentum
from job.training.step import TrainStep
from tests.benchmarks.step_server import BATCH, CLASSES, IMAGE_PX, serve


def make_step(precision: str):
    """Build network, optimizer and step with the default recipe; returns what takes a step."""
    config = TrainConfig(data="data", run="run", global_batch_size=BATCH)
    strategy = tf.distribute.get_strategy()
    model = VGG19(CLASSES)
    optimizer = Momentum.for_training(model.variables_by_name, config, head_is_new=False)
    shapes = {name: tuple(v.shape) for name, v in model.variables_by_name.items()}
    chosen = choose(precision)
    step = TrainStep(
        strategy=strategy,
        model=model,
        optimizer=optimizer,
        plan=plan_exchange(shapes, BATCH, 1, 10.0, "dense"),
        precision=chosen,
        config=config,
        use_xla=False,
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, IMAGE_PX, IMAGE_PX, 3), np.uint8)
    batch = {
        "images": tf.constant(images),
        "labels": tf.constant(rng.integers(0, CLASSES, BATCH), tf.int32),
    }
    taken = 0

    def take() -> float:
        nonlocal taken
        taken += 1
        return step(batch, step=taken, learning_rate=1e-3).loss

    return chosen.name, take


if __name__ == "__main__":
    name, take = make_step(sys.argv[1])
    serve({name: take})
