"""What prediction is given, as an image that an exported model decodes: sane, known, upright.

Models take JPEG, PNG, GIF and BMP files and nothing of what stands beside the pixels. Cameras
leave the turning to EXIF, and other formats and transparency are common, so prediction brings all
that `job.make_tfrecords` can read to the same upright RGB pixels first, and leaves their decoding,
or for JPEG files all of it, to the model.
"""

from typing import NamedTuple

import cv2
import numpy as np

from job.images.jpeg_header import UPRIGHT, read_header
from job.images.normalise import (
    NotAnImageError,
    Pixels,
    TooLargeError,
    UnusableImageError,
    check_size,
    decode_any,
    decoded_bytes,
    jpeg_limit,
    sound_or_unusable,
)
from job.images.rejected import RejectedError

MAX_PIXELS = 64_000_000
_JPEG = b"\xff\xd8"
_REDUCE_ABOVE = 16_000_000
"""More pixels are averaged before they are handed on: no network sees them, and four copies of
them would be in memory at once."""


class Intake(NamedTuple):
    """A file that models decode, and how its pixels are to be turned then (EXIF's 1 to 8)."""

    encoded: bytes
    orientation: int


def take_in(encoded: bytes) -> Intake:
    """Check an image before its pixels take memory, and make a file of it that models decode.

    Raises:
        RejectedError: With the reason.
    """
    header = read_header(encoded)
    try:
        if header is not None:
            check_size(header.height, header.width, jpeg_limit(header, MAX_PIXELS))
            if header.is_color_or_grey:
                sound = sound_or_unusable(encoded, header)
                if sound is not None:
                    return Intake(sound, header.orientation)
        pixels = decode_any(encoded, MAX_PIXELS, _REDUCE_ABOVE)
    except NotAnImageError as error:
        raise RejectedError("unsupported_format", "no image of a known format") from error
    except TooLargeError as error:
        raise RejectedError("too_many_pixels", str(error)) from error
    except UnusableImageError as error:
        raise RejectedError("damaged", str(error)) from error
    # A BMP file is the pixels themselves behind a header.
    _, file = cv2.imencode(".bmp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return Intake(file.tobytes(), UPRIGHT)


def memory_needed(encoded: bytes) -> int:
    """Estimate in bytes what `take_in` and a model's decoder hold of an image at once."""
    return 0 if encoded.startswith(_JPEG) else decoded_bytes(encoded)


def turn_upright(square: Pixels, orientation: int) -> Pixels:
    """Apply EXIF's orientation to uint8 [side, side, 3] that was decoded as it is stored."""
    if orientation == UPRIGHT:
        return square
    transposed = orientation in (5, 6, 7, 8)
    image = square.transpose(1, 0, 2) if transposed else square
    image = image[::-1] if orientation in (3, 4, 7, 8) else image
    image = image[:, ::-1] if orientation in (2, 3, 6, 7) else image
    return np.ascontiguousarray(image)
