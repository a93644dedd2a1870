import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from job.dataset.batch_memory import BatchMemory, as_tensor

SHAPE = (3, 5, 5, 3)


def address(array):
    return array.ctypes.data


def filled(memory, value):
    images = memory.take()
    images[:] = value
    return as_tensor(images)


def test_a_tensor_lies_where_the_array_does():
    images = BatchMemory(SHAPE).take()
    images[:] = 7
    tensor = as_tensor(images)
    images[0, 0, 0, 0] = 9
    assert tensor.shape == SHAPE
    assert tensor.dtype == tf.uint8
    assert int(tensor[0, 0, 0, 0]) == 9
    assert int(tensor[0, 0, 0, 1]) == 7


def test_memory_serves_again_once_its_tensor_is_gone():
    memory = BatchMemory(SHAPE)
    images = memory.take()
    first = address(images)
    tensor = as_tensor(images)
    del images
    assert address(memory.take()) != first
    del tensor
    gc.collect()
    assert address(memory.take()) == first


def test_memory_is_kept_as_long_as_anything_shows_it():
    memory = BatchMemory(SHAPE)
    row = memory.take()[1]
    row[:] = 1
    reshaped = tf.reshape(filled(memory, 2), [-1])
    array = filled(memory, 3).numpy()
    others = [filled(memory, 4) for _ in range(4)]
    assert set(row.flat) == {1}
    assert set(reshaped.numpy()) == {2}
    assert set(array.flat) == {3}
    assert all(set(other.numpy().flat) == {4} for other in others)


def test_a_graph_that_still_runs_keeps_its_input():
    memory = BatchMemory((64, 64, 64, 3))

    @tf.function
    def slow(images):
        sums = tf.constant(0.0)
        for _ in tf.range(20):
            sums += tf.reduce_sum(tf.cast(images, tf.float32))
        return sums

    def take_step(value):
        result = slow(filled(memory, value))
        return float(result) / 20 / np.prod((64, 64, 64, 3))

    with ThreadPoolExecutor(8) as pool:
        values = [number % 200 for number in range(64)]
        found = list(pool.map(take_step, values))
    np.testing.assert_allclose(found, values, rtol=1e-5)


def test_threads_never_get_memory_that_another_one_holds():
    memory = BatchMemory(SHAPE)

    def differences(value):
        tensor = filled(memory, value)
        kept = tensor.numpy().copy()
        again = tensor.numpy()
        return int((kept != value).sum() + (again != value).sum())

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(differences, [number % 251 for number in range(4000)])) == 0
