"""Scikit-learn's handwritten digits, 1,797 real images, as JPEG files in the Food-101 layout."""

import json
import os

from PIL import Image

from job.contract.errors import ConfigError

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZE_PX = 32


def write_digits(folder: str) -> None:
    """Write scikit-learn's digits as `folder`/{images,meta}, every fifth one for the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError("the demo needs scikit-learn: pip install scikit-learn") from error
    digits = load_digits()
    names: dict[str, dict[str, list[str]]] = {
        split: {name: [] for name in CLASSES} for split in ("train", "test")
    }
    for number, (pixels, target) in enumerate(zip(digits.images, digits.target, strict=True)):
        name = f"{CLASSES[target]}/{number:04d}"
        names["test" if number % 5 == 0 else "train"][CLASSES[target]].append(name)
        path = os.path.join(folder, "images", f"{name}.jpg")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        grey = Image.fromarray((pixels * (255 / 16)).astype("uint8"))
        grey.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC).save(
            path, quality=95
        )
    _write_meta(os.path.join(folder, "meta"), names)


def _write_meta(folder: str, names: dict[str, dict[str, list[str]]]) -> None:
    os.makedirs(folder, exist_ok=True)
    lines = {
        "classes.txt": sorted(CLASSES),
        "labels.txt": [name.capitalize() for name in sorted(CLASSES)],
        "train.txt": [name for group in names["train"].values() for name in group],
        "test.txt": [name for group in names["test"].values() for name in group],
    }
    for file_name, content in lines.items():
        with open(os.path.join(folder, file_name), "w") as file:
            file.write("\n".join(content) + "\n")
    for split, by_class in names.items():
        with open(os.path.join(folder, f"{split}.json"), "w") as file:
            json.dump(by_class, file)
