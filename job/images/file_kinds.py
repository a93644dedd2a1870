"""What a file is by its name: an image, an image nobody decodes here, a companion, or unknown.

Folders that people have hold more than photographs: what cameras, file managers, annotation
tools and downloads leave beside them. Names decide, since reading millions of files to find out
would take hours; only endings that nobody knows are looked into (`is_image_content`).
"""

import enum
import os
import re
import unicodedata
from collections.abc import Mapping

DECODED = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "HEIC", "AVIF")
"""The image formats that are decoded, as people call them."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IMAGES = _words(
    """.jpg .jpeg .jpe .jfif .jfi .jif .mpo .png .apng .gif .bmp .dib .webp .tif .tiff
    .heic .heif .hif .heics .heifs .avif .avifs"""
)
_RAW = """.3fr .arw .cap .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw
    .nef .nrw .orf .pef .ptx .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"""
_RARE = """.ppm .pgm .pbm .pnm .pam .tga .ico .icns .cur .pcx .sgi .ras .qoi .dds .djvu .fits .fit
    .dcm .bpg .flif .xbm .xpm"""
_UNDECODED: Mapping[str, str] = {
    ending: what
    for endings, what in (
        (_RAW, "a camera's raw file; export it as JPEG"),
        (".jxl", "JPEG XL; convert it to JPEG (djxl)"),
        (".jp2 .j2k .j2c .jpc .jpf .jpx .jpm", "JPEG 2000; convert it to JPEG"),
        (".jxr .wdp .hdp", "JPEG XR; convert it to JPEG"),
        (".svg .svgz .eps .ai .wmf .emf .cdr", "a drawing without pixels; render it as PNG"),
        (".psd .psb .xcf .kra .ora .afphoto", "an image editor's own; export it as JPEG or PNG"),
        (".exr .hdr .pfm", "floating-point pixels; map them to 8 bits"),
        (_RARE, "a rare format; convert it to JPEG or PNG"),
    )
    for ending in endings.split()
}
_COMPANIONS = _words(
    """.txt .md .rst .html .htm .pdf .doc .docx .odt .rtf .ppt .pptx .xls .xlsx .ods
    .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .conf .names .data .labels .lst
    .caption .cls .xmp .aae .thm .lrv .pp3 .dop .cos .lnk .url .webloc .desktop .db .db-journal
    .sqlite .plist .bak .tmp .temp .part .partial .crdownload .download .log .lock .md5 .sha1
    .sha256 .sig .asc .torrent .py .pyc .ipynb .m .r .sh .bat .cmd .exe .dll .js .css .php .java
    .c .cpp .h .npy .npz .mat .pkl .pickle .h5 .hdf5 .pt .pth .ckpt .onnx .bin .parquet .arrow
    .tfrecord .tfrecords .idx .mp4 .m4v .mov .avi .mkv .webm .3gp .mts .mp3 .wav .m4a .aac .ogg
    .flac .srt .vtt .gpx .kml .zip .tar .tgz .tbz2 .txz .tzst .gz .bz2 .xz .zst .7z .rar .iso
    .dmg"""
)
_COMPANION_NAMES = _words(
    """readme license licence copying notice authors changelog changes contributing makefile
    dockerfile manifest version todo install md5sums sha256sums checksums"""
)
_COMPANION_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "__pycache__"))
_SYSTEM_NAMES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "_success"))

_BRANDS = rb"....ftyp(?:heic|heix|heim|heis|hevc|hevx|mif1|msf1|avif|avis)"
_CONTENT = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM....\0\0\0\0|"
    + _BRANDS,
    re.DOTALL,
)
CONTENT_BYTES = 16
"""How many bytes of a file `is_image_content` needs."""


class FileKind(enum.Enum):
    """What a file is by its name."""

    IMAGE = "image"
    UNDECODED = "image without a decoder"
    COMPANION = "companion"
    UNKNOWN = "unknown"


def kind_of(name: str) -> FileKind:
    """Tell what a file is by its path within its source.

    Objects in buckets often have no ending at all: they count as images, and decoding tells.
    """
    *folders, base = name.split("/")
    if any(part.startswith(".") or part.lower() in _COMPANION_FOLDERS for part in folders if part):
        return FileKind.COMPANION
    if not base or base.startswith(".") or base.lower() in _SYSTEM_NAMES:
        return FileKind.COMPANION
    ending = ending_of(base)
    if ending in _IMAGES:
        return FileKind.IMAGE
    if ending in _UNDECODED:
        return FileKind.UNDECODED
    if ending in _COMPANIONS or base.lower().partition(".")[0] in _COMPANION_NAMES:
        return FileKind.COMPANION
    return FileKind.UNKNOWN if ending else FileKind.IMAGE


def ending_of(name: str) -> str:
    """Give a file's ending in lower case with its dot, as counts name it; empty if it has none."""
    return os.path.splitext(name.rpartition("/")[2])[1].lower()


def has_image_ending(name: str) -> bool:
    """Whether a name ends as an image's, decoded here or not."""
    return (ending := ending_of(name)) in _IMAGES or ending in _UNDECODED


def why_undecoded(name: str) -> str | None:
    """Say what an image is that no decoder here takes, and what to do; None for all others."""
    ending = ending_of(name)
    what = _UNDECODED.get(ending)
    return None if what is None else f"no decoder for {ending}: {what}"


def name_fault(name: str) -> str:
    """Say why a name cannot be taken into records and listings; empty for all others."""
    if name.isascii() and name.isprintable():
        return ""
    kinds = {unicodedata.category(char) for char in name}
    if "Cs" in kinds:  # How Python carries bytes that are no UTF-8, and a lone surrogate of JSON.
        return "the name is not UTF-8"
    return "the name has control characters" if "Cc" in kinds else ""


def unicode_forms(name: str) -> list[str]:
    """Give the ways in which file systems write a name: as it is, composed, decomposed."""
    if name.isascii():
        return [name]
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return list(dict.fromkeys(forms))


def is_image_content(start: bytes) -> bool:
    """Whether a file's first `CONTENT_BYTES` bytes are those of a format that is decoded."""
    return _CONTENT.match(start) is not None
