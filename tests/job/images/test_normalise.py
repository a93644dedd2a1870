"""One image file of any kind becomes an upright RGB JPEG, or is refused with a reason."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from job.images.jpeg_header import read_header
from job.images.normalise import NormalImage, UnusableImageError, normalise
from tests.job.pictures import encoded, jpeg, rotated_jpeg, scene


def pixels_of(image: NormalImage) -> np.ndarray:
    """Decode as training does; the size must be the promised one."""
    decoded = tf.io.decode_jpeg(image.encoded).numpy()
    assert decoded.shape == (image.height, image.width, 3)
    return decoded.astype(int)


def closeness(image: NormalImage, expected: np.ndarray) -> float:
    return float(np.abs(pixels_of(image) - expected).mean())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_sound_colour_jpeg_keeps_its_bytes(options: dict[str, object]) -> None:
    data = jpeg(1, **options)
    image = normalise(data)
    assert image.encoded is data
    assert (image.height, image.width) == (48, 64)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_become_jpeg(kind: str) -> None:
    tolerance = 12 if kind == "GIF" else 4
    assert closeness(normalise(encoded(scene(2), kind)), scene(2)) < tolerance


def save(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    cmyk = Image.fromarray(scene(3)).convert("CMYK")
    assert closeness(normalise(save(cmyk, "JPEG")), scene(3)) < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_images_get_three_equal_channels(kind: str) -> None:
    grey = Image.fromarray(scene(4)).convert("L")
    found = pixels_of(normalise(save(grey, kind)))
    assert np.ptp(found, axis=2).max() == 0
    assert np.abs(found[..., 0] - np.asarray(grey)).mean() < 3


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    found = pixels_of(normalise(save(Image.fromarray(ramp), "PNG")))
    assert np.abs(found[..., 0] - (ramp >> 8)).mean() < 3


def test_transparent_pixels_lie_on_white() -> None:
    layer = np.dstack([scene(5), np.zeros((48, 64), np.uint8)])
    assert pixels_of(normalise(encoded(layer, "PNG"))).min() > 250


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.fromarray(scene(number)) for number in (6, 7)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], quality=95)
    assert closeness(normalise(buffer.getvalue()), scene(6)) < 6


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_applied_and_gone(orientation: int) -> None:
    data = rotated_jpeg(scene(8), orientation)
    header = read_header(data)
    assert header is not None
    assert header.orientation == orientation
    image = normalise(data)
    upright = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation](scene(8))
    assert closeness(image, upright) < 5
    again = read_header(image.encoded)
    assert again is not None
    assert again.is_upright_color


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(48, 64, (32, 43)), (64, 48, (43, 32)), (100, 100, (32, 32)), (300, 1200, (32, 128))],
)
def test_images_are_shrunk_to_the_shorter_side(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    image = normalise(jpeg(9, height, width), shorter_side=32)
    assert (image.height, image.width) == expected
    by_area = Image.fromarray(scene(9, height, width)).resize(expected[::-1], Image.Resampling.BOX)
    assert closeness(image, np.asarray(by_area)) < 6


def test_small_images_are_never_enlarged() -> None:
    data = jpeg(10)
    assert normalise(data, shorter_side=256).encoded is data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "not an image"),
        (jpeg(11)[:300], "damaged"),
        (jpeg(11)[:-200], "damaged JPEG"),
        (encoded(scene(11), "PNG")[:-60], "damaged image"),
        (b"\xff\xd8\xff", "not an image"),
    ],
)
@pytest.mark.parametrize("shorter_side", [0, 32])
def test_what_cannot_be_decoded_is_refused_with_a_reason(
    data: bytes, reason: str, shorter_side: int
) -> None:
    with pytest.raises(UnusableImageError, match=reason):
        normalise(data, shorter_side=shorter_side)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_decompression_bombs_are_refused_by_their_size(kind: str) -> None:
    data = encoded(np.zeros((300, 400, 3), np.uint8), kind)
    # A sequential JPEG is decoded at a reduced size, and may be four times as large.
    limit = 4000 if kind == "JPEG" else 1000
    with pytest.raises(UnusableImageError, match=rf"400 x 300 px, more than {limit} pixels"):
        normalise(data, max_pixels=1000)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = jpeg(12, progressive=True)
    scan = data.index(b"\xff\xda")
    with pytest.raises(UnusableImageError, match="scans"):
        normalise(data[:-2] + data[scan:-2] * 60 + data[-2:])


def test_a_few_stray_bytes_are_mended() -> None:
    """Some cameras pad their files; the image is whole, so it is encoded anew."""
    data = jpeg(13)
    image = normalise(data[:-2] + b"\0\0\0" + data[-2:])
    assert closeness(image, scene(13)) < 5


def test_equal_pixels_have_equal_fingerprints_whatever_the_metadata() -> None:
    first = normalise(jpeg(14))
    assert normalise(jpeg(14, comment=b"a copy")).fingerprint == first.fingerprint
    assert normalise(jpeg(15)).fingerprint != first.fingerprint
    shrunk = normalise(jpeg(14), shorter_side=32)
    assert normalise(jpeg(14, comment=b"a copy"), shorter_side=32).fingerprint == shrunk.fingerprint


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=100)
def test_random_bytes_are_refused_and_nothing_worse(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF89a", b"II*\0"):
        with pytest.raises(UnusableImageError):
            normalise(start + data)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_damaged_file_is_refused_or_decodes_in_training(data: st.DataObject) -> None:
    """Whatever passes here can never end a training run."""
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]))
    content = bytearray(encoded(scene(16), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = normalise(bytes(content), shorter_side=data.draw(st.sampled_from([0, 32])))
    except UnusableImageError:
        return
    pixels_of(image)
