"""What runs a job: one module each, with the functions that `launcher/commands` documents.

`tfjob` and `jobset` send a training job, `job` a plain Kubernetes Job (records, evaluation,
export, prediction), `local` starts processes on this machine.
"""

import importlib
from types import ModuleType

NAMES = ("tfjob", "jobset", "job", "local")


def load(name: str) -> ModuleType:
    """Import the module of a backend."""
    if name not in NAMES:
        raise ValueError(f"unknown backend {name!r}")
    return importlib.import_module(
        "launcher.local.backend" if name == "local" else f"launcher.backends.{name}"
    )
