"""One image file of any kind -> an upright RGB JPEG, or the reason why it cannot be one.

Every file is decoded to its last byte once, so that no bad one can end a training run. JPEG
files, which nearly all are, go through libjpeg-turbo (simplejpeg) and never through Pillow; the
rest goes through Pillow. Equal input gives equal bytes on every machine with the same libraries:
libjpeg-turbo's SIMD code is exact, and so is the resizing chosen here.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from job.images.deep_grey import GreyRange, grey_range
from job.images.jpeg_header import JpegHeader, read_header
from job.images.jpeg_soundness import DamagedJpegError, sound_jpeg, written_anew
from job.images.pillow_decoders import FORMATS, formats_of, prepare_pillow

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

_MAX_JPEG_SIDE = 65_500
# Each scan of a progressive JPEG is a pass over the whole image; real files have about ten.
_MAX_SCANS = 200
_SCAN = b"\xff\xda"
# Sequential JPEGs are decoded at a reduced size: phones make photographs of 200 megapixels.
_LARGER_IF_REDUCED = 4
_STRIP_PIXELS = 4 << 20
_SHORTER_SIDE_LEFT_PX = 1024
_BYTES_PER_PIXEL = 4
_FINGERPRINT_ROWS = 32
_FINGERPRINT_SIDE = 64
# Bilinear weights see two pixels a side: enough up to this factor, aliased beyond it.
_MAX_BILINEAR_SHRINK = 1.5


class UnusableImageError(Exception):
    """A file that cannot be made an RGB JPEG; the message is the reason."""


class NotAnImageError(UnusableImageError):
    """A file in none of `FORMATS`."""


class TooLargeError(UnusableImageError):
    """An image of more pixels than may be taken into memory."""


@dataclass(frozen=True, slots=True)
class NormalImage:
    """An upright RGB JPEG, its size in px, and a fingerprint of what it shows.

    Two images with equal fingerprints show the same pixels, whatever their names and metadata.
    """

    encoded: bytes
    height: int
    width: int
    fingerprint: bytes


def normalise(
    data: bytes, *, shorter_side: int = 0, jpeg_quality: int = 95, max_pixels: int = 64_000_000
) -> NormalImage:
    """Check one image file and make an upright RGB JPEG of it.

    Args:
        data: The file's content.
        shorter_side: Shrink to this shorter side in px; smaller images and 0 leave the size.
        jpeg_quality: Quality of what must be encoded again. A sound upright colour JPEG that
            is not shrunk keeps its bytes.
        max_pixels: Refuse larger images before any memory is taken for them.

    Raises:
        UnusableImageError: It is damaged, too large, or no image; says which.
    """
    if not data:
        raise UnusableImageError("the file is empty")
    header = read_header(data)
    if header is None or not header.is_upright_color:
        return _normalise_any(data, shorter_side, jpeg_quality, max_pixels)
    check_size(header.height, header.width, jpeg_limit(header, max_pixels))
    if header.progressive and _scans(data, header) > _MAX_SCANS:
        raise UnusableImageError(f"more than {_MAX_SCANS} scans")
    try:
        return _normalise_jpeg(data, header, shorter_side, jpeg_quality)
    except (ValueError, KeyError):
        sound = sound_or_unusable(data, header)
    if sound is not None:
        return _normalise_jpeg(sound, header, shorter_side, jpeg_quality)
    return _normalise_any(data, shorter_side, jpeg_quality, max_pixels)


def _scans(data: bytes, header: JpegHeader) -> int:
    """Count scans; where there seem to be many, those alone that are not within metadata."""
    count = data.count(_SCAN)
    if count > _MAX_SCANS and (bare := written_anew(data, header)) is not None:
        return bare.count(_SCAN)
    return count


def jpeg_limit(header: JpegHeader, max_pixels: int) -> int:
    """Say how many pixels a JPEG may have, of which `max_pixels` may be held at once.

    Of progressive ones all coefficients are held, whatever the size that they are decoded to.
    """
    sequential = header.huffman_coded and not header.progressive
    return max_pixels * _LARGER_IF_REDUCED if sequential else max_pixels


def sound_or_unusable(data: bytes, header: JpegHeader) -> bytes | None:
    """Judge a JPEG as `sound_jpeg` does; UnusableImageError if it is damaged."""
    try:
        return sound_jpeg(data, header)
    except DamagedJpegError as error:
        raise UnusableImageError(f"damaged JPEG: {error}") from error


def _normalise_jpeg(
    data: bytes, header: JpegHeader, shorter_side: int, jpeg_quality: int
) -> NormalImage:
    """Take the fast way; ValueError with libjpeg-turbo's message if it finds anything wrong."""
    height, width = _target(header.height, header.width, shorter_side)
    if (height, width) != (header.height, header.width):
        # libjpeg shrinks to some eighths of the size as it decodes: a good filter, nearly free.
        pixels = simplejpeg.decode_jpeg(data, min_height=height, min_width=width)
        return _encode(_resize(pixels, height, width), jpeg_quality)
    # A reduced size skips arithmetic, not data: every coefficient is still read and checked.
    side = _FINGERPRINT_SIDE
    reduced = simplejpeg.decode_jpeg(data, min_height=side, min_width=side, min_factor=4)
    return NormalImage(data, height, width, _fingerprint(reduced, height, width))


def _normalise_any(
    data: bytes, shorter_side: int, jpeg_quality: int, max_pixels: int
) -> NormalImage:
    with warnings.catch_warnings(action="ignore"):
        pixels = decode_any(data, max_pixels)
    height, width = _target(pixels.shape[0], pixels.shape[1], shorter_side)
    return _encode(_resize(pixels, height, width), jpeg_quality)


