"""Memory of image batches, used again once nobody holds the batch that lay in it.

Fresh memory of a batch's size comes from the kernel page by page, each cleared first, and a
tensor made from an array is a copy of it, during which no other thread gets the interpreter's
lock. Here the tensor is the array: DLPack hands over the memory, and its reference with it.
"""

import weakref
from collections import deque

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_ALIGNMENT = 64  # TensorFlow copies what lies otherwise, for its vector instructions.


class BatchMemory:
    """Blocks of one size, as many as batches were ever held at a time. Safe between threads.

    Args:
        shape: Of every batch of images, [n, side, side, 3].
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._size = int(np.prod(shape))
        self._free: deque[npt.NDArray[np.uint8]] = deque()

    def take(self) -> npt.NDArray[np.uint8]:
        """Give uint8 [*shape], filled with anything, for as long as it or a view of it is held."""
        try:
            block = self._free.pop()
        except IndexError:
            block = _aligned(self._size)
        # By way of a memoryview, so that views refer to this array and not to the block itself.
        held = np.frombuffer(block.data, np.uint8)
        weakref.finalize(held, self._free.append, block)
        return held.reshape(self._shape)


def as_tensor(images: npt.NDArray[np.uint8]) -> tf.Tensor:
    """Make a tensor of an array without copying it; nobody may write to the array any more."""
    tensor: tf.Tensor = tf.experimental.dlpack.from_dlpack(images.__dlpack__())
    return tensor


def _aligned(size: int) -> npt.NDArray[np.uint8]:
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]
