"""An exported model as files: what it says about itself, and a verified local copy of it."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.run.checkpoints import sha256_of_file
from job.storage.interface import NotFoundError

MODEL_FORMAT = 1
_FILES_AT_ONCE = 8


@dataclass(frozen=True)
class ModelFacts:
    """What model.json says.

    `version` names the weights: the beginning of the hash of all the model's files.
    """

    classes: tuple[str, ...]
    version: str
    step: int
    image_size_px: int
    precision: str
    head: str
    width_multiplier: float
    files: dict[str, str]


def read_facts(model: str) -> ModelFacts:
    """Read what a model directory says about itself.

    Raises:
        InputMissingError: There is no complete model.
        DataError: Its description is not one that this version understands.
    """
    path = layout.model_file(model)
    try:
        raw = json.loads(storage.read_bytes(path))
        if raw["format"] != MODEL_FORMAT:
            raise DataError(f"{path} has format {raw['format']}, this program reads {MODEL_FORMAT}")
        files = {name: facts["sha256"] for name, facts in raw["files"].items()}
        return ModelFacts(
            classes=tuple(raw["classes"]),
            version=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16],
            step=raw["step"],
            image_size_px=raw["image_size_px"],
            precision=raw["precision"],
            head=raw["config"]["head"],
            width_multiplier=raw["config"]["width_multiplier"],
            files=files,
        )
    except NotFoundError as error:
        raise InputMissingError(
            f"{model} is not a complete model: it has no {layout.MODEL_FILE}; make one with "
            f"python -m job.export --run=RUN --output={model}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not describe a model: {error!r}") from error


@contextmanager
def local_model(model: str, facts: ModelFacts) -> Iterator[str]:
    """Give a local folder with the model, its files checked against their hashes.

    Raises:
        InputMissingError: A file is missing.
        DataError: A file is not what model.json says.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        folder = model
        if storage.is_remote(model):
            folder = scratch
            _download(model, facts, scratch)
        for name, expected in facts.files.items():
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                raise InputMissingError(f"{layout.join(model, name)} is missing; export again")
            if sha256_of_file(path) != expected:
                raise DataError(f"{layout.join(model, name)} is damaged; export the model again")
        yield folder


def _download(model: str, facts: ModelFacts, folder: str) -> None:
    def download(name: str) -> None:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        storage.download(layout.join(model, name), path)

    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="model") as threads:
        list(threads.map(download, facts.files))
