"""A file of weights, told by what it holds rather than by its name, and opened in slim's names.

    TensorFlow       a V1 file, or the prefix of a V2 checkpoint; slim's names
    Keras            .h5, .weights.h5, .keras
    PyTorch          .pth, .safetensors; torchvision's names

Anything else is named for what it is, and refused.
"""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from job.contract.errors import DataError, InputMissingError
from job.model import foreign_vgg19, keras_file, torch_file
from job.model.weights import Weights

_HEAD_BYTES = 512
_SSTABLE_END = bytes.fromhex("57fb808b247547db")
"""The last eight bytes of a V1 checkpoint, and of the .index of a V2 one."""
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What TensorFlow's reader raises for a file that is cut, altered or something else.
_UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
_STARTS = (
    (b"<!doctype html", "is a web page: the download wants a login, or another address"),
    (b"<html", "is a web page: the download wants a login, or another address"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file: run `git lfs pull`"),
    (b"\x93numpy", "is a NumPy array, without the names of layers"),
    (b"node {", "is the text of a graph, without weights"),
)
_ENDINGS = (
    (".onnx", "is an ONNX graph"),
    (".tflite", "is a TensorFlow Lite model"),
    (".pb", "is a TensorFlow graph"),
    (".pbtxt", "is the text of a graph, without weights"),
)
_TAKEN = (
    "what can be taken: slim's vgg_19.ckpt, a run directory, Keras' VGG19 (.h5, .keras), "
    "torchvision's (.pth, .safetensors)"
)


@contextlib.contextmanager
def opened(path: str, shown_as: str) -> Iterator[Weights]:
    """Open a local file, or the prefix of TensorFlow's files, as weights in slim's names.

    Args:
        path: Of the local file or prefix.
        shown_as: What a user calls it.

    Raises:
        DataError: It is damaged, or something that cannot be taken; the message says what it is.
        InputMissingError: The .index of a V2 checkpoint is missing.
    """
    with contextlib.ExitStack() as stack:
        if not os.path.isfile(path):
            yield _of_tensorflow(path, shown_as)
            return
        head = _head(path)
        if head.startswith(keras_file.HDF5_START):
            file = stack.enter_context(keras_file.open_hdf5(path, shown_as))
            yield foreign_vgg19.from_keras(file, shown_as)
        elif keras_file.is_keras_zip(path):
            file = stack.enter_context(keras_file.open_zip(path, shown_as))
            yield foreign_vgg19.from_keras(file, shown_as)
        elif torch_file.is_torch_zip(path):
            file = stack.enter_context(torch_file.open_zip(path, shown_as))
            yield foreign_vgg19.from_torchvision(file, shown_as)
        elif head.startswith(torch_file.LEGACY_START):
            file = stack.enter_context(torch_file.open_legacy(path, shown_as))
            yield foreign_vgg19.from_torchvision(file, shown_as)
        elif shown_as.endswith(".safetensors"):
            file = stack.enter_context(torch_file.open_safetensors(path, shown_as))
            yield foreign_vgg19.from_torchvision(file, shown_as)
        elif _tail(path) == _SSTABLE_END:
            yield _of_tensorflow(path, shown_as)
        else:
            raise DataError(f"{shown_as} {_what(head, path, shown_as)}; {_TAKEN}")


def _of_tensorflow(prefix: str, shown_as: str) -> Weights:
    if not os.path.isfile(prefix) and not os.path.isfile(f"{prefix}.index"):
        raise InputMissingError(
            f"{shown_as}: {os.path.basename(prefix)}.index is missing, which has the names of the "
            "values; copy it beside the .data file"
        )
    with _readable(shown_as):
        reader = tf.train.load_checkpoint(prefix)
        found = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    if _OBJECT_GRAPH in found:
        raise DataError(
            f"{shown_as} is an object-based checkpoint of TensorFlow 2 (tf.train.Checkpoint, or "
            "Keras' save_weights in the format tf), which names no layers; save the weights of "
            f"Keras as .weights.h5; {_TAKEN}"
        )

    def read(name: str) -> object:
        with _readable(shown_as):
            return reader.get_tensor(name)

    return Weights(found, read)  # type: ignore[arg-type]


@contextlib.contextmanager
def _readable(shown_as: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{shown_as} cannot be read as a checkpoint: {reason}") from error


def _what(head: bytes, path: str, shown_as: str) -> str:
    if not head:
        return "is empty"
    for start, what in _STARTS:
        if head.lstrip().lower().startswith(start):
            return what
    for ending, what in _ENDINGS:
        if shown_as.lower().endswith(ending):
            return what
    if head.startswith(b"PK"):
        return "is a zip file of neither Keras nor PyTorch, or cut short"
    return (
        f"({os.path.getsize(path):,} bytes) is no checkpoint, or one that was cut short; if it is "
        "the .data file of a checkpoint under another name, give it its own name back, and its "
        ".index beside it"
    )


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_HEAD_BYTES)


def _tail(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - len(_SSTABLE_END)))
        return file.read()
