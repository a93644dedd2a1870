"""One definition of what the network sees: in the graph, in an exported model, in training."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from job.contract.errors import DataError
from job.dataset.order import uniforms
from job.images.augment import DRAWS, AugmentOptions, crop_side, decode_for_training
from job.images.preprocess import (
    MEAN_RGB,
    REDUCTIONS,
    decode_for_evaluation,
    reduction,
    resampling,
    subtract_mean,
)

CENTRAL = AugmentOptions(crop_margin_px=0, crop_min_fraction=1.0, flip=False, color_jitter=0.0)
"""With draws just below one half: the central square, as evaluation sees it."""
MIDDLE = np.full(DRAWS, np.nextafter(0.5, 0))
ARTICLE = AugmentOptions(crop_margin_px=20, crop_min_fraction=1.0, flip=False, color_jitter=0.0)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw something smooth with edges, as JPEG likes it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    image: np.ndarray = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(image, (width // 3, height // 2), min(height, width) // 4, (250, 240, 20), -1)
    return image


def jpeg(image: np.ndarray, subsampling: str = "420") -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=95, colorspace="RGB", colorsubsampling=subsampling
    )
    return encoded


def evaluate(encoded: bytes, size: int) -> np.ndarray:
    result: np.ndarray = decode_for_evaluation(tf.constant(encoded), size).numpy()
    return result


def train(
    encoded: bytes, size: int, draws: np.ndarray = MIDDLE, options: AugmentOptions = CENTRAL
) -> np.ndarray:
    batch = np.full((3, size, size, 3), 7, np.uint8)
    decode_for_training(encoded, draws, options, out=batch[1])
    assert np.all(batch[[0, 2]] == 7)  # Neighbours stay as they are.
    return batch[1]


shapes = st.tuples(st.integers(20, 600), st.integers(20, 600))


@settings(deadline=None, max_examples=40)
@given(shapes, st.sampled_from([32, 64, 96]), st.sampled_from(["444", "420"]))
def test_training_sees_what_evaluation_sees(
    shape: tuple[int, int], size: int, subsampling: str
) -> None:
    """Without augmentation the native code and the graph differ by rounding alone."""
    encoded = jpeg(photo(*shape), subsampling)
    native = train(encoded, size)
    difference = np.abs(native.astype(int) - evaluate(encoded, size))
    assert native.shape == (size, size, 3)
    assert native.dtype == np.uint8
    assert difference.max() <= 1


def test_the_central_square_is_seen_and_the_rest_is_not() -> None:
    image = np.zeros((80, 160, 3), np.uint8)
    image[:, 48:112] = 255
    seen = evaluate(jpeg(image, "444"), 80)
    assert np.array_equal(seen, simplejpeg.decode_jpeg(jpeg(image, "444"), "RGB")[:, 40:120])
    assert seen[:, :6].max() < 30
    assert seen[:, 10:70].min() > 225


@pytest.mark.parametrize("side", [64, 65, 72, 80, 81, 200, 30])
def test_shrinking_keeps_thin_lines_and_colours(side: int) -> None:
    """No kernel drops what lies between its samples, or shifts the mean."""
    image = np.full((side, side, 3), 100, np.uint8)
    image[::2, :, 1] = 140
    seen = evaluate(jpeg(image, "444"), 64)
    assert np.allclose(seen.reshape(-1, 3).mean(axis=0), [100, 120, 100], atol=2)
    if side > 150:
        assert seen[..., 1].std() < 8


def test_the_kernel_follows_the_scale() -> None:
    assert resampling(224, 224) == "none"
    assert resampling(150, 224) == "bilinear"
    assert resampling(358, 224) == "bilinear"
    assert resampling(359, 224) == "area"


@given(st.integers(1, 70_000), st.integers(1, 600))
def test_a_reduced_image_still_fills_the_square(side: int, size: int) -> None:
    factor = reduction(side, size)
    reduced = -(-side // factor)
    assert reduced >= min(side, size)
    assert factor == 8 or reduced < 2 * size


@pytest.mark.parametrize("factor", REDUCTIONS)
@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_reduced_images_are_the_same_in_the_graph_and_in_training(
    factor: int, subsampling: str
) -> None:
    """Odd sizes too: both round up, and cut out the same square."""
    for height, width in ((32 * factor, 32 * factor), (40 * factor + 1, 51 * factor - 1)):
        encoded = jpeg(photo(height, width), subsampling)
        assert reduction(min(height, width), 32) == factor
        difference = np.abs(train(encoded, 32).astype(int) - evaluate(encoded, 32))
        assert difference.max() <= (1 if height % 32 else 0)


def test_a_reduced_image_looks_like_the_whole_one_averaged() -> None:
    image = photo(512, 512)
    averaged = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(evaluate(jpeg(image, "444"), 64) - averaged).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_other_formats_are_seen_as_well(kind: str) -> None:
    """A server is sent what people have; lossless formats give the pixels themselves."""
    target = io.BytesIO()
    flat = np.zeros((40, 60, 3), np.uint8)
    flat[:, 30:] = (255, 0, 0)
    Image.fromarray(flat).save(target, kind)
    assert np.array_equal(evaluate(target.getvalue(), 40), flat[:, 10:50])


def test_an_exported_model_decodes_bit_identically(tmp_path: Path) -> None:
    """Saved, loaded and mapped over a batch, the pixels are those of a direct call."""

    class Decoder(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
        def decode(self, encoded: tf.Tensor) -> tf.Tensor:
            return tf.map_fn(
                lambda one: decode_for_evaluation(one, 48),
                encoded,
                fn_output_signature=tf.TensorSpec([48, 48, 3], tf.uint8),
            )

    tf.saved_model.save(Decoder(), str(tmp_path))
    images = [jpeg(photo(h, w)) for h, w in ((48, 48), (50, 99), (200, 120), (30, 40))]
    loaded = tf.saved_model.load(str(tmp_path)).decode(tf.constant(images)).numpy()
    assert np.array_equal(loaded, np.stack([evaluate(image, 48) for image in images]))


def test_the_mean_is_the_pretrained_networks() -> None:
    pixels = np.array([[[0, 128, 255]]], np.uint8)
    centred = subtract_mean(tf.constant(pixels)).numpy()
    assert centred.dtype == np.float32
    assert np.allclose(centred, pixels - np.array(MEAN_RGB), atol=1e-4)


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True), st.floats(0.05, 1))
def test_a_crop_fits_into_its_image(shorter: int, draw: float, fraction: float) -> None:
    options = AugmentOptions(
        crop_margin_px=20, crop_min_fraction=fraction, flip=True, color_jitter=0.0
    )
    side = crop_side(shorter, draw, options)
    assert 1 <= side <= shorter
    assert side >= int(fraction * max(shorter - 20, shorter // 2))


def test_the_articles_crop_is_the_shorter_side_less_its_margin() -> None:
    assert [crop_side(384, draw, ARTICLE) for draw in (0.0, 0.5, 0.99)] == [364] * 3
    # Of tiny images the margin leaves half.
    assert crop_side(30, 0.5, ARTICLE) == 15


def test_random_crops_reach_every_corner() -> None:
    """Over many draws each corner of the image is inside some crop, and places vary evenly."""
    image = np.zeros((60, 90, 3), np.uint8)
    for corner in (slice(0, 12), slice(-12, None)):
        image[corner, :12] = image[corner, -12:] = 255
    encoded = jpeg(image, "444")
    draws = uniforms(DRAWS, 0, np.arange(200))
    crops = [train(encoded, 40, row, ARTICLE) for row in draws]
    for vertical in (0, -1):
        for horizontal in (0, -1):
            assert any(crop[vertical, horizontal].min() > 200 for crop in crops)


def test_augmentation_depends_on_its_draws_alone() -> None:
    options = AugmentOptions(crop_margin_px=4, crop_min_fraction=0.5, flip=True, color_jitter=0.4)
    encoded = jpeg(photo(100, 140))
    draws = uniforms(DRAWS, 3, np.arange(6))
    once = [train(encoded, 64, row, options) for row in draws]
    again = [train(encoded, 64, row, options) for row in draws]
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not any(np.array_equal(once[0], other) for other in once[1:])


def test_half_of_the_draws_mirror() -> None:
    flips = AugmentOptions(crop_margin_px=0, crop_min_fraction=1.0, flip=True, color_jitter=0.0)
    encoded = jpeg(photo(64, 64))
    low, high = np.full(DRAWS, 0.49), np.full(DRAWS, 0.51)
    mirrored = train(encoded, 64, low, flips)
    plain = train(encoded, 64, high, flips)
    assert np.array_equal(mirrored[:, ::-1], plain)


def test_jitter_scales_brightness_contrast_and_saturation() -> None:
    jitter = AugmentOptions(crop_margin_px=0, crop_min_fraction=1.0, flip=False, color_jitter=0.5)
    encoded = jpeg(photo(64, 64) // 3 + 60, "444")

    def seen(brightness: float, contrast: float, saturation: float) -> np.ndarray:
        draws = np.array([0.5, 0.5, 0.5, 0.5, brightness, contrast, saturation])
        return train(encoded, 64, draws, jitter).astype(float)

    plain = seen(0.5, 0.5, 0.5)
    assert np.abs(plain - train(encoded, 64)).max() <= 1
    assert seen(0.0, 0.5, 0.5).mean() == pytest.approx(plain.mean() * 0.5, rel=0.02)
    assert seen(0.5, 0.0, 0.5).std() == pytest.approx(plain.std() * 0.5, rel=0.1)
    grey = [0.299, 0.587, 0.114]
    less = seen(0.5, 0.5, 0.0)
    assert np.abs(less @ grey - plain @ grey).max() < 2
    assert np.ptp(less, axis=2).mean() == pytest.approx(
        np.ptp(plain, axis=2).mean() * 0.5, rel=0.05
    )


@pytest.mark.parametrize("encoded", [b"", b"not a picture", b"\xff\xd8\xff"])
def test_what_is_no_image_is_an_error(encoded: bytes) -> None:
    with pytest.raises(DataError, match="not a JPEG image"):
        train(encoded, 32)
