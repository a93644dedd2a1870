"""Workers killed at random moments: the job ends with the bits of an undisturbed one.

`make test` runs a few rounds; `pytest -m slow tests/integration/test_kill_anywhere.py` thirty.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf

from job.contract import layout
from job.run import checkpoints

TRAINER_FLAGS = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=16",
    "--learning_rate=0.01",
    "--precision=float32",
    "--eval_every_steps=100000",
    "--save_every_steps=3",
    "--log_every_s=0.2",
    "--peer_timeout_s=10",
    "--network_gbps=10",
)


def submit(data: str, run: Path, steps: int, *extra: str) -> list[str]:
    return [
        sys.executable, "-m", "launcher", "submit", "--backend=local", "--gpus=0", "--workers=2",
        f"--data={data}", f"--run={run}", *extra, "--", *TRAINER_FLAGS, f"--steps={steps}",
    ]  # fmt: skip


def weights(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(checkpoints.find_checkpoint(str(run), "latest").path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def trainers(launcher: psutil.Process) -> list[psutil.Process]:
    return [child for child in launcher.children() if "job.train" in " ".join(child.cmdline())]


def kill_at_random(
    job: subprocess.Popen, run: Path, rounds: int, dice: random.Random
) -> Iterator[str]:
    """Kill one worker of each of so many attempts; say which and when.

    Every fifth is killed while it starts, the others some time after their training began.
    """
    for attempt in attempts(job, run, rounds):
        started, left_over = time.monotonic(), unfinished_checkpoints(run)
        log = Path(layout.attempt_log(str(run), attempt, "worker-0"))
        trains = dice.random() > 0.2
        while trains and job.poll() is None and "\nstep " not in log.read_text():
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, 0.8 if trains else 5.0))
        if job.poll() is not None:
            return
        before = unfinished_checkpoints(run)
        dice.choice(trainers(psutil.Process(job.pid))).kill()
        saving = bool(before & unfinished_checkpoints(run) - left_over)
        moment = "while saving" if saving else "in training" if trains else "at the start"
        yield (
            f"round {attempt}: killed {moment} after {time.monotonic() - started:.1f} s, newest "
            f"checkpoint of step {max(checkpoints.committed_steps(str(run)), default=None)}"
        )


def attempts(job: subprocess.Popen, run: Path, last: int) -> Iterator[int]:
    """Give the number of each attempt once all its workers have a log, and so are started."""
    for number in range(1, last + 1):
        logs = [Path(layout.attempt_log(str(run), number, f"worker-{i}")) for i in range(2)]
        while not all(log.exists() for log in logs):
            if job.poll() is not None:
                return
            time.sleep(0.02)
        yield number


def unfinished_checkpoints(run: Path) -> set[Path]:
    """Find the folders into which a checkpoint is written now."""
    return set(Path(layout.checkpoints_dir(str(run))).glob(".*"))


def check(data: str, folder: Path, *, steps: int, rounds: int, seed: int) -> None:
    subprocess.run(submit(data, folder / "whole", steps), check=True, capture_output=True)
    run = folder / "killed"
    with (folder / "output").open("w") as output:
        job = subprocess.Popen(
            submit(data, run, steps, f"--max-restarts={rounds}"), stdout=output, stderr=output
        )
        moments = []
        for moment in kill_at_random(job, run, rounds, random.Random(seed)):
            print(moment, flush=True)
            moments.append(moment)
        assert job.wait(timeout=600) == 0, (folder / "output").read_text()
    text = (folder / "output").read_text()
    assert len(moments) == rounds, text
    assert f"restart {rounds} of {rounds}" in text
    expected = weights(folder / "whole")
    for name, value in weights(run).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_two_kills_change_no_bit(digits_dataset, tmp_path):
    """Killed twice, at moments that differ from run to run of the test's seed."""
    check(
        digits_dataset, tmp_path, steps=400, rounds=2, seed=random.SystemRandom().randrange(2**31)
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_kills_change_no_bit(digits_dataset, tmp_path):
    check(digits_dataset, tmp_path, steps=4000, rounds=30, seed=0)
