"""Odd images, made by code: harmless ones give the pixels they should, damaged ones a reason.

The same rule for records (`normalise`), for prediction (`take_in`) and for what training and
evaluation then read from the records.
"""

import contextlib
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from job.images.augment import DRAWS, AugmentOptions, decode_for_training
from job.images.jpeg_header import read_header
from job.images.normalise import UnusableImageError, normalise
from job.images.preprocess import decode_for_evaluation
from job.images.rejected import RejectedError
from job.images.upright import take_in, turn_upright
from tests.job.pictures import encoded, jpeg, scene

SIDE = 32
CENTRAL = AugmentOptions(crop_margin_px=0, crop_min_fraction=1.0, flip=False, color_jitter=0.0)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def after_start(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def icc(number: int, count: int, body: bytes = b"\0" * 200) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + body)


def with_scan_parameters(data: bytes, first: int, last: int) -> bytes:
    at = data.index(b"\xff\xda")
    end = at + 5 + 2 * data[at + 4]
    return data[:end] + bytes([first, last, 0]) + data[end + 3 :]


def jfif(data: bytes, major: int, minor: int) -> bytes:
    assert data[6:11] == b"JFIF\0"
    return data[:11] + bytes([major, minor]) + data[13:]


def exif(orientation: "int | None", kind: int = 3, order: str = "<") -> bytes:
    size = {3: "Hxx", 4: "I", 8: "hxx"}[kind]
    entry = struct.pack(order + "HHI", 0x0131, 2, 4) + b"abc\0"
    if orientation is not None:
        entry = struct.pack(order + "HHI" + size, 0x0112, kind, 1, orientation)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    header = mark + struct.pack(order + "IH", 8, 1)
    return segment(0xE1, b"Exif\0\0" + header + entry + b"\0" * 4)


def xmp(orientation: int) -> bytes:
    text = f'<x tiff:Orientation="{orientation}"/>'.encode()
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)


HARMLESS = {
    "JFIF 0.00": jfif(jpeg(1), 0, 0),
    "JFIF 2.01": jfif(jpeg(1), 2, 1),
    "ICC number 0": after_start(jpeg(1), icc(0, 1)),
    "ICC out of order": after_start(jpeg(1), icc(2, 2), icc(1, 2)),
    "ICC of another count": after_start(jpeg(1), icc(1, 2), icc(2, 3)),
    "scan parameters of zero": with_scan_parameters(jpeg(1), 0, 0),
    "all at once": after_start(with_scan_parameters(jfif(jpeg(1), 0, 0), 0, 0), icc(0, 1)),
    "a motion photo": jpeg(1) + b"\0\0\0\x18ftypmp42" + b"video" * 1000,
    "a motion photo with an odd profile": after_start(jpeg(1), icc(0, 1)) + b"ftypmp42" * 99,
    "a second image behind it": jpeg(1) + jpeg(2),
    "padding": jpeg(1) + b"\0" * 5000,
    "fill bytes": jpeg(1)[:2] + b"\xff" * 9 + jpeg(1)[2:],
    "scans in a profile": after_start(jpeg(1, progressive=True), icc(1, 1, b"\xff\xda" * 300)),
    "a thumbnail": after_start(jpeg(1), segment(0xE1, b"Exif\0\0" + jpeg(3))),
    "no end": jpeg(1)[:-2],
}


def prepared(data: bytes) -> np.ndarray:
    """As prediction gives an image to a model, all of it."""
    image = take_in(data)
    pixels = tf.io.decode_image(image.encoded, channels=3, expand_animations=False).numpy()
    return turn_upright(pixels, image.orientation)


@pytest.mark.parametrize("name", [name for name in HARMLESS if name != "no end"])
def test_what_stands_beside_the_pixels_is_no_damage(name: str, capfd) -> None:
    progressive = b"\xff\xc2" in HARMLESS[name]
    expected = tf.io.decode_jpeg(jpeg(1, progressive=progressive)).numpy()
    record = normalise(HARMLESS[name])
    assert (tf.io.decode_jpeg(record.encoded).numpy() == expected).all()
    assert (prepared(HARMLESS[name]) == expected).all()
    training = np.empty((SIDE, SIDE, 3), np.uint8)
    for encoded_record in (record.encoded, HARMLESS[name]):  # The second is made elsewhere.
        decode_for_training(encoded_record, np.full(DRAWS, 0.5 - 1e-9), CENTRAL, out=training)
        evaluation = decode_for_evaluation(tf.constant(record.encoded), SIDE).numpy()
        assert np.abs(training.astype(int) - evaluation).max() <= 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        jpeg(1)[:-200],
        after_start(jpeg(1)[:-200], icc(0, 1)),
        jfif(jpeg(1), 0, 0)[: len(jpeg(1)) // 2],
        jpeg(1)[:-300] + b"\xff\xd0" * 150,
        jpeg(1, progressive=True)[:-400],
    ],
)
def test_damage_is_damage_whatever_stands_beside_it(data: bytes) -> None:
    with pytest.raises(UnusableImageError, match="damaged"):
        normalise(data)
    with pytest.raises(RejectedError, match="damaged"):
        take_in(data)


