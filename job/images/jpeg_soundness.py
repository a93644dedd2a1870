"""What is harmless in a JPEG file and what is damage: one rule for all commands.

A file is sound if libjpeg-turbo decodes it to its last byte without a remark. Remarks about what
stands beside the pixels are no damage: an odd JFIF version, ICC pieces out of order, parameters
of a scan that only progressive files use, a video behind the end. So where libjpeg-turbo remarks
on anything, the file is written anew without all that, its pixels untouched, and judged again.

| Remark | Verdict |
|---|---|
| unknown JFIF revision, bad ICC marker, invalid SOS parameters | harmless: written anew |
| anything behind the end: a motion photo's video, padding, a second image | harmless: left out |
| up to 16 stray bytes between segments, a rare chroma layout | harmless: Pillow decodes it |
| premature end, bad Huffman code, lost restart marker, more stray bytes | damaged |
"""

import re
import struct

import simplejpeg

from job.images.jpeg_header import JpegHeader

_START, _END = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP14, _APP15, _COMMENT = 0xE0, 0xEE, 0xEF, 0xFE
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_JFIF_VERSION = b"\x01\x01"
_SEQUENTIAL = b"\x00\x3f\x00"
_CHECKED_SIDE_PX = 16
# In the data of a scan: neither a stuffed zero, nor a restart, nor fill.
_FILL = re.compile(rb"\xff+")
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
# A few stray bytes between segments are harmless; many mean that the decoder lost its way.
_STRAY_BYTES = re.compile(r"\b(\d+) extraneous bytes before marker")
_MAX_STRAY_BYTES = 16


class DamagedJpegError(Exception):
    """A JPEG file that libjpeg-turbo cannot decode whole; the message is its own."""


def sound_jpeg(data: bytes, header: JpegHeader) -> bytes | None:
    """Give a JPEG of the same pixels on which no decoder remarks: `data` itself, nearly always.

    Returns:
        None if it is harmless, but only Pillow decodes it.

    Raises:
        DamagedJpegError: It is damaged.
    """
    message = _remark(data)
    if not message:
        return data
    anew = written_anew(data, header)
    if anew is not None:
        message = _remark(anew)
        if not message:
            return anew
    if _pillow_decodes(message):
        return None
    raise DamagedJpegError(message)


def _remark(data: bytes) -> str:
    """Say what libjpeg-turbo remarks on a file as it reads all of it; empty if nothing."""
    side = _CHECKED_SIDE_PX
    try:
        # A reduced size skips arithmetic, not data: every coefficient is still read and checked.
        simplejpeg.decode_jpeg(data, "GRAY", min_height=side, min_width=side, min_factor=8)
    except (ValueError, KeyError) as error:  # KeyError: a chroma layout that it has no name for
        return str(error) if isinstance(error, ValueError) else "unknown chroma subsampling"
    return ""


def _pillow_decodes(message: str) -> bool:
    stray = _STRAY_BYTES.search(message)
    return "subsampling" in message or (stray is not None and int(stray[1]) <= _MAX_STRAY_BYTES)


def written_anew(data: bytes, header: JpegHeader) -> bytes | None:
    """Write a file without what stands beside its pixels; None if its segments do not add up.

    Adobe's colour transform stays, since it is about the pixels; EXIF's orientation does not.
    """
    pieces = [_START]
    position = len(_START)
    try:
        while True:
            position = _fill(data, position)
            prefix, marker = struct.unpack_from(">BB", data, position)
            if prefix != 0xFF:
                return None
            if marker == _END_OF_IMAGE:
                return b"".join([*pieces, _END])
            if marker in _WITHOUT_LENGTH:
                position += 2
                continue
            (length,) = struct.unpack_from(">H", data, position + 2)
            end = position + 2 + max(2, length)
            segment = data[position:end]
            if marker == _START_OF_SCAN:
                found = _MARKER.search(data, end)
                stop = found.start() if found is not None else len(data)
                pieces += [_scan_header(segment, header), data[end:stop]]
                if found is None:
                    return b"".join(pieces)
                end = stop
            else:
                pieces.append(_kept(marker, segment))
            position = end
    except struct.error:
        return None


def _fill(data: bytes, position: int) -> int:
    """Go past the fill bytes before a marker."""
    found = _FILL.match(data, position)
    return position if found is None else found.end() - 1


def _kept(marker: int, segment: bytes) -> bytes:
    """Give what stays of a segment: all that is about the pixels."""
    if marker == _APP0 and segment[4:9] == b"JFIF\0":
        return segment[:9] + _JFIF_VERSION + segment[11:]
    beside = marker != _APP14 and (_APP0 <= marker <= _APP15 or marker == _COMMENT)
    return b"" if beside else segment


def _scan_header(segment: bytes, header: JpegHeader) -> bytes:
    """Give sequential scans the parameters that they must have, whatever they say."""
    if header.progressive or not header.huffman_coded or len(segment) < len(_SEQUENTIAL):
        return segment
    return segment[: -len(_SEQUENTIAL)] + _SEQUENTIAL
