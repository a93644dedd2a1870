"""What must be known of an image before its pixels take memory: a format, and a sane size."""

import io

from PIL import Image, UnidentifiedImageError

from job.image_reader import RejectedError
from job.jpeg_header import read_header

MAX_PIXELS = 64_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_DECODABLE = ("JPEG", "PNG", "GIF", "BMP")


def check_before_decoding(encoded: bytes) -> None:
    """Refuse what is no image that a model decodes, and what would not fit into memory.

    Raises:
        RejectedError: With the reason.
    """
    header = read_header(encoded)
    if header is not None:
        _check_size(header.height, header.width)
        return
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            kind, height, width = image.format, image.height, image.width
    except UnidentifiedImageError as error:
        raise RejectedError("unsupported_format", "no image of a known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RejectedError("too_many_pixels", f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's plugins raise what they like.
        raise RejectedError("damaged", str(error) or type(error).__name__) from error
    if kind not in _DECODABLE:
        raise RejectedError("unsupported_format", f"{kind} is not decoded by exported models")
    _check_size(height, width)


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise RejectedError(
            "too_many_pixels", f"{width} x {height} px, more than {MAX_PIXELS:,} pixels"
        )
