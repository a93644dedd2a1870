"""A small dataset and a run with checkpoints, made without training."""

import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from job.contract import layout
from job.contract.configs import TrainConfig
from job.contract.evaluation_file import EvaluationNote
from job.dataset.description import Dataset, Shard, Split, load_dataset, to_json
from job.dataset.tfrecord import ImageExample, ShardWriter, encode_example
from job.model.vgg19 import VGG19
from job.run import directory
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import take

CLASSES = ("apple_pie", "baklava", "churros", "donuts", "edamame", "falafel", "gyoza")
WIDTH = 0.05


def noise_jpeg(seed: int, width: int = 56, height: int = 48) -> bytes:
    """Encode coarse noise, another one for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 7, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=90)
    return target.getvalue()


def make_dataset(
    folder: Path,
    shard_sizes: Sequence[int],
    classes: Sequence[str] = CLASSES,
    encoded: Callable[[int], bytes] = noise_jpeg,
) -> Dataset:
    """Write a dataset whose test split has shards of the given sizes; train has the first.

    The example of number n is the image `encoded(n)`, of class 3 n modulo the classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, sizes in (("test", shard_sizes), ("train", shard_sizes[:1])):
        examples = (_example(split, number, classes, encoded) for number in itertools.count())
        splits[split] = Split(
            tuple(
                _write_shard(folder, layout.shard_file(split, i, len(sizes)), size, examples)
                for i, size in enumerate(sizes)
            )
        )
    dataset = Dataset(str(folder), "noise", tuple(classes), splits)
    Path(layout.dataset_file(str(folder))).write_bytes(to_json(dataset))
    return load_dataset(str(folder))


def _write_shard(folder: Path, file: str, size: int, examples: Iterator[ImageExample]) -> Shard:
    with ShardWriter(str(folder / file)) as writer:
        for example in itertools.islice(examples, size):
            writer.write(encode_example(example))
    return Shard(file, writer.records, writer.bytes, writer.sha256)


def _example(
    split: str, number: int, classes: Sequence[str], encoded: Callable[[int], bytes]
) -> ImageExample:
    label = number * 3 % len(classes)
    return ImageExample(
        encoded=encoded(number),
        height=48,
        width=56,
        label=label,
        class_text=classes[label],
        filename=f"{number}.jpg",
        source_id=f"{split}/{classes[label]}/{number}.jpg",
    )


def make_run(
    folder: Path,
    dataset: Dataset,
    steps: Sequence[int] = (10,),
    best: int | None = None,
    weights_scale: float = 1.0,
    **settings: object,
) -> str:
    """Start a run and save random weights as its checkpoints, others at each step."""
    run = str(folder)
    config = TrainConfig(
        data=dataset.path,
        run=run,
        **{"head": "gap", "image_size_px": 32, "width_multiplier": WIDTH} | settings,
    )
    with take(run, "test") as lease:
        directory.begin(directory.look(config, dataset, lease), config, dataset, lease)
        writer = CheckpointWriter(lease, keep=99)
        for step in steps:
            network = make_network(config, dataset, seed=step)
            weights = network.variables_by_name["vgg_19/fc8/weights"]
            weights.assign(weights * weights_scale)
            writer.save(step, network.variables_by_name)
            if step == best:
                writer.record(EvaluationNote(step=step, metrics={"top1": 0.5}))
        writer.close()
    return run


def make_network(config: TrainConfig, dataset: Dataset, seed: int) -> VGG19:
    """Build the network of a run with random weights that tell its images apart."""
    network = VGG19(
        len(dataset.classes),
        head=config.head,
        width_multiplier=config.width_multiplier,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    for name in ("vgg_19/fc8/weights", "vgg_19/fc8/biases"):
        variable = network.variables_by_name[name]
        variable.assign(tf.constant(rng.normal(size=variable.shape), tf.float32))
    return network


def read_json(path: str) -> dict:
    return json.loads(Path(path).read_text())


def assert_one_line(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error:")]
    assert len(errors) == 1, lines
    assert lines[-1] == errors[0]
    for part in parts:
        assert part in errors[0]
