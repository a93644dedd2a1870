"""What a user brings along: labelled photographs and a checkpoint of slim's, in a bucket."""

import itertools
import tarfile
from collections import Counter
from pathlib import Path

from job import storage
from job.making.digits import write_digits
from tests.conftest import PHOTOGRAPHS
from tests.job import slim_oracle

CLASSES = 10
_PER_CLASS = 60
_ARCHIVE = PHOTOGRAPHS / "food-101-64px.tar.gz"

WIDTH_MULTIPLIER = 0.125


def image_size_px() -> int:
    """Give the side of the images: of real photographs, or of digits where there are none."""
    return 64 if _ARCHIVE.is_file() else 32


def write_images(folder: Path) -> int:
    """Write `folder`/CLASS/NAME.jpg; gives their number."""
    if _ARCHIVE.is_file():
        _write_photographs(folder)
    else:
        write_digits(str(folder.with_name("digits")))
        (folder.with_name("digits") / "images").rename(folder)
        for path in folder.iterdir():
            for extra in sorted(path.iterdir())[_PER_CLASS:]:
                extra.unlink()
    return len(list(folder.rglob("*.jpg")))


def _write_photographs(folder: Path) -> None:
    taken: Counter[str] = Counter()
    with tarfile.open(_ARCHIVE) as archive:
        for member in archive:
            path = Path(member.name)
            label = path.parent.name
            if path.suffix != ".jpg" or taken[label] >= _PER_CLASS:
                continue
            if label not in taken and len(taken) >= CLASSES:
                continue
            taken[label] += 1
            file = archive.extractfile(member)
            assert file is not None
            (folder / label).mkdir(parents=True, exist_ok=True)
            (folder / label / path.name).write_bytes(file.read())


def upload(folder: Path, target: str) -> None:
    """Copy a folder of this machine into a bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            storage.upload(str(path), storage.join(target, str(path.relative_to(folder))))


def upload_slim_checkpoint(folder: Path, target: str) -> str:
    """Have slim save a narrow network in its format of 2016, and give its place in a bucket."""
    made = slim_oracle.make(
        folder, classes=1000, size=(224, 224), width_multiplier=WIDTH_MULTIPLIER, batch=1
    )
    path = f"{target}/vgg_19.ckpt"
    storage.upload(made.prefixes["V1"], path)
    return path


def names(prefix: str) -> set[str]:
    """List what lies under a prefix, without the prefix."""
    found = itertools.islice(storage.list_files(prefix), 100_000)
    return {stat.path.removeprefix(f"{prefix}/") for stat in found}
