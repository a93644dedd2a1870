"""Every name inside a dataset, run, model or predictions directory.

No other module spells one. All functions are pure: they take and give paths, local or gs://.
"""

import re

DATASET_FILE = "dataset.json"
REJECTS_FILE = "rejects.jsonl"
MANIFEST_FILE = "MANIFEST.json"
CONFIG_FILE = "config.json"
SUMMARY_FILE = "summary.json"
MODEL_FILE = "model.json"
SAVED_MODEL_FILE = "saved_model.pb"
OPENVINO_DIR = "openvino"
INT8_NETWORK_FILE = f"{OPENVINO_DIR}/int8.xml"
CLASSES_FILE = "classes.txt"

_STEP = re.compile(r"step-(\d{8,})")
_EVALUATION = re.compile(r"(?:.*/)?evaluations/step-(\d{8,})\.json")
_ATTEMPT_LOG = re.compile(r"(?:^|/)attempts/(\d+)/([^/]+)\.log$")
_ATTEMPT_RECORD = re.compile(r"(?:^|/)attempts/(\d+)/([^/]+)\.json$")
_PREDICTIONS = re.compile(
    r"(part|rejects)-\d{5,}-of-\d{5,}\.(jsonl|parquet)"
    r"|summary\.json|predictions\.json|arithmetic\.json|gallery\.html|(counts|listing)/.*"
)


def join(base: str, *parts: str) -> str:
    """Append relative parts to a folder's path, local or gs://; "" is the current folder."""
    return "/".join([base.rstrip("/"), *parts]) if base else "/".join(parts)


# Dataset


def shard_file(split: str, index: int, count: int) -> str:
    """Name a shard: train-00000-of-00032.tfrecord."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def dataset_file(data: str) -> str:
    """Locate the file that makes a folder of shards a dataset."""
    return join(data, DATASET_FILE)


def rejects_file(data: str) -> str:
    """Locate the list of images that could not be used."""
    return join(data, REJECTS_FILE)


def building_dir(data: str) -> str:
    """Locate what exists only while a dataset is being made."""
    return join(data, "building")


def shard_note(data: str, shard: str) -> str:
    """Locate what is known of a finished shard until dataset.json takes it over."""
    return join(building_dir(data), f"{shard}.json")


def plan_note(data: str) -> str:
    """Locate the settings that the shards in a folder are being made with."""
    return join(building_dir(data), "plan.json")


# Run


def config_file(run: str) -> str:
    """Locate the configuration that a run was made with."""
    return join(run, CONFIG_FILE)


def run_dataset_file(run: str) -> str:
    """Locate what a run knows of its dataset: name, fingerprint and classes."""
    return join(run, DATASET_FILE)


def lease_file(run: str) -> str:
    """Locate the note that says who writes into a run."""
    return join(run, "lease.json")


def progress_file(run: str) -> str:
    """Locate the small file that tells how far a run is."""
    return join(run, "progress.json")


def checkpoints_dir(run: str) -> str:
    """Locate the folder of all checkpoints."""
    return join(run, "checkpoints")


def checkpoint_dir(run: str, step: int) -> str:
    """Locate the checkpoint of a step."""
    return join(checkpoints_dir(run), f"step-{step:08d}")


def checkpoint_step(name: str) -> int | None:
    """Read the step from a checkpoint folder's name; None for any other name."""
    match = _STEP.fullmatch(name)
    return int(match[1]) if match else None


def manifest_file(checkpoint: str) -> str:
    """Locate the file whose presence makes a checkpoint complete."""
    return join(checkpoint, MANIFEST_FILE)


def best_file(run: str) -> str:
    """Locate the note that says which checkpoint evaluated best."""
    return join(checkpoints_dir(run), "best.json")


def evaluations_dir(run: str) -> str:
    """Locate the numbers of all evaluations during training."""
    return join(run, "evaluations")


def evaluation_file(run: str, step: int) -> str:
    """Locate the numbers of the evaluation after a step."""
    return join(evaluations_dir(run), f"step-{step:08d}.json")


def evaluation_step(path: str) -> int | None:
    """Read the step from the path of such a file; None for any other path."""
    match = _EVALUATION.fullmatch(path)
    return int(match[1]) if match else None


