"""`python -m job.train`: fine-tune VGG19 on a dataset of TFRecords, on one worker or many."""

import dataclasses
import sys

from job.contract.configs import TrainConfig
from job.process import entry


def main(config: TrainConfig) -> int | None:
    """Train until the last step, or until asked to leave; then do what --then names."""
    from job.training import follow_up

    if follow_up.leads(config):
        return follow_up.train_then(config)
    from job.training.trainer import train  # Here: `--help` needs no TensorFlow.

    train(dataclasses.replace(config, then=""))  # As the first worker's trainer is told.
    return None


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
