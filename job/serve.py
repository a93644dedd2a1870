"""`python -m job.serve`: an exported model behind HTTP."""

import sys

from job.contract.configs import ServeConfig
from job.process import entry


def main(config: ServeConfig) -> None:
    """Answer until asked to stop."""
    from job.online.server import serve  # Here: `--help` needs none of it.

    serve(config)


if __name__ == "__main__":
    sys.exit(
        entry.run(
            main,
            ServeConfig,
            program="python -m job.serve",
            description="Answer classification requests over HTTP, as TensorFlow Serving's REST "
            "API and KServe's version 2 ask them, with what job.predict would say.",
        )
    )
