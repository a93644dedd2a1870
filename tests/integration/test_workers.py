"""Many workers: the same training as one, agreement at the start, one common end."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from job.contract import flags, layout
from job.contract.configs import TrainConfig
from job.contract.evaluation_file import EvaluationNote
from job.dataset.description import load_dataset
from job.run import checkpoints
from job.storage import documents
from tests.multiprocess import ROOT, Worker, start_workers, wait_for_all

TIMEOUT_S = 200
STEP_TOLERANCE = 1e-4
"""How far the updates of a step may differ, relative to their size: float32 rounds what they
are added to, which is some hundred times larger."""
SETTINGS = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=24",
    "--learning_rate=0.01",
    "--precision=float32",
    "--eval_every_steps=1000",
    "--log_every_s=0.2",
    "--peer_timeout_s=20",
    "--network_gbps=10",
)


def arguments(data: str, run: Path, *extra: str) -> list[str]:
    config = flags.parse(TrainConfig, [f"--data={data}", f"--run={run}", *SETTINGS, *extra])
    return ["-m", "job.train", *flags.to_args(config)]


def run_to_the_end(data: str, run: Path, num_workers: int, *extra: str) -> dict[str, np.ndarray]:
    """Train with so many workers and give the last checkpoint."""
    run.mkdir(parents=True)
    command = arguments(data, run, *extra)
    with start_workers(command, num_workers=num_workers, log_dir=run) as workers:
        codes = wait_for_all(workers, TIMEOUT_S)
        assert set(codes) == {0}, workers[0].output()
    return weights(run)


def weights(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(checkpoints.find_checkpoint(str(run), "latest").path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def weights_of_step(run: Path, step: int) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(checkpoints.find_checkpoint(str(run), str(step)).path)
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("/weights")]
    return {name: reader.get_tensor(name) for name in names}


def disagreement(run: Path, other: Path, first_step: int, last_step: int) -> float:
    """Compare what two runs added to the weights between two steps, relative to its size.

    Against the weights themselves, most of which a few steps hardly move, everything agrees.
    """
    before, after, others = (
        weights_of_step(run, first_step),
        weights_of_step(run, last_step),
        weights_of_step(other, last_step),
    )
    return max(
        float(np.linalg.norm(others[name] - after[name]))
        / float(np.linalg.norm(after[name] - before[name]))
        for name in before
    )


def wait_until_training(workers: list[Worker]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while "\nstep " not in workers[0].output():
        assert time.monotonic() < deadline, workers[0].output()
        for worker in workers:
            assert worker.process.poll() is None, worker.output()
        time.sleep(0.05)


def test_one_two_and_four_workers_take_the_same_step_from_a_checkpoint(digits_dataset, tmp_path):
    """What a step adds agrees to rounding, and all evaluate to the same counts.

    From there whole runs part ways, as rounding grows from step to step. 360 test images over 4
    workers in batches of 6: the last round is partial.
    """
    base = tmp_path / "base"
    settings = ("--learning_rate=0.001", "--eval_every_steps=21")
    run_to_the_end(digits_dataset, base, 1, *settings, "--steps=20")
    runs = {number: tmp_path / f"on-{number}" for number in (1, 2, 4)}
    for number, run in runs.items():
        shutil.copytree(base, run / "run")
        with start_workers(
            arguments(digits_dataset, run / "run", *settings, "--steps=24", "--resume"),
            num_workers=number,
            log_dir=run,
        ) as workers:
            assert set(wait_for_all(workers, TIMEOUT_S)) == {0}, workers[0].output()
    for number in (2, 4):
        assert disagreement(runs[1] / "run", runs[number] / "run", 20, 21) < STEP_TOLERANCE
    evaluations = {
        documents.read(layout.evaluation_file(str(run / "run"), 24), EvaluationNote).metrics["top1"]
        for run in runs.values()
    }
    assert len(evaluations) == 1
    progress = json.loads(Path(layout.progress_file(str(runs[4] / "run"))).read_text())
    assert len(progress["workers"]) == 4
    # What a worker says with a step is of the steps before it, which may have taken longer.
    for worker in progress["workers"]:
        assert worker["busy_s"] > 0
        assert worker["memory_peak_bytes"] > 0


def test_sigterm_to_any_worker_ends_all_at_one_step_and_the_run_goes_on_to_the_same_bits(
    digits_dataset, tmp_path
):
    """While it goes on, the clock jumps a day back and forth: nothing may depend on it."""
    steps = ("--steps=60",)
    whole = run_to_the_end(digits_dataset, tmp_path / "whole", 2, *steps)
    run = tmp_path / "asked"
    run.mkdir()
    command = arguments(digits_dataset, run, *steps)
    with start_workers(command, num_workers=2, log_dir=run) as workers:
        wait_until_training(workers)
        asked = time.monotonic()
        workers[1].signal(signal.SIGTERM)
        codes = wait_for_all(workers, TIMEOUT_S)
        assert codes == [143, 143], workers[0].output() + workers[1].output()
        assert time.monotonic() - asked < 10
        (step,) = checkpoints.committed_steps(str(run))
        assert all(f"step-{step:08d}" in worker.output() for worker in workers)
    clock = {"PYTHONPATH": f"{ROOT / 'tests' / 'jumping_clock'}{os.pathsep}{ROOT}"}
    with start_workers(command, num_workers=2, log_dir=run, env=clock) as workers:
        assert wait_for_all(workers, TIMEOUT_S) == [0, 0], workers[0].output()
        assert f"steps {step} to 60" in workers[0].output()
    for name, value in weights(run).items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_a_worker_of_another_run_is_refused_by_all_with_the_difference(digits_dataset, tmp_path):
    def own_arguments(worker: int) -> list[str]:
        return arguments(digits_dataset, tmp_path / "run", f"--momentum=0.{9 - worker}")

    with start_workers(own_arguments, num_workers=2, log_dir=tmp_path) as workers:
        assert wait_for_all(workers, TIMEOUT_S) == [2, 2]
        for worker in workers:
            assert "momentum is 0.9 on worker 0 and 0.8 on it" in worker.output()
            assert "Traceback" not in worker.output()
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_worker_with_another_dataset_is_refused_by_all_with_the_difference(
    digits_dataset, tmp_path
):
    """The same flags everywhere, but on one machine a shard was made anew."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        shutil.copytree(digits_dataset, folder / "data")
    file = folders[1] / "data" / "dataset.json"
    content = json.loads(file.read_text())
    content["splits"]["test"]["shards"][0]["sha256"] = "0" * 64
    file.write_text(json.dumps(content))
    command = arguments("data", Path("run"))
    with start_workers(
        command,
        num_workers=2,
        log_dir=tmp_path,
        prefix=lambda worker: ["env", f"--chdir={folders[worker]}"],
    ) as workers:
        assert wait_for_all(workers, TIMEOUT_S) == [2, 2]
        named = [load_dataset(str(folder / "data")).identity for folder in folders]
        for worker in workers:
            assert f"dataset is '{named[0]}' on worker 0 and '{named[1]}' on it" in worker.output()
            assert "Traceback" not in worker.output()
    assert not any((folder / "run" / "config.json").exists() for folder in folders)


@pytest.mark.parametrize(
    ("victim", "how"),
    [(1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP)],
    ids=["worker-killed", "chief-killed", "worker-stopped"],
)
def test_the_survivor_of_a_lost_worker_leaves_with_144_and_names_it(
    digits_dataset, tmp_path, victim, how
):
    command = arguments(digits_dataset, tmp_path / "run", "--steps=100000", "--peer_timeout_s=6")
    with start_workers(command, num_workers=2, log_dir=tmp_path) as workers:
        wait_until_training(workers)
        workers[victim].signal(how)
        survivor = workers[1 - victim]
        assert survivor.wait(60) == 144, survivor.output()
        assert f"lost worker {victim} (127.0.0.1:" in survivor.output()


def test_a_batch_that_does_not_divide_is_refused_with_a_suggestion(digits_dataset, tmp_path):
    command = arguments(digits_dataset, tmp_path / "run", "--global_batch_size=25")
    with start_workers(command, num_workers=2, log_dir=tmp_path) as workers:
        assert wait_for_all(workers, TIMEOUT_S) == [2, 2]
        assert "25 is not divisible by 2 replicas x accumulate_steps 1; try 24 or 26" in (
            workers[0].output()
        )
