"""`python -m job.download`: the official Food-101 archive, or the pretrained VGG19."""

import sys

from job.contract.configs import DownloadConfig
from job.process import entry


def main(config: DownloadConfig) -> None:
    """Download what `config` names, and say what to do with it."""
    from job.downloads.assets import download  # Here: `--help` needs none of it.

    download(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            DownloadConfig,
            program="python -m job.download",
            description="Download the official Food-101 archive (5.0 GB) or the VGG19 pretrained "
            "on ImageNet (0.6 GB). Started again, it goes on where it broke off.",
        )
    )
