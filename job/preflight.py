"""`python -m job.preflight`: would training find its data, and could it write its run, from here?

Takes the flags of `job.train` and does nothing but look: `launcher check --deep` runs it in a pod
as the job's own service account. Every finding is one JSON object on a line of stdout:
{"about": "data", "ok": true, "text": "..."}. It ends with 0 if everything is well, else with the
exit code of the first problem.
"""

import json
import socket
import sys
from collections.abc import Callable
from contextlib import closing

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError, InputMissingError, JobError
from job.dataset.description import load_dataset
from job.process import entry
from job.run import directory

PORT = 2222
"""The port on which workers meet, as the operator and the manifests have it."""


def check(config: TrainConfig) -> int:
    """Look at everything that a worker will need, and say what is there."""
    first_problem = 0
    for about, look in _LOOKS.items():
        try:
            text, ok = look(config), True
        except JobError as error:
            text, ok = str(error), False
            first_problem = first_problem or error.exit_code
        if text:
            print(json.dumps({"about": about, "ok": ok, "text": text}), flush=True)
    return first_problem


def _data(config: TrainConfig) -> str:
    dataset = load_dataset(config.data)
    shards = dataset.splits["train"].shards
    if shards:
        path = layout.join(config.data, shards[0].file)
        if storage.stat(path).size != shards[0].bytes:
            raise InputMissingError(f"{path} is not as large as {layout.DATASET_FILE} says")
    return (
        f"{dataset.splits['train'].examples:,} training images of {len(dataset.classes)} classes "
        f"in {len(shards)} shards"
    )


def _run(config: TrainConfig) -> str:
    directory.check_writable(config.run)
    return f"{config.run} can be written"


def _init_checkpoint(config: TrainConfig) -> str:
    path = config.init_checkpoint
    if not path:
        return ""
    there = storage.exists(path) or storage.exists(f"{path}.index")
    if not there and next(iter(storage.list_files(path)), None) is None:
        raise InputMissingError(f"there is nothing at {path}; correct --init_checkpoint")
    return f"{path} is there"


def _port(_: TrainConfig) -> str:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as server:
        try:
            server.bind(("", PORT))
        except OSError as error:
            raise ConfigError(f"port {PORT} cannot be opened: {error.strerror}") from error
    return f"port {PORT} can be opened for the other workers"


_LOOKS: dict[str, Callable[[TrainConfig], str]] = {
    "data": _data,
    "run": _run,
    "init_checkpoint": _init_checkpoint,
    "port": _port,
}


if __name__ == "__main__":
    sys.exit(
        entry.run(
            check,
            TrainConfig,
            program="python -m job.preflight",
            description="Look whether training would find its data and could write its run, "
            "from here. Takes the flags of job.train and changes nothing.",
        )
    )
