"""The official Food-101 archive and the pretrained VGG19, onto a local disk."""

import os
from dataclasses import dataclass

from job import storage
from job.contract.configs import DownloadConfig
from job.contract.errors import ConfigError
from job.downloads.http import fetch
from job.downloads.partial_file import Expected
from job.downloads.slim_archive import CHECKPOINT, extract_checkpoint


@dataclass(frozen=True)
class Asset:
    """A file with an official address."""

    url: str
    file: str
    expected: Expected


ASSETS = {
    "food101": Asset(
        url="http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
        file="food-101.tar.gz",
        expected=Expected(
            bytes=4_996_278_331,
            sha256="d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
        ),
    ),
    # Nobody published its length or hash: the archive's own checksum has to do.
    "vgg19": Asset(
        url="http://download.tensorflow.org/models/vgg_19_2016_08_28.tar.gz",
        file="vgg_19_2016_08_28.tar.gz",
        expected=Expected(),
    ),
}


def download(config: DownloadConfig) -> None:
    """Download what `config` names, check it, and say what to do with it.

    Raises:
        JobError: As `fetch` and `extract_checkpoint` say.
    """
    if storage.is_remote(config.output):
        raise ConfigError(
            f"output {config.output} is a bucket, but downloads go to a local folder first"
        )
    os.makedirs(config.output, exist_ok=True)
    asset = ASSETS[config.what]
    path = os.path.join(config.output, asset.file)
    if config.what == "food101":
        fetch(config.url or asset.url, path, asset.expected)
        print(f"{path}\nnext: python -m job.make_tfrecords --source={path} --output=DATASET")
        return
    checkpoint = os.path.join(config.output, CHECKPOINT)
    if not os.path.exists(checkpoint):
        fetch(config.url or asset.url, path, asset.expected)
        extract_checkpoint(path, config.output)
        os.remove(path)
    print(
        f"{checkpoint}\nnext: python -m job.train --init_checkpoint={checkpoint} "
        "--data=DATASET --run=RUN"
    )