def lossless(width: int = 64, height: int = 48) -> bytes:
    """A lossless JPEG of grey 128 (SOF3, predictor 1): every difference is one 0 bit."""
    return (
        b"\xff\xd8"
        + segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
        + segment(0xC4, b"\0\1" + b"\0" * 16)
        + segment(0xDA, b"\1\1\0\1\0\0")
        + b"\0" * (width * height // 8)
        + b"\xff\xd9"
    )


def test_rare_codings_are_the_same_for_records_and_prediction() -> None:
    cmyk = io.BytesIO()
    Image.fromarray(scene(3)).convert("CMYK").save(cmyk, "JPEG", quality=95)
    for data in (lossless(), cmyk.getvalue()):
        record = tf.io.decode_jpeg(normalise(data).encoded).numpy().astype(int)
        assert np.abs(record - prepared(data)).mean() < 3


@pytest.mark.parametrize(
    "segments",
    [
        [exif(6)],
        [exif(6, order=">")],
        [exif(6, kind=4)],
        [exif(6, kind=8)],
        [exif(6), exif(None)],
        [exif(None), exif(6)],
        [exif(6), exif(3)],
        [exif(None), xmp(6)],
        [xmp(6)],
        [xmp(3), exif(6)],
        [exif(9)],
        [exif(0)],
    ],
)
def test_orientation_is_what_pillow_says(segments: list[bytes]) -> None:
    data = after_start(jpeg(1), *segments)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    record = tf.io.decode_jpeg(normalise(data).encoded).numpy()
    assert record.shape == upright.shape
    assert np.abs(record - upright).mean() < 4
    assert np.abs(prepared(data) - upright).mean() < 4


def grey_tiff(bits: int, photometric: int, width: int = 64, height: int = 48) -> bytes:
    """An uncompressed ramp from 0 at the left to the highest number at the right."""
    ramp = [x * ((1 << bits) - 1) // (width - 1) for x in range(width)] * height
    if bits == 12:
        text = "".join(format(value, "012b") for value in ramp)
        data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    else:
        data = struct.pack(f"<{len(ramp)}{'H' if bits == 16 else 'I'}", *ramp)
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(data))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    where = struct.pack("<I", 8 + len(data))
    return b"II*\0" + where + data + struct.pack("<H", len(tags)) + directory + b"\0" * 4


@pytest.mark.parametrize(("bits", "photometric"), [(12, 1), (16, 0), (16, 1)])
def test_deep_grey_is_scaled_to_its_own_white(bits: int, photometric: int) -> None:
    ramp = np.linspace(0, 255, 64).astype(int)
    expected = ramp if photometric else 255 - ramp
    found = prepared(grey_tiff(bits, photometric))
    assert np.abs(found[20, :, 0].astype(int) - expected).max() <= 2
    record = tf.io.decode_jpeg(normalise(grey_tiff(bits, photometric)).encoded).numpy()
    assert np.abs(record[20, :, 0].astype(int) - expected).max() <= 8


def test_numbers_without_a_range_are_refused() -> None:
    floats = io.BytesIO()
    Image.fromarray(np.ones((8, 8), np.float32)).save(floats, "TIFF")
    for data in (grey_tiff(32, 1), floats.getvalue()):
        with pytest.raises(UnusableImageError, match="no fixed range"):
            normalise(data)


def test_transparent_deep_grey_lies_on_white() -> None:
    values = np.full((48, 64), 1000, np.uint16)
    values[:, 32:] = 40000
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", transparency=1000)
    assert b"tRNS" in buffer.getvalue()
    found = prepared(buffer.getvalue())
    assert (found[:, :32] == 255).all()
    assert (found[:, 32:] == 40000 >> 8).all()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_photographs_of_phones_are_decoded(kind: str) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = encoded(scene(4, 96, 128), kind, quality=95)
    assert np.abs(prepared(data).astype(int) - scene(4, 96, 128)).mean() < 4
    assert normalise(data).height == 96
    with pytest.raises(UnusableImageError):
        normalise(data[: len(data) // 2])


def test_photographs_of_200_megapixels_are_decoded_at_a_reduced_size() -> None:
    data = encoded(np.full((90, 120, 3), (200, 30, 40), np.uint8))
    for options in ({}, {"shorter_side": 30}):
        assert normalise(data, max_pixels=5000, **options).height in (90, 30)
    turned = after_start(data, exif(6))
    assert normalise(turned, max_pixels=5000, shorter_side=30).width == 30
    header = read_header(data)
    assert header is not None
    progressive = encoded(np.zeros((90, 120, 3), np.uint8), progressive=True)
    with pytest.raises(UnusableImageError, match="more than 5000 pixels"):
        normalise(progressive, max_pixels=5000)


def test_wide_images_are_what_they_are() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (70_000, 10), (9, 99, 199)).save(buffer, "PNG")
    assert prepared(buffer.getvalue()).shape == (10, 70_000, 3)
    with pytest.raises(UnusableImageError, match="70000 x 10 px cannot be a JPEG"):
        normalise(buffer.getvalue())
    assert normalise(buffer.getvalue(), shorter_side=5).width == 35_000


def test_decoders_say_nothing_on_the_terminal(capfd) -> None:
    """What is wrong with a file is said with its name, by whoever asked for it."""
    buffer = io.BytesIO()
    Image.fromarray(scene(1)).convert("1").save(buffer, "TIFF", compression="group4")
    damaged = bytearray(buffer.getvalue())
    for at in range(60, min(200, len(damaged)), 7):
        damaged[at] ^= 0x55
    with contextlib.suppress(UnusableImageError):
        normalise(bytes(damaged))
    assert capfd.readouterr().err == ""