def logs_dir(run: str, kind: str = "") -> str:
    """Locate TensorBoard's logs: all of them, or those of `train` or `test`."""
    return join(run, "logs", kind) if kind else join(run, "logs")


def report_dir(run: str) -> str:
    """Locate the evaluation's report."""
    return join(run, "report")


def model_dir(run: str) -> str:
    """Locate the model that `--then=export` writes."""
    return join(run, "model")


def follow_up_file(run: str) -> str:
    """Locate the note of what follows training, and how far that is."""
    return join(run, "follow_up.json")


def notified_file(run: str, outcome: str, step: int) -> str:
    """Locate what was told of the end of a run, once for each outcome."""
    return join(run, "notified", f"{outcome}-step-{step:08d}.json")


def metrics_file(report: str) -> str:
    """Locate the numbers of a report."""
    return join(report, "metrics.json")


def report_file(report: str) -> str:
    """Locate the page of a report."""
    return join(report, "report.html")


def attempts_dir(run: str) -> str:
    """Locate the logs of all attempts."""
    return join(run, "attempts")


def attempt_log(run: str, attempt: int, replica: str) -> str:
    """Locate the log of one replica in one attempt."""
    return join(attempts_dir(run), str(attempt), f"{replica}.log")


def attempt_record(run: str, attempt: int, replica: str) -> str:
    """Locate how one attempt of one replica began and ended."""
    return join(attempts_dir(run), str(attempt), f"{replica}.json")


def parse_attempt_record(path: str) -> tuple[int, str] | None:
    """Give attempt and replica of such a path; None for others."""
    match = _ATTEMPT_RECORD.search(path)
    return (int(match[1]), match[2]) if match else None


def parse_attempt_log(path: str) -> tuple[int, str] | None:
    """Give attempt and replica of such a path; None for others."""
    match = _ATTEMPT_LOG.search(path)
    return (int(match[1]), match[2]) if match else None


# Model


def is_model_part(name: str) -> bool:
    """Whether a path within a model directory is one that an export writes."""
    return name in (MODEL_FILE, SAVED_MODEL_FILE, "fingerprint.pb") or name.startswith(
        ("assets/", "variables/", f"{OPENVINO_DIR}/")
    )


def model_file(model: str) -> str:
    """Locate the description of an exported model."""
    return join(model, MODEL_FILE)


# Predictions


def part_file(index: int, count: int, extension: str) -> str:
    """Name one task's predictions: part-00000-of-00016.jsonl."""
    return f"part-{index:05d}-of-{count:05d}.{extension}"


def rejects_part_file(index: int, count: int) -> str:
    """Name one task's list of images that could not be read."""
    return f"rejects-{index:05d}-of-{count:05d}.jsonl"


def summary_file(predictions: str) -> str:
    """Locate the counts of a finished prediction."""
    return join(predictions, SUMMARY_FILE)


def predictions_file(predictions: str) -> str:
    """Locate the note that says which model and which options the parts are made with."""
    return join(predictions, "predictions.json")


def arithmetic_file(predictions: str) -> str:
    """Locate the note of what computes the network, chosen by the first task that began."""
    return join(predictions, "arithmetic.json")


def gallery_file(predictions: str) -> str:
    """Locate the page with a sample of the predictions."""
    return join(predictions, "gallery.html")


def part_note(predictions: str, part: str) -> str:
    """Locate the counts of a finished part."""
    return join(predictions, "counts", f"{part}.json")


def listing_dir(predictions: str) -> str:
    """Locate the frozen listing of the images."""
    return join(predictions, "listing")


def listing_file(predictions: str) -> str:
    """Locate the file whose presence makes the listing final."""
    return join(listing_dir(predictions), "listing.json")


def names_file(predictions: str, attempt: str, index: int) -> str:
    """Locate one file of image names of one attempt at listing."""
    return join(listing_dir(predictions), attempt, f"names-{index:05d}.jsonl.gz")


def is_predictions_part(name: str) -> bool:
    """Whether a path within a predictions directory is one that a prediction writes."""
    return _PREDICTIONS.fullmatch(name) is not None
