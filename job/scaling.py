"""`python -m job.scaling`: how training scales over GPUs and networks, predicted."""

import sys

from job.contract.configs import ScalingConfig
from job.process import entry


def main(config: ScalingConfig) -> None:
    """Print the table, and write the plot if one is asked for."""
    from job.distributed.scaling_table import write_tables  # Here: `--help` needs none of it.

    write_tables(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            ScalingConfig,
            program="python -m job.scaling",
            description="Predict how training scales over GPUs and networks.",
        )
    )
