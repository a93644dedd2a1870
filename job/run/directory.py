"""A run directory's identity: the configuration and the dataset it was started with."""

import json
from dataclasses import dataclass

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig, from_dict, to_dict
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.dataset.description import Dataset
from job.run.lease import RunLease

# What may change between attempts without changing what is trained.
_FREE = frozenset(
    {
        "data", "run", "resume", "overwrite", "take_over", "cache_dir", "cache_size_gb",
        "save_every_steps", "save_every_s", "keep", "eval_every_steps", "log_every_steps",
        "log_every_s", "log_sync_s", "then", "storage_deadline_s", "billing_project", "exchange",
        "network_gbps", "peer_timeout_s", "cluster_timeout_s", "xla",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What a run directory says of itself."""

    path: str
    config: TrainConfig
    dataset_name: str
    dataset_fingerprint: str
    classes: tuple[str, ...]


def open_run(config: TrainConfig, dataset: Dataset, lease: RunLease) -> None:
    """Start a run directory, or make sure that the one there is of the same run.

    A submission deletes what was there once, however often it is restarted.

    Raises:
        ConfigError: Another configuration or dataset started it; the difference is in the message.
        DeniedError, InputMissingError: It cannot be written.
    """
    try:
        earlier = load_run(config.run)
    except InputMissingError:
        _write(config, dataset)
        return
    if config.overwrite and not lease.has_overwritten:
        lease.overwrite()
        delete_run(config.run)
        _write(config, dataset)
        return
    changed = differences(earlier.config, config)
    if earlier.dataset_fingerprint != dataset.fingerprint:
        changed.append(f"dataset: {earlier.dataset_name} -> {dataset.name} (other content)")
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
    if changed:
        _write(config, dataset)


def load_run(run: str) -> Run:
    """Read what a run directory says of itself.

    Raises:
        InputMissingError: It is not a run directory.
        DataError: Its files cannot be read.
    """
    try:
        config = json.loads(storage.read_bytes(layout.config_file(run)))
        dataset = json.loads(storage.read_bytes(layout.run_dataset_file(run)))
        return Run(
            run,
            from_dict(TrainConfig, config),
            dataset["name"],
            dataset["fingerprint"],
            tuple(dataset["classes"]),
        )
    except InputMissingError as error:
        raise InputMissingError(f"{run} is not a run directory: {error}") from error
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{layout.config_file(run)} is damaged: {error}") from error


def differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """List the settings that change what is trained, as "name: before -> now"."""
    old, new = to_dict(before), to_dict(now)
    return [
        f"{name}: {old[name]} -> {new[name]}"
        for name in old
        if name not in _FREE and old[name] != new[name]
    ]


def delete_run(run: str) -> None:
    """Delete what a run wrote, but for the logs of its attempts.

    Its configuration goes last, so that a half-deleted run still shows.
    """
    ours = [
        layout.checkpoints_dir(run),
        layout.evaluations_dir(run),
        layout.join(run, "notified"),
        layout.logs_dir(run),
        layout.report_dir(run),
        layout.model_dir(run),
    ]
    for folder in ours:
        for stat in list(storage.list_files(folder)):
            storage.delete(stat.path)
    for path in (
        layout.follow_up_file(run),
        layout.progress_file(run),
        layout.run_dataset_file(run),
        layout.config_file(run),
    ):
        storage.delete(path)


def _write(config: TrainConfig, dataset: Dataset) -> None:
    about = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "classes": dataset.classes,
        "examples": {name: split.examples for name, split in dataset.splits.items()},
    }
    storage.write_bytes(layout.run_dataset_file(config.run), _json(about))
    kept = to_dict(config) | {"resume": False, "overwrite": False, "take_over": False}
    storage.write_bytes(layout.config_file(config.run), _json(kept))


def _json(content: object) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


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
