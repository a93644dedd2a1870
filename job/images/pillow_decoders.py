"""Which of Pillow's decoders are used, and how they are made to keep still."""

import contextlib
import ctypes
import functools

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""What Pillow may try; its rarer decoders are not worth the risk with files from anywhere."""

_AVIF_BRANDS = (b"avif", b"avis")
_MAPS = "/proc/self/maps"


def formats_of(data: bytes) -> tuple[str, ...]:
    """Name the decoders to try: HEIF's only for its own files, since it asks for nearly all."""
    if data[4:8] != b"ftyp":
        return FORMATS[:-2]
    return ("AVIF",) if data[8:12] in _AVIF_BRANDS else ("HEIF",)


@functools.cache
def prepare_pillow() -> None:
    """Teach Pillow HEIC, and libtiff not to write to the terminal; once for a process.

    libtiff's remarks name no file. Whatever is damage fails to decode, which is said by name.
    """
    # Photographs of phones; its wheels bring libheif.
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    for path in _libtiffs():
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


def _libtiffs() -> set[str]:
    """Find the libtiff that Pillow has loaded."""
    from PIL import Image

    Image.preinit()
    try:
        with open(_MAPS, encoding="utf-8", errors="surrogateescape") as maps:
            loaded = {line.split(maxsplit=5)[5].strip() for line in maps if "/libtiff" in line}
    except (OSError, IndexError):
        return set()
    return {path for path in loaded if path.startswith("/")}
