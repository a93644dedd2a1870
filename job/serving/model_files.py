"""An exported model as files: what it says about itself, and a verified local copy of it."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.contract.schema import Count, InnerPath, Scalar, Sha256, Word
from job.run.checkpoints import sha256_of_file
from job.storage import documents
from job.storage.interface import NotFoundError

FORMAT = 1
_FILES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of an exported model."""

    bytes: Count
    sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class Int8Network:
    """The quantised network beside a SavedModel, and what it costs.

    Attributes:
        file: Its .xml file.
        default: Whether predictions may use it unasked.
        calibrated_on: The dataset: its train split calibrated, its test split measured.
        images: How many images were scored in both arithmetics.
        top1, top5: Accuracy in int8; top5 is None for fewer than six classes.
        float32_top1, float32_top5: Accuracy of the same images in float32.
        same_top1: Share of the images of which both name the same class first.
    """

    file: InnerPath
    default: bool
    calibrated_on: Word = ""
    images: Count = 0
    top1: float | None = None
    top5: float | None = None
    float32_top1: float | None = None
    float32_top5: float | None = None
    same_top1: float | None = None
    software: Mapping[Word, Word] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What model.json says: everything about a model but its weights.

    `config` is the run's; `files` are the SavedModel's, by their paths in the model directory.
    """

    format: int = FORMAT
    run: Word = ""
    step: Count
    metrics: Mapping[Word, float | None] = field(default_factory=dict)
    dataset: Word = ""
    dataset_fingerprint: Word = ""
    classes: Annotated[tuple[Word, ...], Meta(min_length=1)]
    image_size_px: Annotated[int, Meta(ge=1, le=4096)]
    dense_size_px: Annotated[int, Meta(ge=1, le=8192)] | None = None
    precision: Word
    config: Mapping[Word, Scalar]
    software: Mapping[Word, Word] = field(default_factory=dict)
    files: Mapping[InnerPath, ModelFile]
    int8: Int8Network | None = None

    def __post_init__(self) -> None:
        if self.int8 is not None and self.int8.file not in self.files:
            raise ValueError(f"int8.file: {self.int8.file!r} is none of the model's files")
        foreign = next((name for name in self.files if not layout.is_model_part(name)), None)
        if foreign is not None:
            raise ValueError(f"files: {foreign!r} is no part of a model")
        if self.config.get("head") not in ("fc", "gap"):
            raise ValueError("config.head: expected fc or gap")
        width = self.config.get("width_multiplier")
        if not isinstance(width, float) or not 0 < width <= 4:
            raise ValueError("config.width_multiplier: expected a number from 0 to 4")

    @property
    def version(self) -> str:
        """A name of the weights: the beginning of the hash of all the model's files."""
        files = {name: facts.sha256 for name, facts in self.files.items()}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def head(self) -> str:
        """The network's last layers: fc or gap."""
        return str(self.config["head"])

    @property
    def width_multiplier(self) -> float:
        """Factor on the width of every layer of the network."""
        return float(self.config["width_multiplier"] or 0)


def read_facts(model: str) -> ModelFacts:
    """Read what a model directory says about itself.

    Raises:
        InputMissingError: There is no complete model.
        DataError: Its description is not one that this version understands.
    """
    try:
        return documents.read(layout.model_file(model), ModelFacts, formats=(FORMAT,))
    except NotFoundError as error:
        raise InputMissingError(
            f"{model} is not a complete model: it has no {layout.MODEL_FILE}; make one with "
            f"python -m job.export --run=RUN --output={model}"
        ) from error


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
            if sha256_of_file(path) != expected.sha256:
                raise DataError(f"{layout.join(model, name)} is damaged; export the model again")
        yield folder


def _download(model: str, facts: ModelFacts, folder: str) -> None:
    def download(name: str) -> None:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        storage.download(layout.join(model, name), path)

    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="model") as threads:
        list(threads.map(download, facts.files))
