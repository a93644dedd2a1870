"""Several devices in one worker, as --gpus 8 has them: logical CPU devices stand for GPUs."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.contract import layout
from tests.multiprocess import call_in_workers, start_workers, wait_for_all

DEVICES = "CPU_DEVICES_PER_WORKER"
FLAGS = (
    "--head=gap", "--width_multiplier=0.03", "--image_size_px=32", "--global_batch_size=16",
    "--learning_rate=0.001", "--precision=float32", "--accumulate_steps=2", "--dropout_rate=0.5",
    "--save_every_steps=3", "--eval_every_steps=1000", "--network_gbps=10",
)  # fmt: skip
FIRST = 3
"""The step whose checkpoint all goes on from."""
MOST = 1e-5
"""By how much updates may differ, as a share: sums of float32 in another order."""


def arguments(data: str, run: Path, *more: str) -> list[str]:
    return ["-m", "job.train", f"--data={data}", f"--run={run}", *FLAGS, *more]


def weights(run: Path, step: int) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(layout.checkpoint_dir(str(run), step))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def update(run: Path, last: int) -> dict[str, np.ndarray]:
    """What the steps since the common checkpoint have changed, momentum included."""
    before, after = weights(run, FIRST), weights(run, last)
    return {name: after[name] - before[name] for name in after if after[name].dtype == np.float32}


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference of a variable's update, as a share of it."""
    return max(
        float(np.linalg.norm(one[name] - other[name]) / max(np.linalg.norm(other[name]), 1e-12))
        for name in one
    )


def train_in_turn(data: str, runs: dict[int, str], exchange: str) -> dict[int, float]:
    """Train on one device past FIRST, and from there again on several; give the test losses.

    In one process: one device needs no collectives, whose groups would be those of the others.
    """
    from job.contract import flags
    from job.contract.configs import TrainConfig
    from job.distributed import devices
    from job.run import checkpoints
    from job.run.evaluations import metrics_of
    from job.training.trainer import train

    devices.prepare({DEVICES: str(max(runs))})
    losses = {}
    for count, run in sorted(runs.items()):
        if count > 1:
            shutil.copytree(runs[1], run)
            shutil.rmtree(layout.checkpoint_dir(run, FIRST + 1))
            # What the last step was worth is measured anew, on these devices.
            os.remove(layout.evaluation_file(run, FIRST + 1))
            os.remove(layout.best_file(run))
        given = arguments(data, Path(run), f"--steps={FIRST + 1}", f"--exchange={exchange}")[2:]
        train(flags.parse(TrainConfig, given), {DEVICES: str(count)})
        manifest = checkpoints.find_checkpoint(run, "latest").manifest
        losses[count] = metrics_of(run, manifest)["loss"]
    return losses


@pytest.mark.parametrize(
    ("count", "exchange"),
    [
        (2, "factors"),
        pytest.param(2, "dense", marks=pytest.mark.slow),
        pytest.param(4, "factors", marks=pytest.mark.slow),
        pytest.param(4, "dense", marks=pytest.mark.slow),
    ],
)
def test_several_devices_take_the_step_of_one(
    count: int, exchange: str, digits_dataset: str, tmp_path: Path
) -> None:
    """From the same checkpoint: batches, dropout, accumulation, exchange and evaluation alike."""
    runs = {1: tmp_path / "one", count: tmp_path / "several"}
    (losses,) = call_in_workers(
        train_in_turn, num_workers=1, log_dir=tmp_path, timeout_s=280, data=digits_dataset,
        runs={devices: str(run) for devices, run in runs.items()}, exchange=exchange,
    )  # fmt: skip
    assert difference(update(runs[count], FIRST + 1), update(runs[1], FIRST + 1)) < MOST
    assert losses[count] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("exchange", ["factors", "dense"])
def test_two_workers_with_several_devices_each_take_the_step_of_one(
    count: int, exchange: str, digits_dataset: str, tmp_path: Path
) -> None:
    one, run = tmp_path / "one", tmp_path / "several"
    flags = (f"--steps={FIRST + 1}", f"--exchange={exchange}")
    alone = [sys.executable, *arguments(digits_dataset, one, *flags)]
    subprocess.run(alone, check=True, capture_output=True)
    shutil.copytree(one, run)
    shutil.rmtree(layout.checkpoint_dir(str(run), FIRST + 1))
    command = arguments(digits_dataset, run, *flags)
    with start_workers(
        command, num_workers=2, log_dir=tmp_path, env={DEVICES: str(count)}
    ) as workers:
        assert wait_for_all(workers, 280) == [0, 0], workers[0].output()
        assert f"on {2 * count} replicas" in workers[0].output()
    assert difference(update(run, FIRST + 1), update(one, FIRST + 1)) < MOST


@pytest.mark.slow
def test_several_devices_leave_when_asked_and_go_on_to_the_same_bits(
    digits_dataset: str, tmp_path: Path
) -> None:
    """SIGTERM at any step; the same command again ends with the weights of a run in one piece."""
    environ = os.environ | {DEVICES: "2"}
    steps = ("--steps=60", "--exchange=factors")
    whole = arguments(digits_dataset, tmp_path / "whole", *steps)
    subprocess.run([sys.executable, *whole], env=environ, check=True, capture_output=True)
    parts = [sys.executable, *arguments(digits_dataset, tmp_path / "parts", *steps)]
    with subprocess.Popen(parts, env=environ) as process:
        while not Path(layout.checkpoint_dir(str(tmp_path / "parts"), FIRST)).exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(280) == 143
    subprocess.run(parts, env=environ, check=True, capture_output=True)
    left, right = weights(tmp_path / "whole", 60), weights(tmp_path / "parts", 60)
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def connect_with_own_devices() -> Any:
    from job.contract.configs import TrainConfig
    from job.contract.errors import ConfigError
    from job.distributed import devices
    from job.distributed.cluster import read_cluster
    from job.distributed.strategy import connect

    cluster = read_cluster(os.environ)
    mine = devices.prepare({DEVICES: str(1 + cluster.worker)})
    try:
        connect(cluster, TrainConfig(data="d", run="r"), mine)
    except ConfigError as error:
        return str(error)


def test_workers_that_compute_on_different_devices_are_refused_by_name(tmp_path: Path) -> None:
    """NCCL would wait for ever for a worker that has no GPU."""
    said = call_in_workers(connect_with_own_devices, num_workers=2, log_dir=tmp_path, timeout_s=120)
    for text in said:
        assert text.startswith("worker 1 (127.0.0.1:")
        assert "computes on 2 CPUs, worker 0" in text
        assert "on the CPU: all workers need the same" in text


def test_a_worker_that_sees_fewer_gpus_than_it_asked_for_ends_at_once(tmp_path: Path) -> None:
    """Before it looks for its data, with what it saw, what it looked for and the cause."""
    done = subprocess.run(
        [sys.executable, "-m", "job.train", "--data=nowhere", f"--run={tmp_path}"],
        env=os.environ | {"GPUS_PER_WORKER": "8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "sees 0 of the 8 GPUs that it asked for (GPUS_PER_WORKER)" in done.stderr
    assert "built for CPUs; build the image for GPUs: launcher image build" in done.stderr
