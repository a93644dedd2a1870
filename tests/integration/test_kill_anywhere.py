"""Workers ended at random moments: the job comes to the bits of an undisturbed one.

Everything that is not needed to be quick is left on its default: the arithmetic is chosen by the
machine, the learning rate falls, each epoch is evaluated. What is compared is every tensor, every
evaluation and which checkpoint was best.

`make test` runs a few rounds; `pytest -m slow tests/integration/test_kill_anywhere.py` thirty.
"""

import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from job import storage
from job.contract import layout
from job.run import checkpoints
from tests.multiprocess import Worker, start_workers, wait_for_all

FLAGS = (
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
TIMEOUT_S = 300
SUBMISSION = {"SUBMISSION_ID": "one"}


def weights(run: str) -> dict[str, np.ndarray]:
    with checkpoints.local_copy(checkpoints.find_checkpoint(run, "latest")) as prefix:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def judgements(run: str) -> dict[str, bytes]:
    """Give the evaluations and the note of the best one, by their paths in the run."""
    paths = [stat.path for stat in storage.list_files(layout.evaluations_dir(run))]
    paths.append(layout.best_file(run))
    return {path.removeprefix(run): storage.read_bytes(path) for path in paths}


def end_at_random(workers: list[Worker], dice: random.Random) -> str:
    """End one worker of an attempt at some moment; say how and when.

    Every fifth is ended while it starts, the others some time after their training began.
    """
    started = time.monotonic()
    trains = dice.random() > 0.2
    while (
        trains
        and not re.search("^step ", workers[0].output(), re.MULTILINE)
        and all(worker.process.poll() is None for worker in workers)
    ):
        time.sleep(0.02)
    time.sleep(dice.uniform(0.0, 2.0 if trains else 5.0))
    number = dice.choice(SIGNALS)
    dice.choice(workers).signal(number)
    return (
        f"{number.name} {'in training' if trains else 'at the start'} after "
        f"{time.monotonic() - started:.1f} s"
    )


def attempts(
    data: str, run: str, logs: Path, *, workers: int, steps: int, rounds: int, seed: int
) -> Iterator[str]:
    """Start a run as often as an operator does; end each attempt but the last."""
    dice = random.Random(seed)
    arguments = ["-m", "job.train", f"--data={data}", f"--run={run}", *FLAGS, f"--steps={steps}"]
    for number in range(rounds + 1):
        folder = logs / f"attempt-{number}"
        folder.mkdir(parents=True)
        with start_workers(
            arguments, num_workers=workers, log_dir=folder, env=SUBMISSION
        ) as processes:
            if number < rounds:
                how = end_at_random(processes, dice)
            codes = wait_for_all(processes, TIMEOUT_S)
        newest = max(checkpoints.committed_steps(run), default=None)
        if number < rounds:
            yield f"round {number}: {how}, codes {codes}, newest checkpoint of step {newest}"
        else:
            assert set(codes) == {0}, processes[0].output()


def check(
    data: str, place: str, logs: Path, *, workers: int, steps: int, rounds: int, seed: int
) -> None:
    whole, run = f"{place}/whole", f"{place}/ended"
    list(attempts(data, whole, logs / "whole-logs", workers=workers, steps=steps, rounds=0, seed=0))
    for moment in attempts(
        data, run, logs / "logs", workers=workers, steps=steps, rounds=rounds, seed=seed
    ):
        print(moment, flush=True)
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
