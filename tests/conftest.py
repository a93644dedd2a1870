"""Fixtures that all tests share: where the real photographs lie, and small datasets."""

import os
import signal
from pathlib import Path

import pytest

from job.process import startup

# As every command does: the same arithmetic, and none of TensorFlow's banners.
startup.prepare()

# A shell starts what runs in its background with Ctrl-C ignored, and the commands under test, which
# rightly keep to that, would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = Path(os.environ.get("FOOD101_DATA", ROOT.parent / "shared" / "data"))


def _archive(name: str) -> Path:
    path = PHOTOGRAPHS / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {PHOTOGRAPHS}; set FOOD101_DATA to the folder that has it")
    return path


@pytest.fixture(scope="session")
def ten_class_archive() -> Path:
    """1,000 real Food-101 photographs of 10 classes, in the official layout."""
    return _archive("food-101-10class.tar.gz")


@pytest.fixture(scope="session")
def small_photo_archive() -> Path:
    """13,130 real Food-101 photographs of all 101 classes, 64 x 64 px."""
    return _archive("food-101-64px.tar.gz")


@pytest.fixture(scope="session")
def digits_dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Scikit-learn's 1,797 digits as a dataset of 32 x 32 px JPEGs: 1,437 train, 360 test."""
    from job.contract.configs import RecordsConfig
    from job.making.digits import write_digits
    from job.making.maker import make_tfrecords

    base = tmp_path_factory.mktemp("digits")
    write_digits(str(base / "food-101"))
    make_tfrecords(
        RecordsConfig(
            source=str(base / "food-101"),
            output=str(base / "dataset"),
            shorter_side=0,
            shard_size_mb=0.25,
            num_processes=1,
        )
    )
    return str(base / "dataset")
