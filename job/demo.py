"""`python -m job.demo`: the whole way from image files to predictions, on images a package brings.

The very commands that a user types are run on scikit-learn's digits, each shown before it runs.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time

from job.contract import layout
from job.contract.configs import DemoConfig
from job.contract.errors import JobError
from job.process import entry

_TRAIN_FLAGS = (
    "--head=gap",
    "--width_multiplier=0.125",
    "--image_size_px=32",
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


def demo(config: DemoConfig) -> None:
    """Run every step and say where the results are."""
    from job.making.digits import write_digits

    source, data, run, model, predictions = (
        os.path.join(config.output, name)
        for name in ("food-101", "dataset", "run", "model", "predictions")
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
    shutil.rmtree(predictions, ignore_errors=True)  # An earlier demo's, of another model.
    _command(
        "job.predict", f"--model={model}", f"--images={_list_ten(source)}",
        f"--output={predictions}", "--precision=float32",
    )  # fmt: skip
    _show_predictions(os.path.join(predictions, layout.part_file(0, 1, "jsonl")))
    _closing_words(run, model)


def _list_ten(source: str) -> str:
    """Write a list of one test image of each class, and give its path."""
    with open(os.path.join(source, "meta", "test.json")) as file:
        chosen = [names[0] for names in json.load(file).values()]
    path = f"{source}-ten.txt"
    with open(path, "w") as file:
        file.writelines(f"{os.path.basename(source)}/images/{name}.jpg\n" for name in chosen)
    return path


def _show_predictions(part: str) -> None:
    with open(part, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            name = "/".join(row["image"].split("/")[-2:]).removesuffix(".jpg")
            likeliest = row["top"][0]
            share = 100 * likeliest["probability"]
            print(f"  {name:<14} -> {likeliest['class']:<6} {share:5.1f} %")


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _command(module: str, *args: str) -> None:
    command = [sys.executable, "-m", module, *args]
    print("$ " + shlex.join(["python", *command[1:]]), flush=True)
    status = subprocess.run(command, check=False).returncode
    if status:
        raise _StepError(module, status)


class _StepError(JobError):
    """A command of the demo failed; it has said why itself."""

    def __init__(self, module: str, status: int) -> None:
        super().__init__(f"python -m {module} ended with exit code {status}; its output is above")
        self.exit_code = status


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
            DemoConfig,
            program="python -m job.demo",
            description="Train, evaluate, export and predict on scikit-learn's digits.",
        )
    )
