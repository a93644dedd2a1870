"""VGG19 as Keras and torchvision save it, turned into slim's names, layouts and colours.

Keras (keras.applications.VGG19) keeps kernels as slim does, [height, width, in, out], and was
converted from Caffe: it sees BGR, 0..255, minus the mean. torchvision keeps them as [out, in,
height, width], sees RGB as (x / 255 - mean) / deviation, and flattens before fc6 by channels first.
Ours sees RGB, 0..255, minus the mean (`MEAN_RGB`); what is different is put into the first layer.
There Keras' mean differs from ours by 0.001, which is left; torchvision's differs by up to 0.5, of
which only the padding around the image keeps a trace.
"""

import functools
import re
from collections.abc import Callable, Mapping

import numpy as np

from job.contract.errors import DataError
from job.images.preprocess import MEAN_RGB
from job.model import shapes
from job.model.weights import Shape, Tensor, Weights, transposed

_FIRST = f"{shapes.SCOPE}/conv1/conv1_1"
_KERAS_CONV = re.compile(r"block(\d)_conv(\d)")
_KERAS_HEAD = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
_TORCH_HEAD = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_DEVIATION = (0.229, 0.224, 0.225)
_BY_CONVOLUTIONS = {8: "VGG11", 10: "VGG13", 13: "VGG16"}
_OIHW_TO_HWIO = (2, 3, 1, 0)


def from_keras(file: Weights, shown_as: str) -> Weights:
    """Turn the layers of Keras' file into slim's.

    Raises:
        DataError: It is another network.
    """
    layers = {name.rpartition("/")[0] for name in file.shapes}
    convolutions = {
        layer: f"{shapes.SCOPE}/conv{parts[1]}/conv{parts[1]}_{parts[2]}"
        for layer in layers
        if (parts := _KERAS_CONV.fullmatch(layer))
    }
    _check(convolutions.values(), shown_as, "Keras'", ", ".join(sorted(layers)[:3]) or _of(file))
    names = convolutions | {
        layer: f"{shapes.SCOPE}/{_KERAS_HEAD[layer]}" for layer in layers if layer in _KERAS_HEAD
    }
    sources = {
        f"{ours}/{kind}": f"{theirs}/{part}"
        for theirs, ours in names.items()
        for kind, part in (("weights", "kernel"), ("biases", "bias"))
        if f"{theirs}/{part}" in file.shapes
    }
    return _renamed(
        file,
        sources,
        shape_of=_keras_shape,
        convert=_of_keras,
        kind="Keras' VGG19, its first layer turned from BGR to RGB",
    )


def from_torchvision(file: Weights, shown_as: str) -> Weights:
    """Turn the tensors of a torchvision network into slim's.

    Raises:
        DataError: It is another network.
    """
    numbers = sorted(
        int(name.split(".")[1])
        for name, shape in file.shapes.items()
        if re.fullmatch(r"features\.\d+\.weight", name) and len(shape) == len(_OIHW_TO_HWIO)
    )
    if any(name.endswith("running_mean") for name in file.shapes):
        raise DataError(
            f"{shown_as} has batch normalisation, as torchvision's vgg19_bn; this network has "
            "none: give the weights of vgg19"
        )
    ours = list(shapes.conv_layers())
    names = {f"features.{number}": layer for number, layer in zip(numbers, ours, strict=False)}
    if len(numbers) != len(ours):
        names = {f"features.{number}": str(number) for number in numbers}
    _check(names.values(), shown_as, "torchvision's", _of(file))
    names |= {theirs: f"{shapes.SCOPE}/{layer}" for theirs, layer in _TORCH_HEAD.items()}
    sources = {
        f"{layer}/{kind}": f"{theirs}.{part}"
        for theirs, layer in names.items()
        for kind, part in (("weights", "weight"), ("biases", "bias"))
        if f"{theirs}.{part}" in file.shapes
    }
    return _renamed(
        file,
        sources,
        shape_of=_torch_shape,
        convert=_of_torch,
        kind="torchvision's VGG19, its scaling of colours put into the first layer",
    )


def _check(layers: object, shown_as: str, whose: str, instead: str) -> None:
    found, expected = set(layers), set(shapes.conv_layers())  # type: ignore[call-overload]
    if found == expected:
        return
    known = _BY_CONVOLUTIONS.get(len(found))
    what = f"is {whose} {known}" if known else f"is no VGG19: it holds {instead}"
    raise DataError(f"{shown_as} {what}; this network is VGG19, give its weights")


def _of(file: Weights) -> str:
    return ", ".join(sorted(file.shapes)[:3]) or "nothing known: " + ", ".join(file.also[:3])


def _renamed(
    file: Weights,
    sources: Mapping[str, str],
    *,
    shape_of: Callable[[str, Shape], Shape],
    convert: Callable[[Callable[[str], Tensor], Mapping[str, str], str], Tensor],
    kind: str,
) -> Weights:
    return Weights(
        {name: shape_of(name, file.shapes[theirs]) for name, theirs in sources.items()},
        functools.partial(convert, file.read, sources),
        kind=kind,
        also=tuple(sorted(file.shapes.keys() - set(sources.values()))),
    )


def _keras_shape(name: str, theirs: Shape) -> Shape:
    """Give the shape [height, width, in, out] of a kernel, which Keras may keep as [in, out]."""
    if len(theirs) != 2:
        return theirs
    return _fc_shape(name, channels_in=theirs[0], channels_out=theirs[1])


def _torch_shape(name: str, theirs: Shape) -> Shape:
    if len(theirs) == len(_OIHW_TO_HWIO):
        return tuple(theirs[axis] for axis in _OIHW_TO_HWIO)
    if len(theirs) != 2:
        return theirs
    return _fc_shape(name, channels_in=theirs[1], channels_out=theirs[0])


def _fc_shape(name: str, *, channels_in: int, channels_out: int) -> Shape:
    side = shapes.FC6_WINDOW if name.startswith(f"{shapes.SCOPE}/fc6/") else 1
    return (side, side, channels_in // side**2, channels_out)


def _of_keras(read: Callable[[str], Tensor], sources: Mapping[str, str], name: str) -> Tensor:
    tensor = read(sources[name])
    if name == f"{_FIRST}/weights":
        return np.ascontiguousarray(tensor[:, :, ::-1, :])
    return tensor.reshape(_keras_shape(name, tensor.shape))


def _of_torch(read: Callable[[str], Tensor], sources: Mapping[str, str], name: str) -> Tensor:
    tensor = read(sources[name])
    if name == f"{_FIRST}/biases":
        # What a constant colour, the difference of the means, adds to every output.
        kernel = read(sources[f"{_FIRST}/weights"]).astype(np.float64)
        added: Tensor = (kernel.sum(axis=(2, 3)) * _torch_offset()).sum(axis=1)
        return (tensor + added).astype(np.float32)
    if len(tensor.shape) == 1:
        return tensor
    if len(tensor.shape) == 2:
        height, width, channels_in, channels_out = _torch_shape(name, tensor.shape)
        tensor = tensor.reshape(channels_out, channels_in, height, width)
    kernel = transposed(tensor, _OIHW_TO_HWIO)
    if name == f"{_FIRST}/weights":
        kernel = (kernel / _torch_scale()[:, None]).astype(np.float32)
    return kernel


def _torch_scale() -> Tensor:
    return 255.0 * np.asarray(_TORCH_DEVIATION)


def _torch_offset() -> Tensor:
    """By how much our mean is above theirs, in their units."""
    return (np.asarray(MEAN_RGB) - 255.0 * np.asarray(_TORCH_MEAN)) / _torch_scale()
