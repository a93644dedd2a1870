"""`python -m job.train`: fine-tune VGG19 on a dataset of TFRecords, on one worker or many."""

import sys

from job.contract.configs import TrainConfig
from job.process import entry


def main(config: TrainConfig) -> None:
    """Train until the last step, or until asked to leave."""
    from job.training.trainer import train  # Here: `--help` needs no TensorFlow.

    train(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            TrainConfig,
            program="python -m job.train",
            description="Fine-tune VGG19 on a dataset of TFRecords. Started again on the same run "
            "directory, it goes on from the newest checkpoint.",
        )
    )
