"""Going on with a run: what it was made from, and what changes when it goes on.

The earlier job's object knows its settings (an annotation) and its trainer's flags; once it is
gone, the run directory still has the trainer's configuration.
"""

import argparse
import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from job import storage
from job.contract import flags, layout, schema
from job.contract.configs import TrainConfig, from_stored
from job.contract.errors import JobError, StorageUnreachableError
from job.storage import NotFoundError as FileMissingError
from launcher.describe.training import Training
from launcher.errors import NotFoundError
from launcher.manifests import labels, names
from launcher.manifests.skeleton import by_name
from launcher.observe import quick_storage
from launcher.settings.fields import FIELDS, Settings
from launcher.settings.values import from_text, from_yaml

_WHERE = ("context", "namespace", "kubeconfig")
_COUNTED = re.compile(r"(.+)-r(\d+)")
_SIZES = ("gpus", "workers", "gpus_per_worker")
_NOT_TOLD = ("run", "resume", "overwrite", "take_over", "cache_dir", "cache_size_gb")
_CHANGES_THE_COURSE = ("global_batch_size", "epochs", "steps")


@dataclass(frozen=True)
class Earlier:
    """What a run was made from."""

    settings: Settings
    config: TrainConfig
    size_known: bool = True
    """Whether the settings tell how many workers there were; a run directory does not."""


def from_object(item: dict[str, Any], pod_spec: dict[str, Any]) -> Earlier:
    """Read it from a job's object.

    Raises:
        NotFoundError: The job was not made by the launcher.
        UsageError: Somebody has changed what the launcher noted.
        ConfigError: Its flags are those of another version.
    """
    recorded = (item["metadata"].get("annotations") or {}).get(labels.SETTINGS)
    if recorded is None:
        raise NotFoundError(
            f"job {item['metadata']['name']!r} was not made by the launcher; name its run "
            "directory instead: launcher resume gs://…"
        )
    container = by_name(pod_spec["containers"], "tensorflow")
    noted = schema.read(recorded.encode(), dict[str, Any], what=f"annotation {labels.SETTINGS}")
    if isinstance(noted.get("env"), list):
        noted["env"] = _env_of(container, noted["env"])
    values = {
        name: from_yaml(FIELDS[name], value, f"annotation {labels.SETTINGS}: {name}")
        for name, value in noted.items()
        if name in FIELDS
    }
    args = container.get("args") or []
    config = flags.parse(TrainConfig, [arg.replace("$$", "$") for arg in args])
    return Earlier(Settings(**values), config)


def _env_of(container: dict[str, Any], names_set: list[Any]) -> dict[str, Any]:
    """Find the values of the user's own environment variables, which the annotation only names."""
    return {
        entry["name"]: str(entry.get("value", "")).replace("$$", "$")
        for entry in container.get("env") or []
        if entry["name"] in names_set and "valueFrom" not in entry
    }


def from_run(run: str, settings: Settings) -> Earlier:
    """Read it from a run directory, as far as it knows; the rest are today's settings.

    Raises:
        NotFoundError: There is no run.
        JobError: The storage cannot be read.
    """
    quick_storage.be_brief()
    path = layout.config_file(run)
    try:
        content = schema.read(storage.read_bytes(path), dict[str, Any], what=path)
    except FileMissingError as error:
        raise NotFoundError(f"{run} is no run directory: it has no {layout.CONFIG_FILE}") from error
    return Earlier(settings, from_stored(content | {"run": run}), size_known=False)


def with_flags(settings: Settings, args: argparse.Namespace, today: Settings) -> Settings:
    """Put what was typed now over the settings of a job; where to send it is today's.

    A new size replaces the old one as a whole: 16 GPUs instead of 8 are not 4 workers again.
    """
    given: dict[str, Any] = {}
    for name, field in FIELDS.items():
        text = getattr(args, name, None)
        if text is not None:
            value = from_text(field, text, f"--{name}")
            old = getattr(settings, name)
            given[name] = {**old, **value} if isinstance(value, dict) else value
    if any(name in given for name in _SIZES):
        given = {name: None for name in _SIZES if name != "gpus"} | {"gpus": settings.gpus} | given
    where = {name: getattr(today, name) for name in _WHERE}
    return dataclasses.replace(settings, **{**given, **where})


