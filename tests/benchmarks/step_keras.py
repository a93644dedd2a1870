"""Keras 3's own VGG19, compiled and trained on one batch at a time, as `fit` does."""

import keras
import numpy as np

from tests.benchmarks.step_server import BATCH, CLASSES, IMAGE_PX, serve


def make_step():
    """Compile the model with plain momentum SGD; returns what takes a step."""
    model = keras.applications.VGG19(
        weights=None, classes=CLASSES, input_shape=(IMAGE_PX, IMAGE_PX, 3)
    )
    model.compile(
        optimizer=keras.optimizers.SGD(1e-3, momentum=0.9, weight_decay=5e-4),
        loss="sparse_categorical_crossentropy",
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, IMAGE_PX, IMAGE_PX, 3)).astype(np.float32) - 120.0
    labels = rng.integers(0, CLASSES, BATCH)
    return lambda: float(model.train_on_batch(images, labels))


if __name__ == "__main__":
    serve({"float32": make_step()})
