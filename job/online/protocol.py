"""What clients ask and are told: TensorFlow Serving's REST request, and KServe's version 2. Pure.

    POST /v1/models/NAME:predict    {"instances": [{"images": {"b64": "..."}}, ...]}
    POST /v2/models/NAME/infer      {"inputs": [{"name": "images", "shape": [1],
                                                 "datatype": "BYTES", "data": ["base64 ..."]}]}

TensorFlow Serving: tensorflow/serving, api_rest.md. Version 2: kserve/open-inference-protocol,
whose JSON has no bytes, so that they travel as base64, as they do in the other one.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from job.contract import schema
from job.contract.errors import DataError

T = TypeVar("T")

TOP_CLASSES = 5
PROBABILITY_DIGITS = 6
"""As many as a prediction's rows have."""

_WHAT = "the request"


class RequestError(Exception):
    """A request that gets no prediction.

    Attributes:
        status: HTTP status: 4xx for what is the client's to mend.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What the model says about one image.

    Attributes:
        probabilities: float32 [classes], in the order of the labels.
        labels: The likeliest classes, best first.
        classes: Their names.
    """

    probabilities: npt.NDArray[np.float32]
    labels: Sequence[int]
    classes: Sequence[str]


def answer(probabilities: npt.NDArray[np.float32], classes: Sequence[str]) -> Answer:
    """Name the likeliest classes of one image, equal ones in the order of their labels."""
    best = np.argsort(-probabilities, kind="stable")[:TOP_CLASSES].tolist()
    return Answer(probabilities, best, [classes[label] for label in best])


@dataclass(frozen=True, kw_only=True)
class _Base64:
    b64: str


@dataclass(frozen=True, kw_only=True)
class _Instance:
    images: _Base64


@dataclass(frozen=True, kw_only=True)
class _Instances:
    instances: list[_Instance]


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    name: str
    datatype: str
    data: list[str]
    shape: list[int] | None = None


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    inputs: list[_Tensor]
    id: str = ""


def read_v1(body: bytes, most_bytes: int) -> list[bytes]:
    """Take the encoded images out of a request of TensorFlow Serving's.

    Raises:
        RequestError: It is none, or has no images.
    """
    asked = _read(body, _Instances, most_bytes)
    return _images([instance.images.b64 for instance in asked.instances])


def read_v2(body: bytes, most_bytes: int) -> tuple[list[bytes], str]:
    """Take the encoded images, and the request's id, out of a request of version 2.

    Raises:
        RequestError: It is none, or has no images.
    """
    asked = _read(body, _Inputs, most_bytes)
    tensors = [tensor for tensor in asked.inputs if tensor.name == "images"]
    if len(tensors) != 1 or tensors[0].datatype != "BYTES":
        raise RequestError(400, "inputs: expected one tensor 'images' of datatype BYTES")
    (tensor,) = tensors
    if tensor.shape is not None and tensor.shape != [len(tensor.data)]:
        raise RequestError(
            400, f"inputs: shape {tensor.shape} does not fit {len(tensor.data)} images in data"
        )
    return _images(tensor.data), asked.id


def write_v1(answers: Sequence[Answer]) -> dict[str, Any]:
    """Answer as TensorFlow Serving does: a row for each instance."""
    return {
        "predictions": [
            {
                "classes": list(one.classes),
                "labels": list(one.labels),
                "probabilities": rounded(one.probabilities),
            }
            for one in answers
        ]
    }


def write_v2(
    answers: Sequence[Answer], *, model: str, version: str, request_id: str
) -> dict[str, Any]:
    """Answer in version 2: a tensor for each output, flat."""
    shown = len(answers[0].labels)
    columns: list[tuple[str, str, int, list[Any]]] = [
        (
            "probabilities",
            "FP32",
            len(answers[0].probabilities),
            [share for one in answers for share in rounded(one.probabilities)],
        ),
        ("labels", "INT32", shown, [label for one in answers for label in one.labels]),
        ("classes", "BYTES", shown, [name for one in answers for name in one.classes]),
    ]
    return {
        "model_name": model,
        "model_version": version,
        **({"id": request_id} if request_id else {}),
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [len(answers), width], "data": data}
            for name, datatype, width, data in columns
        ],
    }


def metadata(model: str, version: str, classes: Sequence[str]) -> Mapping[str, Any]:
    """Describe the model as version 2 does."""
    shown = min(TOP_CLASSES, len(classes))
    return {
        "name": model,
        "versions": [version],
        "platform": "food101-vgg19",
        "inputs": [{"name": "images", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(classes)]},
            {"name": "labels", "datatype": "INT32", "shape": [-1, shown]},
            {"name": "classes", "datatype": "BYTES", "shape": [-1, shown]},
        ],
    }


def rounded(probabilities: npt.NDArray[np.float32]) -> list[float]:
    """Round as a prediction's rows are rounded."""
    return [round(float(share), PROBABILITY_DIGITS) for share in probabilities]


def _read(body: bytes, kind: type[T], most_bytes: int) -> T:
    try:
        return schema.read(body, kind, what=_WHAT, max_bytes=most_bytes)
    except DataError as error:
        raise RequestError(400, str(error)) from error


def _images(texts: Sequence[str]) -> list[bytes]:
    if not texts:
        raise RequestError(400, "the request holds no images")
    return [_decoded(text, place) for place, text in enumerate(texts)]


def _decoded(text: str, place: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"image {place} is not base64: {error}") from error
