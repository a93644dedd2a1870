"""`python -m job.make_tfrecords`: images -> shuffled TFRecord shards and dataset.json."""

import sys

from job.contract.configs import RecordsConfig
from job.making.layout_table import as_table
from job.process import entry


def main(config: RecordsConfig) -> None:
    """Make a dataset, or this task's share of it."""
    from job.making.maker import make_tfrecords  # Here: `--help` needs none of it.

    make_tfrecords(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            RecordsConfig,
            program="python -m job.make_tfrecords",
            description="Make TFRecord shards of images: checked, shrunk, shuffled, and the same "
            "bytes for the same source, options and seed. Started again, it goes on.",
            epilog=as_table(),
        )
    )
