"""What can be set, with every default and every check: the one typed source of truth.

From each dataclass come its command's flags (`job/flags.py`), the arguments of its container
(`launcher/render.py`) and the `config.json` of a run. Fields without a default are required.
"""

import dataclasses
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

from job.errors import ConfigError
from job.options import did_you_mean, option, validate

ConfigT = TypeVar("ConfigT")

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
LAYER_STAGES = ("none", "conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
_PATH = "a local path or gs://bucket/prefix"


def _storage_deadline() -> Any:
    return option(
        300.0,
        "How long requests to a bucket that fail are repeated before this process gives up.",
        group="storage",
        unit="s",
        low=1.0,
    )


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """Settings of `python -m job.download`."""

    what: str = option(MISSING, "What to download.", choices=("food101", "vgg19"), positional=True)
    output: str = option(MISSING, "Folder that receives the file.")
    url: str = option("", "Download from here instead of the official address (a mirror).")

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
        "Images: a folder or .tar.gz in the Food-101 layout, a folder with one folder per class, "
        f"or a CSV of path,label[,split]; {_PATH}.",
        group="source",
    )
    name: str = option("", "Name of the dataset; empty takes it from the source.", group="source")
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
    output: str = option(MISSING, f"Dataset directory to write; {_PATH}.", group="shards")
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
    storage_deadline_s: float = _storage_deadline()

    def __post_init__(self) -> None:
        validate(self)
        if self.task_index >= self.num_tasks:
            raise ConfigError(
                f"task_index {self.task_index} must be below num_tasks {self.num_tasks}"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `python -m job.train`, and the content of a run's config.json."""

    data: str = option(MISSING, f"Dataset directory; {_PATH}.", group="data")
    run: str = option(
        MISSING,
        f"Run directory for checkpoints, logs and reports; {_PATH}. "
        "Started again on the same one, training goes on from its newest checkpoint.",
        group="run",
    )
    resume: bool = option(
        False, "Go on in a run directory that was started with other settings.", group="run"
    )
    overwrite: bool = option(
        False, "Delete what another configuration left in the run directory.", group="run"
    )
    seed: int = option(
        0,
        "Seed of the weights, the order, the augmentation and dropout.",
        group="run",
        low=0,
        high=2**31 - 1,
    )
    preset: str = option(
        "recommended",
        "Recipe that gives the defaults: 'article' is the published Food-101 recipe with its "
        "defects mended.",
        group="recipe",
        choices=("recommended", "article"),
    )
    epochs: float = option(
        20.0,
        "Passes over the training split, if steps is not given.",
        group="recipe",
        low=0.0,
    )
    steps: int | None = option(None, "Steps to train, instead of epochs.", group="recipe", low=0)
    global_batch_size: int = option(
        64, "Examples of one step over all replicas.", group="recipe", unit="images", low=1
    )
    accumulate_steps: int = option(
        1,
        "Parts into which each replica's share of a batch is cut to save memory.",
        group="recipe",
        low=1,
    )
    learning_rate: float = option(0.001, "Learning rate at its highest.", group="recipe", low=0.0)
    schedule: str = option(
        "cosine",
        "How the learning rate falls (polynomial: linearly).",
        group="recipe",
        choices=("cosine", "polynomial", "constant"),
    )
    end_learning_rate: float = option(
        1e-6, "Learning rate at the last step.", group="recipe", low=0.0
    )
    warmup_steps: int = option(
        500,
        "Steps over which the learning rate rises from 0; at most a tenth of all steps.",
        group="recipe",
        low=0,
    )
    head_learning_rate_multiplier: float = option(
        10.0, "Factor on the learning rate of the new last layer.", group="recipe", low=0.0
    )
    momentum: float = option(0.9, "Momentum of SGD.", group="recipe", low=0.0, high=0.9999)
    weight_decay: float = option(
        5e-4, "L2 penalty on weights; biases have none.", group="recipe", low=0.0
    )
    clip_norm: float = option(
        10.0,
        "Global norm to which gradients are clipped; 0 clips nothing.",
        group="recipe",
        low=0.0,
    )
    label_smoothing: float = option(
        0.1,
        "Probability that the target spreads over all classes.",
        group="recipe",
        low=0.0,
        high=0.999,
    )
    dropout_rate: float = option(
        0.5, "Share of activations dropped after fc6 and fc7.", group="recipe", low=0.0, high=0.99
    )
    crop_margin_px: int = option(
        0,
        "Training crops are at least this much smaller than the shorter side.",
        group="augmentation",
        unit="px",
        low=0,
    )
    crop_min_fraction: float = option(
        0.6,
        "Smallest side of a training crop, as a share of the largest.",
        group="augmentation",
        low=0.05,
        high=1.0,
    )
    flip: bool = option(True, "Mirror half of the training images.", group="augmentation")
    color_jitter: float = option(
        0.0,
        "Strength of random brightness, contrast and saturation.",
        group="augmentation",
        low=0.0,
        high=1.0,
    )
    image_size_px: int = option(
        224,
        "Side of the square that the network sees.",
        group="model",
        unit="px",
        low=32,
        high=1024,
    )
    head: str = option(
        "fc",
        "Last layers: slim's fully convolutional fc6, fc7, fc8, or global average pooling.",
        group="model",
        choices=("fc", "gap"),
    )
    width_multiplier: float = option(
        1.0,
        "Factor on the width of every layer; pretrained weights need 1.",
        group="model",
        low=0.01,
        high=4.0,
    )
    init_checkpoint: str = option(
        "",
        "Weights to start from: slim's vgg_19.ckpt, its .tar.gz, or a run directory; "
        f"{_PATH}. Empty starts from random weights.",
        group="model",
    )
    freeze_below: str = option(
        "none",
        "Layers before this one keep their initial weights.",
        group="model",
        choices=LAYER_STAGES,
    )
    precision: str = option(
        "auto",
        "Arithmetic of the network; auto measures what is fast here.",
        group="speed",
        choices=PRECISIONS,
    )
    xla: str = option(
        "auto",
        "Compile forward and backward pass with XLA; auto does so on GPUs.",
        group="speed",
        choices=("auto", "on", "off"),
    )
    exchange: str = option(
        "auto",
        "How workers exchange gradients; auto plans it per variable.",
        group="speed",
        choices=("auto", "dense", "bfloat16", "factors"),
    )
    network_gbps: float = option(
        0.0,
        "Bandwidth between workers for the plan; 0 measures it at the start.",
        group="speed",
        unit="Gbit/s",
        low=0.0,
    )
    cache_dir: str = option(
        "", "Folder for downloaded shards; empty takes the user's cache folder.", group="data"
    )
    cache_size_gb: float = option(
        0.0,
        "Largest size of cache_dir; 0 takes what the disk has.",
        group="data",
        unit="GB",
        low=0.0,
    )
    save_every_steps: int = option(
        0,
        "Steps between checkpoints; 0 goes by save_every_s alone.",
        group="run",
        unit="steps",
        low=0,
    )
    save_every_s: float = option(
        600.0, "Longest time between checkpoints.", group="run", unit="s", low=0.0
    )
    keep: int = option(3, "Newest checkpoints to keep, beside the best one.", group="run", low=1)
    eval_every_steps: int = option(
        0,
        "Steps between evaluations on the test split; 0 evaluates after each epoch.",
        group="run",
        unit="steps",
        low=0,
    )
    log_every_steps: int = option(
        20, "Steps between two points of the TensorBoard curves.", group="run", unit="steps", low=1
    )
    log_every_s: float = option(
        10.0,
        "Time between two log lines when there is no terminal.",
        group="run",
        unit="s",
        low=0.1,
    )
    log_sync_s: float = option(
        30.0, "Shortest time between two uploads of the logs.", group="run", unit="s", low=1.0
    )
    storage_deadline_s: float = _storage_deadline()
    peer_timeout_s: float = option(
        60.0,
        "Time after which a worker that does not answer counts as lost.",
        group="cluster",
        unit="s",
        low=1.0,
    )
    cluster_timeout_s: float = option(
        600.0,
        "Time to wait at the start until all workers are there.",
        group="cluster",
        unit="s",
        low=1.0,
    )

    def __post_init__(self) -> None:
        validate(self)
        if self.resume and self.overwrite:
            raise ConfigError("resume and overwrite exclude each other; give one of them")
        if self.head == "fc" and self.image_size_px < 224:
            raise ConfigError(
                f"head fc needs image_size_px of at least 224, not {self.image_size_px}; "
                "use --head=gap for smaller images"
            )
        if self.global_batch_size % self.accumulate_steps:
            raise ConfigError(
                f"global_batch_size {self.global_batch_size} is not divisible by "
                f"accumulate_steps {self.accumulate_steps}"
            )
        if self.end_learning_rate > self.learning_rate:
            raise ConfigError(
                f"end_learning_rate {self.end_learning_rate:g} must not be above "
                f"learning_rate {self.learning_rate:g}"
            )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of `python -m job.evaluate`."""

    data: str = option(MISSING, f"Dataset directory; {_PATH}.")
    run: str = option(MISSING, f"Run directory to evaluate; {_PATH}.")
    checkpoint: str = option("best", "Which checkpoint: best, latest or a step.")
    split: str = option("test", "Split to evaluate on.", choices=("test", "train"))
    output: str = option("", "Report directory; empty takes the run's report/.")
    batch_size: int = option(32, "Images evaluated at once.", unit="images", low=1)
    precision: str = option(
        "auto", "Arithmetic of the network; auto measures what is fast here.", choices=PRECISIONS
    )
    cache_dir: str = option(
        "", "Folder for downloaded shards; empty takes the user's cache folder."
    )
    cache_size_gb: float = option(
        0.0, "Largest size of cache_dir; 0 takes what the disk has.", unit="GB", low=0.0
    )
    storage_deadline_s: float = _storage_deadline()

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Settings of `python -m job.export`."""

    run: str = option(MISSING, f"Run directory to export; {_PATH}.")
    output: str = option(MISSING, f"Model directory to write; {_PATH}.")
    checkpoint: str = option("best", "Which checkpoint: best, latest or a step.")
    precision: str = option(
        "float32",
        "Arithmetic of the exported network.",
        choices=("float32", "bfloat16", "float16"),
    )
    overwrite: bool = option(False, "Replace a model that is already there.")
    storage_deadline_s: float = _storage_deadline()

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Settings of `python -m job.predict`."""

    model: str = option(MISSING, f"Model directory written by job.export; {_PATH}.")
    images: str = option(
        MISSING,
        "Images: a folder, a bucket prefix, a glob, a .txt, .csv or .jsonl list, a dataset "
        f"directory or a .tar; {_PATH}.",
    )
    output: str = option(MISSING, f"Predictions directory; {_PATH}.")
    task_index: int = option(0, "Which of the tasks this process is.", group="work", low=0)
    num_tasks: int = option(1, "Tasks that share the images.", group="work", low=1)
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
    tta: str = option(
        "none",
        "Average the predictions over several views of an image.",
        choices=("none", "flip", "ten_crop", "dense"),
    )
    storage_deadline_s: float = _storage_deadline()

    def __post_init__(self) -> None:
        validate(self)
        if self.task_index >= self.num_tasks:
            raise ConfigError(
                f"task_index {self.task_index} must be below num_tasks {self.num_tasks}"
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


PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {},
    # github.com/dkorobchenko/transfer-learning-food: linear decay from 1e-3 to 1e-7 over 20 epochs
    # of batches of 64, random square crops with a margin of 20 px, no flip.
    "article": {
        "epochs": 20.0,
        "global_batch_size": 64,
        "learning_rate": 1e-3,
        "end_learning_rate": 1e-7,
        "schedule": "polynomial",
        "warmup_steps": 0,
        "head_learning_rate_multiplier": 1.0,
        "clip_norm": 0.0,
        "label_smoothing": 0.0,
        "crop_margin_px": 20,
        "crop_min_fraction": 1.0,
        "flip": False,
        "eval_every_steps": 500,
        "log_every_steps": 30,
    },
}


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
