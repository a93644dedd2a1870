"""`python -m job.predict`: classify images, each exactly once, and say why where that fails."""

import sys

from job.contract.configs import PredictConfig
from job.process import entry


def main(config: PredictConfig) -> None:
    """Do the missing parts of one task."""
    from job.prediction.predictor import predict  # Here: `--help` needs none of it.

    predict(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            PredictConfig,
            program="python -m job.predict",
            description="Classify images with an exported model. What one image lacks never stops "
            "the others. Started again, it does what is missing.",
        )
    )
