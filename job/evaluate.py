"""`python -m job.evaluate`: how good a checkpoint is, as metrics.json and report.html."""

import sys

from job.contract.configs import EvaluateConfig
from job.process import entry


def main(config: EvaluateConfig) -> None:
    """Score a split and write its report."""
    from job.evaluation.evaluator import evaluate  # Here: `--help` needs none of it.

    evaluate(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            EvaluateConfig,
            program="python -m job.evaluate",
            description="Count every image of a split once and report accuracy with intervals, "
            "calibration and mistakes, as metrics.json and as a page.",
        )
    )
