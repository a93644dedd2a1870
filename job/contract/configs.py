"""What can be set, with every default and every check: the one typed source of truth.

From each dataclass come its command's flags (`job/contract/flags.py`), the arguments of its
container (`launcher/manifests/render.py`) and the `config.json` of a run. Fields without a default
are required. The trainer's, by far the largest, has a file of its own
(`job/contract/train_config.py`).
"""

import dataclasses
import re
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

from job.contract import part_ranges
from job.contract.errors import ConfigError
from job.contract.options import (
    PATH_FORMS,
    PRECISIONS,
    did_you_mean,
    option,
    paying_project,
    storage_deadline,
    validate,
)
from job.contract.train_config import PRESETS
from job.contract.train_config import TrainConfig as TrainConfig

ConfigT = TypeVar("ConfigT")

CONFIG_FORMAT = 1
"""Of a run's config.json. Before it had one it was the same, without the number."""
_FORMAT = "format"


def _path_column() -> Any:
    return option(
        "",
        "Column of a list that holds the images' paths, by its name or its number from 1; empty "
        "finds it.",
        group="source",
    )


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """Settings of `python -m job.download`."""

    what: str = option(MISSING, "What to download.", choices=("food101", "vgg19"), positional=True)
    output: str = option(MISSING, "Folder that receives the file.")
    url: str = option(
        "",
        "Download from here instead of the official address (a mirror).",
        schemes=("http", "https"),
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Settings of `python -m job.demo`."""

    output: str = option("demo", "Folder for the images, the dataset, the run and the model.")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class RecordsConfig:
    """Settings of `python -m job.make_tfrecords`."""

    source: str = option(
        MISSING,
        "Images: a folder or an archive in one of the layouts below, or a list of path,label"
        f"[,split]; {PATH_FORMS}.",
        group="source",
    )
    name: str = option("", "Name of the dataset; empty takes it from the source.", group="source")
    nested: str = option(
        "refuse",
        "What folders within class folders mean: refuse them, join their names into the class "
        "(asian/ramen), or let the top folder be the class.",
        group="source",
        choices=("refuse", "join", "top"),
    )
    path_column: str = _path_column()
    label_column: str = option(
        "", "Column of a list that holds the label; empty finds it.", group="source"
    )
    split_column: str = option(
        "", "Column of a list that holds train or test; empty finds it.", group="source"
    )
    test_fraction: float = option(
        0.1,
        "Share of the images that becomes the test split where the source has none.",
        group="source",
        low=0.0,
        high=0.9,
    )
    seed: int = option(
        0,
        "Seed of the split and of the order of examples in the shards.",
        group="source",
        low=0,
        high=2**31 - 1,
    )
    output: str = option(MISSING, f"Dataset directory to write; {PATH_FORMS}.", group="shards")
    shorter_side: int = option(
        256,
        "Images are shrunk to this shorter side; 0 keeps their bytes as they are.",
        group="shards",
        unit="px",
        low=0,
        high=4096,
    )
    jpeg_quality: int = option(
        95, "Quality of images that are encoded again.", group="shards", low=1, high=100
    )
    shard_size_mb: float = option(
        64.0, "Size that a shard should have.", group="shards", unit="MB", low=0.001, high=4096.0
    )
    max_reject_fraction: float = option(
        0.01,
        "Share of unusable images above which nothing is written.",
        group="checks",
        low=0.0,
        high=1.0,
    )
    max_pixels: int = option(
        64_000_000,
        "Images with more pixels are refused as decompression bombs.",
        group="checks",
        unit="px",
        low=1,
    )
    num_processes: int = option(
        0,
        "Processes that decode and encode; 0 takes one for each core.",
        group="work",
        low=0,
        high=1024,
    )
    scratch_dir: str = option(
        "",
        "Local folder where the images of a streamed archive wait for their shards, with as much "
        "room as the dataset takes; empty takes the output, or the system's for gs:// outputs.",
        group="work",
    )
    task_index: int = option(0, "Which of the tasks this process is.", group="work", low=0)
    num_tasks: int = option(
        1, "Tasks that make this dataset together.", group="work", low=1, high=10_000
    )
    storage_deadline_s: float = storage_deadline()
    billing_project: str = paying_project()

    def __post_init__(self) -> None:
        validate(self)
        if self.task_index >= self.num_tasks:
            raise ConfigError(
                f"task_index {self.task_index} must be below num_tasks {self.num_tasks}"
            )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of `python -m job.evaluate`."""

    data: str = option(MISSING, f"Dataset directory; {PATH_FORMS}.")
    run: str = option(MISSING, f"Run directory to evaluate; {PATH_FORMS}.")
    checkpoint: str = option("best", "Which checkpoint: best, latest or a step.")
    split: str = option("test", "Split to evaluate on.", choices=("test", "train"))
    output: str = option("", "Report directory; empty takes the run's report/.")
    batch_size: int = option(32, "Images evaluated at once.", unit="images", low=1)
    precision: str = option(
        "auto", "Arithmetic of the network; auto takes that of training.", choices=PRECISIONS
    )
    cache_dir: str = option(
        "", "Folder for downloaded shards; empty takes the user's cache folder."
    )
    cache_size_gb: float = option(
        0.0, "Largest size of cache_dir; 0 takes what the disk has.", unit="GB", low=0.0
    )
    storage_deadline_s: float = storage_deadline()
    billing_project: str = paying_project()

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Settings of `python -m job.export`."""

    run: str = option(MISSING, f"Run directory to export; {PATH_FORMS}.")
    output: str = option(MISSING, f"Model directory to write; {PATH_FORMS}.")
    checkpoint: str = option("best", "Which checkpoint: best, latest or a step.")
    precision: str = option(
        "auto",
        "Arithmetic of the exported network; auto takes that of training, int8 adds a quantised "
        "one for CPUs to float32.",
        choices=(*PRECISIONS, "int8"),
    )
    calibration_data: str = option(
        "",
        "Dataset on which int8 is calibrated (train split) and measured (test split); "
        f"{PATH_FORMS}.",
        group="int8",
    )
    max_top1_loss: float = option(
        0.5,
        "Loss of top-1 against float32 up to which predictions use int8 unasked.",
        group="int8",
        unit="points",
        low=0.0,
        high=100.0,
    )
    overwrite: bool = option(False, "Replace a model that is already there.")
    storage_deadline_s: float = storage_deadline()
    billing_project: str = paying_project()

    def __post_init__(self) -> None:
        validate(self)
        if self.precision == "int8" and not self.calibration_data:
            raise ConfigError(
                "precision int8 is calibrated on photographs: give --calibration_data=DATASET"
            )
        if self.calibration_data and self.precision != "int8":
            raise ConfigError(f"calibration_data is for --precision=int8, not for {self.precision}")


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Settings of `python -m job.predict`."""

    model: str = option(MISSING, f"Model directory written by job.export; {PATH_FORMS}.")
    images: str = option(
        MISSING,
        "Images (JPEG, PNG, WebP, GIF, BMP, TIFF): a folder, a bucket prefix, a glob, a .txt, .csv "
        f"or .jsonl list, a dataset directory or a .tar; {PATH_FORMS}.",
    )
    path_column: str = _path_column()
    output: str = option(MISSING, f"Predictions directory; {PATH_FORMS}.")
    task_index: int = option(0, "Which of the tasks this process is.", group="work", low=0)
    num_tasks: int = option(1, "Tasks that share the images.", group="work", low=1)
    parts: str = option(
        "", "Parts that the tasks share, as 0,3-5; empty shares all of them.", group="work"
    )
    format: str = option(
        "jsonl", "Format of the parts.", group="output", choices=("jsonl", "parquet")
    )
    top_k: int = option(5, "Classes reported for each image.", group="output", low=1)
    embedding: bool = option(
        False, "Also write the activations before the last layer.", group="output"
    )
    gallery: bool = option(
        False, "Also write gallery.html with a sample of the images.", group="output"
    )
    concurrency: int = option(32, "Images downloaded at once.", group="speed", low=1, high=1024)
    batch_size: int = option(
        0, "Images classified at once; 0 finds the fastest.", group="speed", unit="images", low=0
    )
    precision: str = option(
        "auto",
        "Arithmetic of the network; auto measures what is fast here.",
        group="speed",
        choices=PRECISIONS,
    )
    runtime: str = option(
        "auto",
        "What computes the network; auto takes the faster one here, openvino is int8 on CPUs.",
        group="speed",
        choices=("auto", "tensorflow", "openvino"),
    )
    tta: str = option(
        "none",
        "Average the predictions over several views of an image.",
        choices=("none", "flip", "ten_crop", "dense"),
    )
    storage_deadline_s: float = storage_deadline()
    billing_project: str = paying_project()

    def __post_init__(self) -> None:
        validate(self)
        if self.task_index >= self.num_tasks:
            raise ConfigError(
                f"task_index {self.task_index} must be below num_tasks {self.num_tasks}"
            )
        if self.parts:
            part_ranges.parse(self.parts)


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Settings of `python -m job.serve`."""

    model: str = option(MISSING, f"Model directory written by job.export; {PATH_FORMS}.")
    name: str = option("food", "Name of the model in the paths of requests.")
    host: str = option(
        "127.0.0.1", "Address to listen on; 0.0.0.0 is every one of this machine.", group="server"
    )
    port: int = option(8501, "Port; 0 takes a free one.", group="server", low=0, high=65_535)
    max_request_mb: int = option(
        32, "Largest request.", group="limits", unit="MiB", low=1, high=256
    )
    request_timeout_s: float = option(
        30.0, "Time that a client has to send a request.", group="limits", unit="s", low=0.1
    )
    max_waiting: int = option(
        256, "Images that wait at most; more are refused.", group="limits", unit="images", low=1
    )
    max_batch: int = option(16, "Images scored at once.", group="speed", unit="images", low=1)
    precision: str = option(
        "auto",
        "Arithmetic of the network; auto measures what is fast here.",
        group="speed",
        choices=PRECISIONS,
    )
    runtime: str = option(
        "auto",
        "What computes the network; auto takes the faster one here, openvino is int8 on CPUs.",
        group="speed",
        choices=("auto", "tensorflow", "openvino"),
    )
    look_every_s: float = option(
        30.0, "How often to look for a new version of the model.", unit="s", low=0.1
    )
    drain_s: float = option(
        5.0, "How long to go on answering after SIGTERM.", unit="s", low=0.0, high=300.0
    )
    storage_deadline_s: float = storage_deadline()

    def __post_init__(self) -> None:
        validate(self)
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,63}", self.name):
            raise ConfigError(
                f"name {self.name!r} must be letters, digits, dots and dashes, at most 63"
            )


@dataclass(frozen=True, kw_only=True)
class ScalingConfig:
    """Settings of `python -m job.scaling`."""

    images_per_s: float = option(
        400.0,
        "Training speed of one GPU alone; measure it with a run on one GPU.",
        unit="images/s",
        low=0.01,
    )
    per_replica_batch: int = option(64, "Images of one step on one GPU.", unit="images", low=1)
    num_classes: int = option(101, "Classes of the dataset.", low=1)
    head: str = option("fc", "Last layers of the network, as for job.train.", choices=("fc", "gap"))
    product_tflops: float = option(
        10.0, "Speed of a large matrix product.", unit="TFLOP/s", low=0.001
    )
    hop_latency_us: float = option(
        50.0, "Cost of one message between two GPUs, whatever its size.", unit="us", low=0.0
    )
    plot: str = option("", "Figure to write (.png, .svg or .pdf); empty writes none.")

    def __post_init__(self) -> None:
        validate(self)


def preset_values(config_class: type[Any], preset: str) -> dict[str, Any]:
    """Give the defaults that a preset changes; none for a configuration without presets."""
    if "preset" not in {field.name for field in dataclasses.fields(config_class)}:
        return {}
    return {"preset": preset, **PRESETS.get(preset, {})}


def from_dict(config_class: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """Make a configuration from names and values; a preset fills in what is not given.

    Integers are taken where a float is wanted, as YAML and JSON write 20.0 as 20.

    Raises:
        ConfigError: An unknown name, a missing one or a value that is not allowed.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise ConfigError(
                f"unknown setting {name!r} for {config_class.__name__}" + did_you_mean(name, fields)
            )
    missing = [
        name
        for name, field in fields.items()
        if field.default is MISSING and values.get(name) is None
    ]
    if missing:
        raise ConfigError(f"missing: {', '.join('--' + name for name in missing)}")
    given = preset_values(config_class, str(values.get("preset", "recommended"))) | values
    typed = {
        name: float(value)
        if isinstance(value, int) and not isinstance(value, bool) and _is_float(fields[name])
        else value
        for name, value in given.items()
    }
    return config_class(**typed)


def _is_float(field: dataclasses.Field[Any]) -> bool:
    return field.type in (float, "float", float | None, "float | None")


def to_dict(config: Any) -> dict[str, Any]:
    """Give every field's name and value: what config.json holds."""
    return dataclasses.asdict(config)


def to_stored(config: TrainConfig) -> dict[str, Any]:
    """Give the content of a run's config.json: what to repeat it needs, and a format number."""
    of_one_start = {"resume": False, "overwrite": False, "take_over": False}
    return {_FORMAT: CONFIG_FORMAT, **to_dict(config), **of_one_start}


def from_stored(values: dict[str, Any]) -> TrainConfig:
    """Read the content of a config.json, of any format so far.

    Settings of other versions of this program are left out.

    Raises:
        ConfigError: A setting is missing or has a value that is not allowed, or a newer version
            wrote it in another way.
    """
    if values.get(_FORMAT, CONFIG_FORMAT) != CONFIG_FORMAT:
        raise ConfigError(
            f"it has format {values[_FORMAT]!r:.50}, this program reads {CONFIG_FORMAT}"
        )
    return from_dict(TrainConfig, _known(TrainConfig, values))


def settings_of_file(config_class: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Give the settings of a file for `--config`: a config.json of any run, or a person's own.

    One that a person wrote has no format number, and names that nobody knows are mistakes there.
    """
    return _known(config_class, values) if _FORMAT in values else values


def _known(config_class: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(config_class)}
    return {name: value for name, value in values.items() if name in fields}
