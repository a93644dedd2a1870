"""Images as people have them, as prediction shows them to a model."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from job.images.normalise import normalise
from job.images.preprocess import decode_for_evaluation
from job.images.rejected import RejectedError
from job.images.upright import MAX_PIXELS, take_in, turn_upright
from tests.job.pictures import ORIENTATION, encoded, jpeg, rotated_jpeg, scene

SIDE_PX = 32


def seen(data: bytes) -> np.ndarray:
    """What the network gets of a file."""
    image = take_in(data)
    square: np.ndarray = decode_for_evaluation(image.encoded, SIDE_PX).numpy()
    return turn_upright(square, image.orientation)


def in_training(data: bytes) -> np.ndarray:
    """What the network gets of the record that is made of a file."""
    square: np.ndarray = decode_for_evaluation(normalise(data).encoded, SIDE_PX).numpy()
    return square


def difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left.astype(int) - right).mean())


def test_upright_jpeg_files_are_left_to_the_model() -> None:
    data = jpeg(1)
    assert take_in(data).encoded is data
    assert np.array_equal(seen(data), decode_for_evaluation(data, SIDE_PX).numpy())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(orientation: int) -> None:
    """A camera stores what it sees and says how it was held."""
    data = rotated_jpeg(scene(2), orientation)
    assert difference(seen(data), in_training(data)) < 3
    for other in range(1, 9):
        if other != orientation:
            turned = rotated_jpeg(scene(2), other)
            assert difference(seen(data), seen(turned)) > 4


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_every_format_is_seen_as_in_training(kind: str) -> None:
    data = encoded(scene(3), kind)
    assert difference(seen(data), in_training(data)) < 4
    assert difference(seen(data), seen(jpeg(3))) < 8


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_show_their_very_pixels(kind: str) -> None:
    data = encoded(scene(4), kind)
    assert np.array_equal(seen(data), decode_for_evaluation(data, SIDE_PX).numpy())


def test_transparent_pixels_lie_on_white() -> None:
    layer = np.dstack([scene(5), np.zeros((48, 64), np.uint8)])
    assert seen(encoded(layer, "PNG")).min() == 255


def test_other_formats_stand_upright_too() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(scene(6), "PNG", exif=exif)
    assert difference(seen(data), seen(rotated_jpeg(scene(6), 6))) < 8


def test_16_bit_grey_is_scaled() -> None:
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    assert difference(seen(buffer.getvalue()), in_training(buffer.getvalue())) < 3


def bomb(kind: str) -> bytes:
    buffer = io.BytesIO()
    # A sequential JPEG is decoded at a reduced size, and may be four times as large.
    side = int(MAX_PIXELS**0.5) * (2 if kind == "JPEG" else 1) + 8
    with warnings.catch_warnings(action="ignore"):
        Image.new("L", (side, side)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"this is no image", "unsupported_format"),
        (encoded(scene(7), "PNG")[:-60], "damaged"),
        (encoded(scene(7), "WEBP")[:-200], "damaged"),
        (bomb("JPEG"), "too_many_pixels"),
        (bomb("PNG"), "too_many_pixels"),
    ],
)
def test_what_no_model_can_use_is_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedError) as rejected:
        take_in(data)
    assert rejected.value.reason == reason
