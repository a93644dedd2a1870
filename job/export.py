"""`python -m job.export`: a checkpoint as a SavedModel that takes encoded images."""

import sys

from job.contract.configs import ExportConfig
from job.process import entry


def main(config: ExportConfig) -> None:
    """Write a run's model."""
    from job.serving.exporter import export  # Here: `--help` needs none of it.

    export(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            ExportConfig,
            program="python -m job.export",
            description="Write a run's checkpoint as a SavedModel that takes encoded images and "
            "gives classes; its preprocessing is inside.",
        )
    )
