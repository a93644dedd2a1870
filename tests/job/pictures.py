"""Small image files of every kind, and sources made of them."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112


def scene(number: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Smooth colours that differ with the number: uint8 [height, width, 3]."""
    random = np.random.default_rng(number)
    corners = random.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def encoded(pixels: NDArray[np.uint8], kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 90} | options))
    return buffer.getvalue()


def jpeg(number: int, height: int = 48, width: int = 64, **options: object) -> bytes:
    return encoded(scene(number, height, width), **options)


def rotated_jpeg(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(pixels, exif=exif)


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def food101_files(
    train: int = 12, test: int = 4, classes: Iterable[str] = ("apple_pie", "sushi")
) -> dict[str, bytes]:
    """The files of a source in the Food-101 layout: `train` + `test` images of each class."""
    names: dict[str, list[str]] = {"train": [], "test": []}
    files: dict[str, bytes] = {}
    for label, class_text in enumerate(classes):
        for index in range(train + test):
            source_id = f"{class_text}/{1000 + index}"
            names["train" if index < train else "test"].append(source_id)
            files[f"images/{source_id}.jpg"] = jpeg(100 * label + index)
    files["meta/classes.txt"] = "\n".join(classes).encode()
    files |= {f"meta/{split}.txt": "\n".join(ids).encode() for split, ids in names.items()}
    return files


def write_archive(path: Path, files: dict[str, bytes], root: str = "food-101/") -> Path:
    """Pack files; `.gz` in the name compresses them."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(root + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
