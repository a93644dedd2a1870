"""Workers ended at random moments: the job comes to the bits of an undisturbed one.

Everything that is not needed to be quick is left on its default: the arithmetic is chosen by the
machine, the learning rate falls, each epoch is evaluated. What is compared is every tensor, every
evaluation and which checkpoint was best.

`make test` runs a few rounds; `pytest -m slow tests/integration/test_kill_anywhere.py` thirty.
"""

import contextlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf

from job import storage
from job.contract import layout
from job.run import checkpoints

TRAINER_FLAGS = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=16",
    "--learning_rate=0.01",
    "--save_every_steps=3",
    "--log_every_s=0.2",
    "--log_sync_s=5",
    "--peer_timeout_s=10",
    "--network_gbps=10",
)
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)


def submit(data: str, run: str, workers: int, steps: int, *extra: str) -> list[str]:
    return [
        sys.executable, "-m", "launcher", "submit", "--backend=local", "--gpus=0",
        f"--workers={workers}", f"--data={data}", f"--run={run}", *extra, "--", *TRAINER_FLAGS,
        f"--steps={steps}",
    ]  # fmt: skip


def weights(run: str) -> dict[str, np.ndarray]:
    with checkpoints.local_copy(checkpoints.find_checkpoint(run, "latest")) as prefix:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def judgements(run: str) -> dict[str, bytes]:
    """Give the evaluations and the note of the best one, by their paths in the run."""
    paths = [stat.path for stat in storage.list_files(layout.evaluations_dir(run))]
    paths.append(layout.best_file(run))
    return {path.removeprefix(run): storage.read_bytes(path) for path in paths}


def trainers(launcher: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in launcher.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # Ended, or not buried yet.
            if "job.train" in " ".join(child.cmdline()):
                found.append(child)
    return found


def end_at_random(
    job: subprocess.Popen, run: str, output: Path, rounds: int, dice: random.Random
) -> Iterator[str]:
    """End one worker of each of so many attempts; say how and when.

    Every fifth is ended while it starts, the others some time after their training began.
    """
    for attempt in range(1, rounds + 1):
        started = time.monotonic()
        trains = dice.random() > 0.2
        while job.poll() is None:
            restarts = re.split(rf"restart \d+ of {rounds}\b", output.read_text())
            processes = trainers(psutil.Process(job.pid))
            if len(restarts) == attempt and processes and (not trains or "step " in restarts[-1]):
                break
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, 2.0 if trains else 5.0))
        if job.poll() is not None or not (processes := trainers(psutil.Process(job.pid))):
            return
        number = dice.choice(SIGNALS)
        dice.choice(processes).send_signal(number)
        yield (
            f"round {attempt}: {number.name} {'in training' if trains else 'at the start'} after "
            f"{time.monotonic() - started:.1f} s, newest checkpoint of step "
            f"{max(checkpoints.committed_steps(run), default=None)}"
        )


def check(
    data: str, place: str, logs: Path, *, workers: int, steps: int, rounds: int, seed: int
) -> None:
    whole, run = f"{place}/whole", f"{place}/ended"
    subprocess.run(submit(data, whole, workers, steps), check=True, capture_output=True)
    output = logs / "output"
    with output.open("w") as file:
        command = submit(data, run, workers, steps, f"--max-restarts={rounds}")
        job = subprocess.Popen(command, stdout=file, stderr=file)
        moments = []
        for moment in end_at_random(job, run, output, rounds, random.Random(seed)):
            print(moment, flush=True)
            moments.append(moment)
        assert job.wait(timeout=600) == 0, output.read_text()
    assert len(moments) == rounds, output.read_text()
    assert f"restart {rounds} of {rounds}" in output.read_text()
    expected = weights(whole)
    for name, value in weights(run).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert judgements(run) == judgements(whole)


def test_two_ends_change_no_bit(digits_dataset, tmp_path):
    """Ended twice, at moments and on numbers of workers that differ from run to run of the test."""
    seed = random.SystemRandom().randrange(2**31)
    check(
        digits_dataset,
        str(tmp_path),
        tmp_path,
        workers=1 + seed % 2,
        steps=400,
        rounds=2,
        seed=seed,
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 2])
def test_thirty_ends_change_no_bit(digits_dataset, tmp_path, workers):
    check(
        digits_dataset,
        str(tmp_path),
        tmp_path,
        workers=workers,
        steps=6000,
        rounds=30,
        seed=workers,
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_ends_in_a_bucket_change_no_bit(digits_dataset, bucket, tmp_path):
    check(digits_dataset, bucket, tmp_path, workers=2, steps=2000, rounds=10, seed=0)