def decode_any(data: bytes, max_pixels: int, reduce_above: int | None = None) -> Pixels:
    """Decode an image of any of `FORMATS`, turned upright and laid on white where transparent.

    Args:
        data: The file's content.
        max_pixels: Refuse larger images before any memory is taken for them.
        reduce_above: Average whole blocks of pixels of an image with more than so many, as long
            as its shorter side stays above what any network sees.

    Raises:
        UnusableImageError: It is damaged, too large (TooLargeError) or no image (NotAnImageError).
    """
    try:
        return _decode_with_pillow(data, max_pixels, reduce_above or max_pixels)
    except UnusableImageError:
        raise
    except UnidentifiedImageError as error:
        # Pillow's own text holds an address in memory; rejects must be the same in every run.
        raise NotAnImageError(f"not an image ({', '.join(FORMATS)})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(f"more than {max_pixels} pixels") from error
    except Exception as error:
        raise UnusableImageError(f"damaged image: {error or type(error).__name__}") from error


def decoded_bytes(data: bytes) -> int:
    """Estimate what decoding a file other than JPEG takes at most; 0 for what is no image."""
    try:
        prepare_pillow()
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=formats_of(data)) as image,
        ):
            return image.width * image.height * _BYTES_PER_PIXEL
    except Exception:  # noqa: BLE001 (decoding, which comes next, says what is wrong)
        return 0


def _decode_with_pillow(data: bytes, max_pixels: int, reduce_above: int) -> Pixels:
    prepare_pillow()
    with Image.open(io.BytesIO(data), formats=formats_of(data)) as image:
        _reduce(image, max_pixels)
        check_size(image.height, image.width, max_pixels)
        image.load()
        grey = grey_range(image)
        ImageOps.exif_transpose(image, in_place=True)
        factor = 1
        while (
            image.width * image.height > reduce_above * factor**2
            and min(image.size) >= 2 * factor * _SHORTER_SIDE_LEFT_PX
        ):
            factor *= 2
        rows = max(1, _STRIP_PIXELS // (image.width * factor)) * factor
        if image.height <= rows:
            return np.ascontiguousarray(_to_rgb(image, grey, factor))
        # In strips: whole copies in other modes would take several times the image's memory.
        strips = (
            image.crop((0, top, image.width, min(top + rows, image.height)))
            for top in range(0, image.height, rows)
        )
        height, width = (-(-side // factor) for side in (image.height, image.width))
        pixels = np.empty((height, width, 3), np.uint8)
        done = 0
        for strip in strips:
            part = _to_rgb(strip, grey, factor)
            pixels[done : done + len(part)] = part
            done += len(part)
        return pixels


def _reduce(image: Image.Image, max_pixels: int) -> None:
    """Have libjpeg decode a large sequential photograph at an eighth of its size, or more."""
    pixels = image.width * image.height
    if image.format not in ("JPEG", "MPO") or image.info.get("progressive"):
        return
    if max_pixels < pixels <= max_pixels * _LARGER_IF_REDUCED:
        image.draft(None, (image.width // 2, image.height // 2))


def _to_rgb(image: Image.Image, grey: GreyRange | None, factor: int) -> Pixels:
    if image.mode == "F":
        raise UnusableImageError("floating-point pixels have no fixed range")
    if image.mode.startswith("I"):  # more than 8 bits, which Pillow would clip instead of scale
        if grey is None:
            raise UnusableImageError("pixels of 32 bits have no fixed range")
        image = Image.fromarray(grey.to_8_bits(np.asarray(image)))
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(paper, layer)
    image = image.convert("RGB")
    return np.asarray(image if factor == 1 else image.reduce(factor))


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Refuse an image by its size alone, with TooLargeError or UnusableImageError."""
    if height * width > max_pixels:
        raise TooLargeError(f"{width} x {height} px, more than {max_pixels} pixels")
    if not height or not width:
        raise UnusableImageError(f"{width} x {height} px is no image")


def _target(height: int, width: int, shorter_side: int) -> tuple[int, int]:
    """Give the size that makes the shorter side `shorter_side`, never a larger one."""
    shorter = min(height, width)
    if not shorter_side or shorter <= shorter_side:
        return height, width
    return _scaled(height, shorter_side, shorter), _scaled(width, shorter_side, shorter)


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """Round side * numerator / denominator, in whole numbers: the same on every machine."""
    return (2 * side * numerator + denominator) // (2 * denominator)


def _resize(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    gentle = max(pixels.shape[0] / height, pixels.shape[1] / width) <= _MAX_BILINEAR_SHRINK
    method = cv2.INTER_LINEAR_EXACT if gentle else cv2.INTER_AREA
    return cv2.resize(pixels, (width, height), interpolation=method)  # type: ignore[no-any-return]


def _encode(pixels: Pixels, jpeg_quality: int) -> NormalImage:
    height, width = pixels.shape[:2]
    if max(height, width) > _MAX_JPEG_SIDE:
        raise UnusableImageError(f"{width} x {height} px cannot be a JPEG")
    encoded = simplejpeg.encode_jpeg(pixels, jpeg_quality, colorsubsampling="420")
    return NormalImage(encoded, height, width, _fingerprint(pixels, height, width))


def _fingerprint(pixels: Pixels, height: int, width: int) -> bytes:
    """Hash the size and some rows: photographs that agree in these are the same."""
    rows = pixels[:: max(1, pixels.shape[0] // _FINGERPRINT_ROWS)]
    size = f"{height}x{width}".encode()
    return hashlib.sha256(size + np.ascontiguousarray(rows).tobytes()).digest()[:16]
