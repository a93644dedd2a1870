"""`make demo`: the whole way from image files to predictions, on images a package brings.

Scikit-learn's handwritten digits (1,797 real images) are written as JPEG files in the Food-101
layout; then the very commands that a user types are run on them, each shown before it runs.
"""

import json
import os
import shlex
import subprocess
import sys
import time

from PIL import Image

from job.contract import configs, layout
from job.contract.errors import ConfigError, JobError
from job.process import entry

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIZE_PX = 32
_TRAIN_FLAGS = (
    "--head=gap",
    "--width_multiplier=0.125",
    f"--image_size_px={_SIZE_PX}",
    "--epochs=12",
    "--global_batch_size=32",
    "--learning_rate=0.01",
    "--head_learning_rate_multiplier=1",
    "--warmup_steps=50",
    "--crop_min_fraction=0.8",
    "--noflip",
    "--eval_every_steps=180",
    "--precision=float32",
)


def write_digits(folder: str) -> None:
    """Write scikit-learn's digits as `folder`/{images,meta}, every fifth one for the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError("the demo needs scikit-learn: pip install scikit-learn") from error
    digits = load_digits()
    names: dict[str, dict[str, list[str]]] = {
        split: {name: [] for name in CLASSES} for split in ("train", "test")
    }
    for number, (pixels, target) in enumerate(zip(digits.images, digits.target, strict=True)):
        name = f"{CLASSES[target]}/{number:04d}"
        names["test" if number % 5 == 0 else "train"][CLASSES[target]].append(name)
        path = os.path.join(folder, "images", f"{name}.jpg")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        grey = Image.fromarray((pixels * (255 / 16)).astype("uint8"))
        grey.convert("RGB").resize((_SIZE_PX, _SIZE_PX), Image.Resampling.BICUBIC).save(
            path, quality=95
        )
    _write_meta(os.path.join(folder, "meta"), names)


def _write_meta(folder: str, names: dict[str, dict[str, list[str]]]) -> None:
    os.makedirs(folder, exist_ok=True)
    lines = {
        "classes.txt": sorted(CLASSES),
        "labels.txt": [name.capitalize() for name in sorted(CLASSES)],
        "train.txt": [name for group in names["train"].values() for name in group],
        "test.txt": [name for group in names["test"].values() for name in group],
    }
    for file_name, content in lines.items():
        with open(os.path.join(folder, file_name), "w") as file:
            file.write("\n".join(content) + "\n")
    for split, by_class in names.items():
        with open(os.path.join(folder, f"{split}.json"), "w") as file:
            json.dump(by_class, file)


def demo(settings: configs.DemoConfig) -> int:
    """Run every step and say where the results are."""
    base = settings.output
    source, data, run, model = (
        os.path.join(base, name) for name in ("food-101", "dataset", "run", "model")
    )
    _title("1/5  ten classes of JPEG files in the Food-101 layout")
    write_digits(source)
    print(f"1,797 images in {source}/images")
    _title("2/5  sharded TFRecords")
    _command(
        "job.make_tfrecords", f"--source={source}", f"--output={data}", "--shorter_side=0",
        "--shard_size_mb=0.25",
    )  # fmt: skip
    _title("3/5  training a narrow VGG19 from scratch")
    started = time.monotonic()
    _command("job.train", f"--data={data}", f"--run={run}", *_TRAIN_FLAGS)
    print(f"trained in {time.monotonic() - started:.0f} s")
    _title("4/5  evaluation and report")
    _command("job.evaluate", f"--data={data}", f"--run={run}")
    _title("5/5  export, and ten images classified by the exported model")
    _command("job.export", f"--run={run}", f"--output={model}", "--overwrite")
    classify_ten(source, model)
    _closing_words(run, model)
    return 0


def classify_ten(source: str, model: str) -> None:
    """Print what the exported model says of one test image of each class."""
    import tensorflow as tf

    with open(os.path.join(source, "meta", "test.json")) as file:
        chosen = [names[0] for names in json.load(file).values()]
    contents = []
    for name in chosen:
        with open(os.path.join(source, "images", f"{name}.jpg"), "rb") as image:
            contents.append(image.read())
    answer = tf.saved_model.load(model).signatures["serving_default"](images=tf.constant(contents))
    for name, likeliest, probabilities in zip(
        chosen, answer["classes"].numpy(), answer["probabilities"].numpy(), strict=True
    ):
        print(f"  {name:<14} -> {likeliest[0].decode():<6} {100 * probabilities.max():5.1f} %")


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _command(module: str, *args: str) -> None:
    command = [sys.executable, "-m", module, *args]
    print("$ " + shlex.join(["python", *command[1:]]), flush=True)
    status = subprocess.run(
        command, check=False, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    ).returncode
    if status:
        raise _StepError(module, status)


class _StepError(JobError):
    """A command of the demo failed; it has said why itself."""

    def __init__(self, module: str, status: int) -> None:
        super().__init__(f"python -m {module} ended with exit code {status}; its output is above")
        self.exit_code = status  # type: ignore[assignment]


def _closing_words(run: str, model: str) -> None:
    with open(layout.metrics_file(layout.report_dir(run))) as file:
        metrics = json.load(file)
    print(
        f"\ntop-1 on the test split: {100 * metrics['top1']:.1f} % of {metrics['examples']} images"
        f"\nreport:      {os.path.abspath(layout.report_file(layout.report_dir(run)))}"
        f"\nmodel:       {os.path.abspath(model)}"
        f"\nTensorBoard: {os.path.abspath(layout.logs_dir(run))}; open it with"
        f"\n  {os.path.relpath(sys.executable)} -m launcher tensorboard --logdir="
        f"{os.path.relpath(layout.logs_dir(run))}"
    )


if __name__ == "__main__":
    sys.exit(
        entry.run(
            demo,
            configs.DemoConfig,
            program="python -m job.demo",
            description="Train, evaluate, export and predict on scikit-learn's digits.",
        )
    )
