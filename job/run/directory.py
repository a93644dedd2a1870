"""A run directory's identity: the configuration and the dataset it was started with.

Opening one is done in two parts. `look` decides, and changes nothing: any error until the first
step leaves what is there as it was. `begin` writes, when that step is about to be taken.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig, from_stored, to_dict, to_stored
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.contract.schema import Count, Word
from job.dataset.description import Dataset
from job.run import checkpoints, leftovers
from job.run.lease import RunLease
from job.run.manifest import CheckpointDir, Manifest
from job.storage import documents
from job.storage.interface import ABSENT, NotFoundError, PreconditionError

# What may change between attempts without changing what is trained.
_FREE = frozenset(
    {
        "data", "run", "resume", "overwrite", "take_over", "cache_dir", "cache_size_gb",
        "save_every_steps", "save_every_s", "keep", "eval_every_steps", "log_every_steps",
        "log_every_s", "log_sync_s", "then", "storage_deadline_s", "billing_project", "exchange",
        "network_gbps", "peer_timeout_s", "cluster_timeout_s", "xla",
    }
)  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a run directory says of itself."""

    path: str
    config: TrainConfig
    dataset_name: str
    dataset_fingerprint: str
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunDataset:
    """Content of a run's dataset.json; `examples` are those of each split."""

    name: Word
    fingerprint: Word
    classes: tuple[Word, ...]
    examples: Mapping[Word, Count] = field(default_factory=dict)
    format: int = 1


@dataclass(frozen=True)
class Opening:
    """How training will find a run directory.

    Attributes:
        checkpoint: What it goes on from; None at the start of a run.
        earlier: The configuration of that checkpoint, where it is known.
        overwrite: Whether what is there will be deleted.
        generations: Of the files that `begin` will replace, by their path.
    """

    checkpoint: CheckpointDir | None
    earlier: TrainConfig | None
    overwrite: bool
    generations: Mapping[str, int]

    @property
    def step(self) -> int:
        """The step that training goes on from."""
        return self.checkpoint.step if self.checkpoint else 0


def look(config: TrainConfig, dataset: Dataset, lease: RunLease) -> Opening:
    """Find out how a run directory can be opened; nothing in it is changed.

    A run that has no checkpoint has nothing to lose, and is started anew with any settings.

    Raises:
        ConfigError: Another configuration or dataset started it; the difference is in the message.
        DataError: It is damaged.
    """
    paths = (layout.run_dataset_file(config.run), layout.config_file(config.run))
    generations = {path: _generation(path) for path in paths}
    # An attempt of the same submission has had its --overwrite: this one goes on from there.
    if config.overwrite and not lease.has_overwritten:
        return Opening(None, None, True, generations)
    checkpoint = checkpoints.newest_whole(config.run)
    earlier = _earlier(config.run)
    if earlier is None:
        return Opening(checkpoint, None, False, generations)
    changed = differences(earlier.config, config)
    if earlier.dataset_fingerprint != dataset.fingerprint:
        changed.append(f"dataset: {earlier.dataset_name} -> {dataset.name} (other content)")
    if checkpoint is None:
        if changed:
            _log.info(
                "%s was started with other settings (%s), but nothing was saved: it starts anew",
                config.run,
                "; ".join(changed),
            )
        return Opening(None, None, False, generations)
    _check_changes(config, dataset, earlier, changed)
    return Opening(checkpoint, earlier.config, False, generations)


def begin(
    opening: Opening, config: TrainConfig, dataset: Dataset, lease: RunLease
) -> list[Manifest]:
    """Make a run directory ready for the first step of this attempt.

    It is written even if nothing has changed: an attempt from before, which knows the files as
    they were, cannot replace them any more, however late it tries.

    Returns:
        The manifests of the checkpoints that are there.

    Raises:
        LeaseLostError: Somebody else writes into the run.
        DeniedError, InputMissingError: It cannot be written.
    """
    if opening.overwrite:
        lease.overwrite()
        lease.check()
        leftovers.remove_everything(lease)
    about = RunDataset(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        classes=dataset.classes,
        examples={name: split.examples for name, split in dataset.splits.items()},
    )
    contents: dict[str, Any] = {
        layout.run_dataset_file(config.run): about,
        layout.config_file(config.run): to_stored(config),
    }
    for path, content in contents.items():
        lease.check()
        try:
            documents.write(path, content, if_generation_match=opening.generations[path])
        except PreconditionError:
            lease.check()
            raise
    lease.check()
    return leftovers.remove(lease, opening.step)


def load_run(run: str) -> Run:
    """Read what a run directory says of itself.

    Raises:
        InputMissingError: It is not a run directory.
        DataError: Its files cannot be read.
    """
    try:
        config = documents.read(layout.config_file(run), dict[str, Any])
        dataset = documents.read(layout.run_dataset_file(run), RunDataset)
        return Run(run, from_stored(config), dataset.name, dataset.fingerprint, dataset.classes)
    except InputMissingError as error:
        raise InputMissingError(f"{run} is not a run directory: {error}") from error
    except ConfigError as error:
        raise DataError(f"{layout.config_file(run)} is damaged: {error}") from error


def differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """List the settings that change what is trained, as "name: before -> now"."""
    old, new = to_dict(before), to_dict(now)
    return [
        f"{name}: {old[name]} -> {new[name]}"
        for name in old
        if name not in _FREE and old[name] != new[name]
    ]


def check_classes(run: Run, dataset: Dataset) -> None:
    """Make sure that a run's labels mean in a dataset what they meant in training.

    Raises:
        ConfigError: They do not; the first difference is named.
    """
    if run.classes == dataset.classes:
        return
    if len(run.classes) != len(dataset.classes):
        difference = f"{len(run.classes)} classes, the dataset {len(dataset.classes)}"
    else:
        label, ours, theirs = next(
            (label, ours, theirs)
            for label, (ours, theirs) in enumerate(zip(run.classes, dataset.classes, strict=True))
            if ours != theirs
        )
        difference = f"{ours!r} as class {label}, the dataset {theirs!r}"
    raise ConfigError(
        f"{run.path} was trained on other classes than those of {dataset.path}: it has "
        f"{difference}; give the dataset it was trained on ({run.config.data})"
    )


def _earlier(run: str) -> Run | None:
    try:
        return load_run(run)
    except InputMissingError:
        return None


def _check_changes(config: TrainConfig, dataset: Dataset, earlier: Run, changed: list[str]) -> None:
    if earlier.classes != dataset.classes:
        raise ConfigError(
            f"{config.run} was trained on {len(earlier.classes)} other classes than the "
            f"{len(dataset.classes)} of {config.data}; choose another --run"
        )
    if changed and not config.resume:
        raise ConfigError(
            f"{config.run} was started with other settings ({'; '.join(changed)}); choose another "
            "--run, or give --resume to go on with the new ones, or --overwrite to start again"
        )


def _generation(path: str) -> int:
    try:
        return storage.stat(path).generation or ABSENT
    except NotFoundError:
        return ABSENT