def trainer_flags(earlier: TrainConfig, data: str | None, job_flags: list[str]) -> list[str]:
    """Give the flags of the job that goes on: the old ones, then what was typed now."""
    kept = dataclasses.replace(
        earlier,
        resume=True,
        overwrite=False,
        take_over=False,
        cache_dir="",
        cache_size_gb=0.0,
    )
    # Epochs and steps exclude each other: whichever is typed replaces both.
    if any(flag.lstrip("-").startswith("epochs") for flag in job_flags):
        kept = dataclasses.replace(kept, steps=None)
    old = [arg for arg in flags.to_args(kept) if not arg.startswith("--run=")]
    return [*old, *([f"--data={data}"] if data else []), *job_flags]


def next_name(name: str, taken: set[str]) -> str:
    """Name the job that goes on: flowers, flowers-r1, flowers-r2."""
    match = _COUNTED.fullmatch(name)
    base, number = (match[1], int(match[2])) if match else (name, 0)
    while True:
        number += 1
        suffix = f"-r{number}"
        candidate = names.suggest(base, names.DNS_LABEL_LENGTH - 20 - len(suffix)) + suffix
        if candidate not in taken:
            return candidate


def changes(earlier: Earlier, settings: Settings, job: Training) -> list[str]:
    """Tell what is not as it was, and what that does to batches and schedule."""
    changed_settings = [
        name
        for name in FIELDS
        if name not in (*_WHERE, *_SIZES, "train", "data")
        and getattr(earlier.settings, name) != getattr(settings, name)
    ]
    lines = [_setting_change(name, earlier.settings, settings) for name in changed_settings]
    old, new = dataclasses.asdict(earlier.config), dataclasses.asdict(job.config)
    changed = [name for name in new if name not in _NOT_TOLD and old[name] != new[name]]
    lines += [f"--{name}: {_shown(old[name])} -> {_shown(new[name])}" for name in changed]
    same_course = not any(name in changed for name in _CHANGES_THE_COURSE)
    if not same_course:
        lines.append("from here on steps and learning rates are those of the new settings")
    return [*lines, *_size_changes(earlier, job, same_course=same_course)]


def _size_changes(earlier: Earlier, job: Training, *, same_course: bool) -> list[str]:
    from launcher.describe import sizing

    if not earlier.size_known:
        return []
    before, gpus_before = sizing.divide_gpus(earlier.settings)
    after, gpus_after = job.spec.workers, job.spec.resources.gpus
    if (before, gpus_before) == (after, gpus_after):
        return []
    batch = job.config.global_batch_size
    old = earlier.config.global_batch_size // (before * max(gpus_before, 1))
    new = batch // (after * max(gpus_after, 1))
    what = "GPU" if gpus_after else "worker"
    text = f"workers: {before} x {gpus_before} GPUs -> {after} x {gpus_after} GPUs"
    if batch == earlier.config.global_batch_size:
        text += f"; the global batch stays {batch} ({old} -> {new} per {what})"
        if same_course:
            text += ", so learning rates and the order of examples go on as they were"
    return [text]


def _setting_change(name: str, old: Settings, new: Settings) -> str:
    flag = f"--{name.replace('_', '-')}"
    if name == "env":  # Its values may be secrets.
        before, after = (_shown(", ".join(sorted(each.env))) for each in (old, new))
        return f"{flag}: {before} -> {after}" + (" (other values)" if before == after else "")
    return f"{flag}: {_shown(getattr(old, name))} -> {_shown(getattr(new, name))}"


def _shown(value: Any) -> str:
    return "nothing" if value in (None, "", {}, ()) else str(value)


def where_it_goes_on(run: str) -> tuple[int | None, str]:
    """Give the newest checkpoint's step, and a sentence about it."""
    from launcher.observe import run_directory

    try:
        step = run_directory.newest_checkpoint(run)
    except StorageUnreachableError:
        return None, "from its newest checkpoint (storage does not answer from here)"
    except JobError as error:
        return None, f"from its newest checkpoint (it cannot be read from here: {error})"
    if step is None:
        return None, "from its beginning: there is no complete checkpoint yet"
    return step, f"from step {step:,}"
