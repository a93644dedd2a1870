"""Tensors of PyTorch's files: `.pth` of today (a zip) and of 2017, and `.safetensors`."""

import contextlib
import functools
import io
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from job.contract.errors import DataError
from job.model.torch_program import NotUnderstoodError, Storage, StoredTensor, follow
from job.model.weights import Tensor, Weights

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number with which every file of `torch.save` before 1.6 begins."""

_NUMBERS = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
}
_SAFE_NUMBERS = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}
_LONGEST_HEADER_BYTES = 100 << 20
_CONVERT = (
    "save its weights alone where PyTorch is: "
    "safetensors.torch.save_file(model.state_dict(), 'vgg19.safetensors')"
)
_DAMAGE = (
    zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, KeyError, TypeError,
    AttributeError, RecursionError, struct.error,
)  # fmt: skip


def is_torch_zip(path: str) -> bool:
    """Whether a zip file is PyTorch's."""
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        return _program_name(archive) is not None
    return False


@contextlib.contextmanager
def open_zip(path: str, shown_as: str) -> Iterator[Weights]:
    """Open a `.pth` as PyTorch writes it since 1.6.

    Raises:
        DataError: It is damaged, or holds more than tensors.
    """
    with contextlib.ExitStack() as stack:
        with _named(shown_as):
            archive = stack.enter_context(zipfile.ZipFile(path))
            name = _program_name(archive) or ""
            root = name.removesuffix("data.pkl")
            if archive.NameToInfo.get(f"{root}byteorder") and b"big" in _stored(
                archive, f"{root}byteorder"
            ):
                raise NotUnderstoodError("numbers of a big-endian machine")
            content = follow(io.BytesIO(_stored(archive, name)))
            weights = _weights(
                content, lambda storage: _stored(archive, f"{root}data/{storage.key}"), shown_as
            )
        yield weights


@contextlib.contextmanager
def open_legacy(path: str, shown_as: str) -> Iterator[Weights]:
    """Open a `.pth` as PyTorch wrote it before 1.6, torchvision's of 2017 among them.

    Raises:
        DataError: It is damaged, or holds more than tensors.
    """
    with open(path, "rb") as file:

        def bytes_of(storage: Storage) -> bytes:
            file.seek(places[storage.key])
            return file.read(storage.length * _number_bytes(storage))

        with _named(shown_as):
            for _ in range(3):  # A magic number, a version, and the sizes of numbers.
                follow(file)
            content = follow(file)
            keys = follow(file)
            places = _places(file, keys, content, os.path.getsize(path))
            weights = _weights(content, bytes_of, shown_as)
        yield weights


@contextlib.contextmanager
def open_safetensors(path: str, shown_as: str) -> Iterator[Weights]:
    """Open a `.safetensors`: a length, a description in JSON, and the numbers.

    Raises:
        DataError: It is damaged.
    """
    with open(path, "rb") as file:
        size = os.path.getsize(path)

        def read(name: str) -> Tensor:
            facts = described[name]
            begin, end = (int(offset) for offset in facts["data_offsets"])
            if not 0 <= begin <= end <= size - 8 - length:
                raise ValueError(f"{name} lies outside of it")
            file.seek(8 + length + begin)
            data = np.frombuffer(file.read(end - begin), _SAFE_NUMBERS[facts["dtype"]])
            return data.reshape(shapes[name]).astype(np.float32)

        with _named(shown_as):
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_LONGEST_HEADER_BYTES, size):
                raise ValueError("its description would be longer than the file")
            described = json.loads(file.read(length))
            described.pop("__metadata__", None)
            shapes = {name: tuple(map(int, facts["shape"])) for name, facts in described.items()}
        yield Weights(shapes, functools.partial(_read_named, read, shown_as))


def _weights(content: Any, bytes_of: Callable[[Storage], bytes], shown_as: str) -> Weights:
    tensors = _tensors(content)

    def read(name: str) -> Tensor:
        tensor = tensors[name]
        numbers = np.frombuffer(bytes_of(tensor.storage), _NUMBERS[tensor.storage.numbers])
        count = math.prod(tensor.shape)
        chosen = numbers[tensor.offset : tensor.offset + count]
        return chosen.reshape(tensor.shape).astype(np.float32)

    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return Weights(shapes, functools.partial(_read_named, read, shown_as))


def _tensors(content: Any) -> dict[str, StoredTensor]:
    """Find the dictionary of tensors, which training scripts like to put into another one."""
    if not isinstance(content, Mapping):
        raise NotUnderstoodError("something else than a dictionary")
    found = {
        str(name).removeprefix("module."): tensor
        for name, tensor in content.items()
        if isinstance(tensor, StoredTensor)
    }
    inner = (value for value in content.values() if isinstance(value, Mapping))
    return found or next(filter(None, map(_tensors, inner)), {})


def _places(file: BinaryIO, keys: Any, content: Any, size: int) -> dict[str, int]:
    """Say where each storage's numbers begin; they follow each other, each after its count."""
    widths = {
        tensor.storage.key: _number_bytes(tensor.storage) for tensor in _tensors(content).values()
    }
    places, position = {}, file.tell()
    for key in keys:
        file.seek(position)
        (count,) = struct.unpack("<q", file.read(8))
        places[str(key)] = position + 8
        position += 8 + count * widths[str(key)]
        if count < 0 or position > size:
            raise ValueError("it is cut short")
    return places


def _number_bytes(storage: Storage) -> int:
    if storage.numbers not in _NUMBERS:
        raise NotUnderstoodError(f"numbers of the kind {storage.numbers}")
    return np.dtype(_NUMBERS[storage.numbers]).itemsize


def _program_name(archive: zipfile.ZipFile) -> str | None:
    names = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    return next(names, None)


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member that is as long as it says; PyTorch compresses none."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise NotUnderstoodError("compressed numbers")
    return archive.read(name)


def _read_named(read: Callable[[str], Tensor], shown_as: str, name: str) -> Tensor:
    with _named(shown_as):
        return read(name)


@contextlib.contextmanager
def _named(shown_as: str) -> Iterator[None]:
    try:
        yield
    except NotUnderstoodError as error:
        raise DataError(
            f"{shown_as} holds more than a dictionary of tensors ({error}), which only PyTorch can "
            f"read, and which could run anything; {_CONVERT}"
        ) from error
    except _DAMAGE as error:
        raise DataError(f"{shown_as} is damaged or cut short: {error}") from error
