"""Training's view of an image: a random square, mirrored or not, with jittered colours.

The native counterpart of `preprocess.decode_for_evaluation`: libjpeg-turbo and OpenCV release the
interpreter's lock, so threads decode in parallel. Nothing here holds state: all chance comes in
as numbers that the caller draws from (seed, epoch, example).
"""

import threading
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from job.contract.configs import TrainConfig
from job.contract.errors import DataError
from job.images.jpeg_header import read_header
from job.images.jpeg_soundness import written_anew
from job.images.preprocess import reduction, resampling

Image = npt.NDArray[np.uint8]

DRAWS = 7
_SIDE, _TOP, _LEFT, _FLIP, _BRIGHTNESS, _CONTRAST, _SATURATION = range(DRAWS)
_INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """How training images vary; see the fields of the same names in `TrainConfig`."""

    crop_margin_px: int
    crop_min_fraction: float
    flip: bool
    color_jitter: float

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        """Take the options from a training configuration."""
        return cls(
            crop_margin_px=config.crop_margin_px,
            crop_min_fraction=config.crop_min_fraction,
            flip=config.flip,
            color_jitter=config.color_jitter,
        )


def decode_for_training(
    encoded: bytes,
    draws: npt.NDArray[np.float64],
    options: AugmentOptions,
    *,
    out: Image,
) -> None:
    """Decode a random square of one image into `out`; a pure function of the other arguments.

    Args:
        encoded: A JPEG file.
        draws: float64 [DRAWS], each uniform in [0, 1).
        options: What may vary.
        out: uint8 [side, side, 3], receives RGB: a row of a batch saves copying.

    Raises:
        DataError: The bytes are not a JPEG image.
    """
    try:
        image, share = _decoded_for(encoded, float(draws[_SIDE]), options, len(out))
    except ValueError as error:
        # Records made elsewhere may hold what libjpeg-turbo remarks on: harmless or not, see there.
        header = read_header(encoded)
        sound = None if header is None else written_anew(encoded, header)
        if sound is None:
            raise DataError(f"not a JPEG image: {error}") from error
        try:
            image, share = _decoded_for(sound, float(draws[_SIDE]), options, len(out))
        except ValueError:
            raise DataError(f"not a JPEG image: {error}") from error
    _resize(_crop(image, share, draws), out)
    if options.flip and draws[_FLIP] < 0.5:
        out[:] = cv2.flip(out, 1)
    if options.color_jitter:
        out[:] = _jitter(out, draws, options.color_jitter)


def _decoded_for(
    encoded: bytes, draw: float, options: AugmentOptions, side_px: int
) -> tuple[Image, float]:
    """Decode an image for a crop that becomes `side_px`, and give the crop's share of its side."""
    height, width = _size(encoded)
    side = crop_side(min(height, width), draw, options)
    return _decode(encoded, height, width, reduction(side, side_px)), side / min(height, width)


class _Scratch(threading.local):
    """Where this thread decodes to: fresh memory for each image can cost a third more."""

    def __init__(self) -> None:
        self._pixels = np.empty(0, np.uint8)

    def of(self, size: int) -> Image:
        """Give at least `size` bytes, overwritten by the next image of this thread."""
        if size > self._pixels.size:
            self._pixels = np.empty(size, np.uint8)
        return self._pixels


_SCRATCH = _Scratch()


def _size(encoded: bytes) -> tuple[int, int]:
    """Give a JPEG's height and width, or raise ValueError."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(encoded, strict=False)
    except KeyError:  # Its name for a chroma layout it does not know.
        header = read_header(encoded)
        if header is None:
            raise ValueError("its header is damaged") from None
        return header.height, header.width
    return height, width


def _decode(encoded: bytes, height: int, width: int, factor: int) -> Image:
    """Decode to 1/factor of the size, into this thread's scratch memory; or raise ValueError."""
    height, width = -(-height // factor), -(-width // factor)
    # Strictness would refuse harmless oddities that job.make_tfrecords lets pass.
    image: Image = simplejpeg.decode_jpeg(
        encoded, "RGB", fastdct=False, fastupsample=False, strict=False,
        min_height=height, min_width=width, min_factor=factor,
        buffer=_SCRATCH.of(height * width * 3),
    )  # fmt: skip
    return image


def crop_side(shorter_side_px: int, draw: float, options: AugmentOptions) -> int:
    """Draw the side of a training crop.

    It is the article's min(height, width) - margin, times a fraction from [crop_min_fraction, 1].
    The margin never takes more than half of an image: it was meant for sides of about 400 px.
    """
    largest = max(shorter_side_px - options.crop_margin_px, (shorter_side_px + 1) // 2)
    fraction = options.crop_min_fraction + (1 - options.crop_min_fraction) * draw
    return max(1, round(largest * fraction))


def _crop(image: Image, share: float, draws: npt.NDArray[np.float64]) -> Image:
    """Cut out a square whose side is a share of the shorter one."""
    height, width, _ = image.shape
    side = max(1, round(min(height, width) * share))
    top = int(draws[_TOP] * (height - side + 1))
    left = int(draws[_LEFT] * (width - side + 1))
    return image[top : top + side, left : left + side]


def _resize(square: Image, out: Image) -> None:
    side = out.shape[0]
    kernel = resampling(square.shape[0], side)
    if kernel == "none":
        out[:] = square
    else:
        cv2.resize(square, (side, side), dst=out, interpolation=_INTERPOLATION[kernel])


def _jitter(image: Image, draws: npt.NDArray[np.float64], strength: float) -> Image:
    """Scale brightness, contrast and saturation by factors from [1 - strength, 1 + strength].

    All three are affine in the colours, so one 3 x 4 matrix does them, with saturation at 0, 255.
    """
    chosen = draws[[_BRIGHTNESS, _CONTRAST, _SATURATION]]
    brightness, contrast, saturation = 1 + strength * (2 * chosen - 1)
    mean_grey = float(_GREY @ cv2.mean(image)[:3])
    colours = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * _GREY
    offset = np.full((3, 1), (1 - contrast) * mean_grey)
    jittered: Image = cv2.transform(image, brightness * np.hstack([contrast * colours, offset]))
    return jittered
