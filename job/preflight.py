"""`python -m job.preflight`: would training find its data, and could it write its run, from here?

Takes the flags of `job.train` and does nothing but look: `launcher check --deep` runs it in a pod
as the job's own service account. It ends with 0 if everything is well, else with the exit code of
the first problem.
"""

import sys

from job.contract.configs import TrainConfig
from job.process import entry


def main(config: TrainConfig) -> int:
    """Look at everything that a worker will need, and say what is there."""
    from job.training.preflight import check  # Here: `--help` needs none of it.

    return check(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            TrainConfig,
            program="python -m job.preflight",
            description="Look whether training would find its data and could write its run, "
            "from here. Takes the flags of job.train and changes nothing.",
        )
    )
