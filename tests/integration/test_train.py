"""The main job on one worker: trains, resumes to the same bits, says why it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from job.contract import flags, layout
from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError, DataError, DivergedError
from job.contract.evaluation_file import EvaluationNote
from job.contract.progress_file import RunProgress
from job.run import checkpoints, evaluations
from job.storage import documents
from job.training.trainer import train

NARROW = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=16",
    "--learning_rate=0.01",
    "--precision=float32",
    "--log_every_steps=5",
)


def config(data: str, run: Path | str, *extra: str) -> TrainConfig:
    return flags.parse(TrainConfig, [f"--data={data}", f"--run={run}", *NARROW, *extra])


def weights(run: Path | str, which: str = "latest") -> dict[str, np.ndarray]:
    found = checkpoints.find_checkpoint(str(run), which)
    reader = tf.train.load_checkpoint(found.path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def progress(run: Path | str) -> RunProgress:
    return documents.read(layout.progress_file(str(run)), RunProgress)


def assert_same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def events(run: Path | str, kind: str) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(layout.logs_dir(str(run), kind))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_forty_steps_equal_seventeen_and_twenty_three_to_the_bit(digits_dataset, tmp_path):
    """A run interrupted after any step and started again ends with the same weights."""
    steps = ("--steps=40", "--save_every_steps=17", "--eval_every_steps=1000")
    train(config(digits_dataset, tmp_path / "whole", *steps))
    train(config(digits_dataset, tmp_path / "parts", *steps))
    # Take away what came after step 17, as if the process had been killed just after that save.
    for step in checkpoints.committed_steps(str(tmp_path / "parts")):
        if step > 17:
            folder = Path(layout.checkpoint_dir(str(tmp_path / "parts"), step))
            for file in folder.iterdir():
                file.unlink()
    assert checkpoints.committed_steps(str(tmp_path / "parts")) == [17]
    train(config(digits_dataset, tmp_path / "parts", *steps))
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert weights(tmp_path / "whole")["global_step"] == 40


def test_a_finished_run_started_again_changes_nothing(digits_dataset, tmp_path):
    settings = config(digits_dataset, tmp_path, "--steps=3")
    train(settings)
    before, told = weights(tmp_path), progress(tmp_path)
    train(settings)
    assert_same_bits(before, weights(tmp_path))
    assert progress(tmp_path).attempts == told.attempts + 1
    assert progress(tmp_path).examples_per_s == told.examples_per_s


def test_no_steps_at_all_measure_and_keep_what_training_would_start_from(digits_dataset, tmp_path):
    """`--steps=0` says what fine-tuning adds to, and `--resume` may go on from it."""
    train(config(digits_dataset, tmp_path / "before", "--steps=0"))
    found = checkpoints.find_checkpoint(str(tmp_path / "before"), "best")
    metrics = evaluations.metrics_of(str(tmp_path / "before"), found.manifest)
    assert (found.step, "top1" in metrics) == (0, True)
    train(config(digits_dataset, tmp_path / "before", "--steps=3", "--resume"))
    train(config(digits_dataset, tmp_path / "whole", "--steps=3"))
    assert_same_bits(weights(tmp_path / "before"), weights(tmp_path / "whole"))


def test_sigterm_saves_this_step_and_leaves_with_143(digits_dataset, tmp_path):
    args = ["--steps=100000", "--log_every_s=0.2", "--save_every_s=1000"]
    command = [
        sys.executable,
        "-m",
        "job.train",
        *flags.to_args(config(digits_dataset, tmp_path, *args)),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGTERM)
        output = process.stderr.read()
        assert process.wait() == 143
    (step,) = checkpoints.committed_steps(str(tmp_path))
    assert f"step-{step:08d}" in output
    assert "Traceback" not in output
    assert json.loads(Path(layout.progress_file(str(tmp_path))).read_text())["step"] == step


def test_a_loss_that_is_not_finite_ends_with_step_and_rate_and_keeps_the_checkpoint(
    digits_dataset, tmp_path
):
    args = ("--steps=60", "--learning_rate=1e30", "--clip_norm=0", "--save_every_steps=1",
            "--warmup_steps=0", "--schedule=constant", "--end_learning_rate=0")  # fmt: skip
    with pytest.raises(DivergedError, match=r"step \d+ \(learning rate 1e\+30\)"):
        train(config(digits_dataset, tmp_path, *args))
    assert all(np.isfinite(value).all() for value in weights(tmp_path).values())


def test_another_configuration_is_refused_with_the_difference(digits_dataset, tmp_path):
    train(config(digits_dataset, tmp_path, "--steps=2"))
    with pytest.raises(ConfigError, match=r"momentum: 0\.9 -> 0\.5"):
        train(config(digits_dataset, tmp_path, "--steps=2", "--momentum=0.5"))
    train(config(digits_dataset, tmp_path, "--steps=4", "--momentum=0.5", "--resume"))
    assert weights(tmp_path)["global_step"] == 4
    train(config(digits_dataset, tmp_path, "--steps=1", "--overwrite"))
    assert weights(tmp_path)["global_step"] == 1


def test_curves_and_texts_are_there_and_a_resumed_run_does_not_overlap(digits_dataset, tmp_path):
    args = ("--steps=20", "--save_every_steps=10", "--eval_every_steps=10")
    train(config(digits_dataset, tmp_path, *args))
    folder = Path(layout.checkpoint_dir(str(tmp_path), 20))
    for file in folder.iterdir():
        file.unlink()
    time.sleep(1.1)  # Event files are named by the second.
    train(config(digits_dataset, tmp_path, *args))
    curves = events(tmp_path, "train")
    assert {"loss", "top1", "top5", "learning_rate", "gradient_norm", "images_per_s",
            "input_wait"} <= curves.keys()  # fmt: skip
    assert [step for step, _ in curves["loss"]] == [5, 10, 15, 20]
    assert [step for step, _ in events(tmp_path, "test")["top1"]] == [10, 20]


def test_the_last_evaluation_counts_every_test_example(digits_dataset, tmp_path):
    train(config(digits_dataset, tmp_path, "--steps=2"))
    assert checkpoints.find_checkpoint(str(tmp_path), "best").step == 2
    noted = documents.read(layout.evaluation_file(str(tmp_path), 2), EvaluationNote)
    assert {"top1", "top5", "loss"} <= noted.metrics.keys()
    assert noted.examples == 360
    assert (noted.metrics["top1"] * 360) == pytest.approx(round(noted.metrics["top1"] * 360))


def test_accumulated_parts_give_the_step_of_the_whole_batch(digits_dataset, tmp_path):
    train(config(digits_dataset, tmp_path / "whole", "--steps=5"))
    train(config(digits_dataset, tmp_path / "parts", "--steps=5", "--accumulate_steps=4"))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in whole.items():
        scale = np.abs(value).max() or 1.0
        np.testing.assert_allclose(parts[name] / scale, value / scale, atol=1e-5, err_msg=name)


def test_frozen_layers_keep_their_weights(digits_dataset, tmp_path):
    train(config(digits_dataset, tmp_path, "--steps=3", "--freeze_below=conv5", "--keep=9",
                 "--save_every_steps=1"))  # fmt: skip
    first, last = weights(tmp_path, "1"), weights(tmp_path, "3")
    assert (first["vgg_19/conv4/conv4_4/weights"] == last["vgg_19/conv4/conv4_4/weights"]).all()
    assert (first["vgg_19/conv5/conv5_1/weights"] != last["vgg_19/conv5/conv5_1/weights"]).any()


def test_a_full_disk_ends_with_one_line_and_the_last_checkpoint_intact(digits_dataset, tmp_path):
    """On a file system of 3 MB, saving stops training with exit code 74 before anything is lost."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small file system")
    try:
        args = ["--steps=200", "--save_every_steps=1", "--keep=100"]
        settings = config(digits_dataset, small / "run", *args)
        ended = subprocess.run(
            [sys.executable, "-m", "job.train", *flags.to_args(settings)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert ended.returncode == 74, ended.stderr
        assert "no space left" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert checkpoints.newest_whole(str(small / "run")).step >= 1
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_damaged_record_is_named_and_ends_with_65(digits_dataset, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for file in Path(digits_dataset).iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    shard = next(data.glob("train-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises(DataError, match=shard.name):
        train(config(str(data), tmp_path / "run", "--epochs=1"))
