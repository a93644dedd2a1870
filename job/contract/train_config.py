"""What a training run can be told: its settings, their defaults and checks, and the presets."""

from dataclasses import MISSING, dataclass
from typing import Any

from job.contract.errors import ConfigError
from job.contract.follow_up import parse_names
from job.contract.options import (
    PATH_FORMS,
    PRECISIONS,
    option,
    paying_project,
    storage_deadline,
    validate,
)

LAYER_STAGES = ("none", "conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `python -m job.train`, and the content of a run's config.json."""

    data: str = option(MISSING, f"Dataset directory; {PATH_FORMS}.", group="data")
    run: str = option(
        MISSING,
        f"Run directory for checkpoints, logs and reports; {PATH_FORMS}. "
        "Started again on the same one, training goes on from its newest checkpoint.",
        group="run",
    )
    resume: bool = option(
        False, "Go on in a run directory that was started with other settings.", group="run"
    )
    overwrite: bool = option(
        False,
        "Start anew where a run is already, and delete that one when the first step is taken; a "
        "restart of the same submission goes on.",
        group="run",
    )
    take_over: bool = option(
        False,
        "Write into the run directory although another job does, or did: its owner is dead.",
        group="run",
    )
    then: str = option(
        "",
        "What the first worker does once training has ended well, on the same machine: evaluate, "
        "export (into the run's model/), or both with a comma.",
        group="run",
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
    learning_rate: float = option(
        0.001,
        "Learning rate at its highest; the default suits pretrained weights, 0.01 random ones.",
        group="recipe",
        low=0.0,
    )
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
        10.0,
        "Factor on the learning rate of the last layer where it alone is new.",
        group="recipe",
        low=0.0,
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
        "Weights to start from: slim's vgg_19.ckpt or its .tar.gz, a run directory, or VGG19 of "
        "Keras (.h5, .keras) or torchvision (.pth, .safetensors); "
        f"{PATH_FORMS}. Empty starts from random weights.",
        group="model",
    )
    new_head: bool = option(
        False,
        "Start the last layer from random weights, even if init_checkpoint is a run with the same "
        "classes, whose last layer fits.",
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
        "Arithmetic of the network; auto measures what is fast where the run starts.",
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
    storage_deadline_s: float = storage_deadline()
    billing_project: str = paying_project()
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
        parse_names(self.then)
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

    def check_replicas(self, replicas: int) -> None:
        """Make sure that replicas can cut the global batch into equal parts; ConfigError if not."""
        parts = replicas * self.accumulate_steps
        if self.global_batch_size % parts:
            below = self.global_batch_size // parts * parts
            near = f"{below} or {below + parts}" if below else str(parts)
            raise ConfigError(
                f"global_batch_size {self.global_batch_size} is not divisible by {replicas} "
                f"replicas x accumulate_steps {self.accumulate_steps}; try {near}"
            )


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
