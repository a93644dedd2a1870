"""Whatever a client sends, it is a list of images or an error that says what is wrong."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.online import protocol
from job.online.protocol import RequestError

MOST = 1 << 20
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["instances", "inputs", "images", "b64", "name", "data", "shape", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
def test_both_requests_carry_any_bytes(images: list[bytes]) -> None:
    v1 = {"instances": [{"images": {"b64": b64(image)}} for image in images]}
    tensor = {"name": "images", "shape": [len(images)], "datatype": "BYTES"}
    v2 = {"id": "7", "inputs": [{**tensor, "data": [b64(image) for image in images]}]}
    assert protocol.read_v1(json.dumps(v1).encode(), MOST) == images
    assert protocol.read_v2(json.dumps(v2).encode(), MOST) == (images, "7")


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    for read in (protocol.read_v1, protocol.read_v2):
        refused = None
        try:
            read(body, MOST)
        except RequestError as error:
            refused = error
        assert refused is None or (refused.status == 400 and str(refused))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"instances": []}, "no images"),
        ({"instances": [{"images": {"b64": "?"}}]}, "image 0 is not base64"),
        ({"instances": [{"images": "abc"}]}, "images"),
        ({}, "instances"),
    ],
)
def test_a_request_that_is_none_says_what_is_missing(body: dict, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        protocol.read_v1(json.dumps(body).encode(), MOST)


def test_a_tensor_of_another_shape_or_type_is_refused() -> None:
    tensor = {"name": "images", "shape": [2], "datatype": "BYTES", "data": [b64(b"x")]}
    with pytest.raises(RequestError, match="shape"):
        protocol.read_v2(json.dumps({"inputs": [tensor]}).encode(), MOST)
    tensor |= {"shape": [1], "datatype": "FP32"}
    with pytest.raises(RequestError, match="BYTES"):
        protocol.read_v2(json.dumps({"inputs": [tensor]}).encode(), MOST)


def test_answers_are_rows_in_one_and_tensors_in_the_other() -> None:
    classes = ("apple_pie", "baklava", "churros")
    answers = [
        protocol.answer(np.array(shares, np.float32), classes)
        for shares in ([0.2, 0.5, 0.3], [0.4, 0.2, 0.4])
    ]
    rows = protocol.write_v1(answers)["predictions"]
    assert [row["classes"][0] for row in rows] == ["baklava", "apple_pie"]
    assert rows[1]["labels"] == [0, 2, 1]
    tensors = {
        one["name"]: one
        for one in protocol.write_v2(answers, model="food", version="1", request_id="")["outputs"]
    }
    assert tensors["probabilities"]["shape"] == [2, 3]
    assert tensors["probabilities"]["data"] == [0.2, 0.5, 0.3, 0.4, 0.2, 0.4]
    assert tensors["classes"]["data"] == [
        "baklava", "churros", "apple_pie", "apple_pie", "churros", "baklava",
    ]  # fmt: skip
