"""Tensors of Keras' files: `.h5` of Keras 2 and 3, `.weights.h5` and `.keras`.

They are named by their layer: "block1_conv1/kernel". Where in the file a layer lies has changed
with every version of Keras; its name is in the path, or is noted beside the numbers.
"""

import contextlib
import functools
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from job.contract.errors import DataError
from job.model.weights import Tensor, Weights

HDF5_START = b"\x89HDF\r\n\x1a\n"
_IN_KERAS_ZIP = "model.weights.h5"
_LAYER = re.compile(r"block\d+_conv\d+|fc\d+|predictions")
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError)


def is_keras_zip(path: str) -> bool:
    """Whether a zip file is Keras'."""
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        return _IN_KERAS_ZIP in archive.NameToInfo
    return False


@contextlib.contextmanager
def open_zip(path: str, shown_as: str) -> Iterator[Weights]:
    """Open a `.keras`; DataError if it is damaged."""
    with tempfile.TemporaryFile() as file:
        with (
            _named(shown_as),
            zipfile.ZipFile(path) as archive,
            archive.open(_IN_KERAS_ZIP) as inner,
        ):
            shutil.copyfileobj(inner, file, 1 << 20)
        with open_hdf5(file, shown_as) as weights:
            yield weights


@contextlib.contextmanager
def open_hdf5(file: Any, shown_as: str) -> Iterator[Weights]:
    """Open a `.h5`, by its path or as a file; DataError if it is damaged."""
    with contextlib.ExitStack() as stack:
        with _named(shown_as):
            opened = stack.enter_context(h5py.File(file, "r"))
            datasets = _datasets(opened)
        yield Weights(
            {name: tuple(dataset.shape) for name, dataset in datasets.items()},
            functools.partial(_read, datasets, shown_as),
            also=tuple(sorted(set(opened) - {"model_weights", "layers", "optimizer_weights"})),
        )


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Find the kernel (of the rank of its layer) and the bias (of rank 1) of each layer."""
    found: dict[str, h5py.Dataset] = {}

    def take(path: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or path.startswith("optimizer"):
            return
        noted = str(item.parent.attrs.get("name", ""))
        layer = _LAYER.search(path) or _LAYER.fullmatch(noted)
        if layer is not None:
            found[f"{layer[0]}/{'bias' if len(item.shape) == 1 else 'kernel'}"] = item

    file.visititems(take)
    return found


def _read(datasets: dict[str, h5py.Dataset], shown_as: str, name: str) -> Tensor:
    with _named(shown_as):
        return np.asarray(datasets[name][()], np.float32)


@contextlib.contextmanager
def _named(shown_as: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataError(f"{shown_as} is damaged or cut short: {error}") from error
