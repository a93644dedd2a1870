"""What a JPEG file says about itself before its pixels: size, coding, EXIF orientation.

A few microseconds against the tenth of a millisecond that a general library takes, since every
image of a dataset passes here. The markers are those of ITU-T T.81, table B.1; the orientation
is tag 0x0112 of EXIF's first directory.
"""

import re
import struct
from dataclasses import dataclass

UPRIGHT = 1
_START_OF_IMAGE = b"\xff\xd8"
_START_OF_SCAN = 0xDA
_APP1 = 0xE1
_FRAMES = {marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC)}
_PROGRESSIVE = 0xC2
_HUFFMAN_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)  # the first two: baseline, extended
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_ORIENTATION_TAG, _ENTRY_BYTES = 0x0112, 12
_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i"}  # TIFF's integers of 16 and 32 bits
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The frame of a JPEG file as stored, before its orientation is applied."""

    height: int
    width: int
    components: int
    bits: int
    huffman_coded: bool
    progressive: bool
    orientation: int

    @property
    def is_color_or_grey(self) -> bool:
        """Whether every decoder makes the same 8-bit colours of it, TensorFlow's too."""
        return self.components in (1, 3) and self.bits == 8 and self.huffman_coded

    @property
    def is_upright_color(self) -> bool:
        """Whether every decoder makes the upright 8-bit RGB image of it, TensorFlow's too."""
        return self.is_color_or_grey and self.components == 3 and self.orientation == UPRIGHT


def read_header(data: bytes) -> JpegHeader | None:
    """Read the header of a JPEG file; None if `data` does not begin with a sound one."""
    if not data.startswith(_START_OF_IMAGE):
        return None
    exif = xmp = b""
    frame: tuple[int, int, int, int, int] | None = None
    try:
        for marker, start, end in _segments(data):
            if marker in _FRAMES:
                frame = (marker, *struct.unpack_from(">BHHB", data, start))
            elif marker == _APP1 and data[start : start + 6] == b"Exif\0\0":
                exif += data[start + 6 : end]  # Long blocks go on in the next one, as in Pillow.
            elif marker == _APP1 and data[start:end].startswith(_XMP):
                xmp = data[start:end]
    except (struct.error, ValueError):
        return None
    if frame is None:
        return None
    marker, bits, height, width, components = frame
    return JpegHeader(
        height=height,
        width=width,
        components=components,
        bits=bits,
        huffman_coded=marker in _HUFFMAN_FRAMES,
        progressive=marker == _PROGRESSIVE,
        orientation=_orientation(exif) or _orientation_of_xmp(xmp) or UPRIGHT,
    )


def _segments(data: bytes) -> list[tuple[int, int, int]]:
    """List (marker, start, end) of the segments before the first scan."""
    segments: list[tuple[int, int, int]] = []
    position = len(_START_OF_IMAGE)
    while True:
        prefix, marker = struct.unpack_from(">BB", data, position)
        if prefix != 0xFF:
            raise ValueError("no marker where one must be")
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _START_OF_SCAN:
            return segments
        (length,) = struct.unpack_from(">H", data, position)
        segments.append((marker, position + 2, position + length))
        position += max(2, length)


def _orientation(tiff: bytes) -> int:
    """Read the orientation from an EXIF block; 0 if it has none, as damaged ones."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        entries = tiff[directory + 2 : directory + 2 + count * _ENTRY_BYTES]
        for place in range(0, len(entries), _ENTRY_BYTES):
            tag, kind = struct.unpack_from(order + "HH", entries, place)
            if tag == _ORIENTATION_TAG:
                size = _INTEGERS.get(kind)
                if size is None:
                    return UPRIGHT
                (value,) = struct.unpack_from(order + size, entries, place + 8)
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return 0


def _orientation_of_xmp(xmp: bytes) -> int:
    """Read the orientation from XMP, which counts where EXIF has none; 0 if it has none either."""
    found = _XMP_ORIENTATION.search(xmp)
    value = int(found[1]) if found else 0
    return value if 0 <= value <= 8 else 0
