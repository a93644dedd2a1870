"""Two jobs on one run directory, as processes: one writes, and the other says so and leaves."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from job.run import checkpoints, lease_file

FLAGS = (
    "--head=gap", "--width_multiplier=0.03", "--image_size_px=32", "--global_batch_size=16",
    "--learning_rate=0.01", "--precision=float32", "--log_every_s=0.2",
)  # fmt: skip


def start(data: str, run: str, *extra: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable, "-m", "job.train", f"--data={data}", f"--run={run}", *FLAGS, *extra
    ]  # fmt: skip
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def read_until(process: "subprocess.Popen[str]", begin: str) -> None:
    for line in process.stderr:
        if line.startswith(begin):
            return
    raise AssertionError(f"it ended with {process.wait()} before it wrote {begin!r}")


def files(run: str) -> dict[str, bytes]:
    """Read what is committed: not the lease, nor what tells of training as it goes on."""
    return {
        stat.path: storage.read_bytes(stat.path)
        for stat in storage.list_files(run)
        if not stat.path.endswith(("lease.json", "progress.json")) and "/logs/" not in stat.path
    }


def test_a_second_job_is_refused_and_one_that_was_stopped_and_taken_over_commits_nothing(
    digits_dataset, tmp_path
):
    run = str(tmp_path)
    with start(digits_dataset, run, "--steps=100000", "--save_every_steps=5") as first:
        read_until(first, "step ")
        while not checkpoints.committed_steps(run):
            assert first.poll() is None
        with start(digits_dataset, run, "--steps=50", "--overwrite") as second:
            refusal = second.stderr.read()
            assert second.wait() == 2
        assert f"error: {run} is being written by process {first.pid} on host " in refusal
        assert "Traceback" not in refusal
        first.send_signal(signal.SIGSTOP)
        arguments = ("--steps=40", "--overwrite", "--take_over", "--momentum=0.5")
        with start(digits_dataset, run, *arguments) as third:
            third.stderr.read()
            assert third.wait() == 0
        before = files(run)
        first.send_signal(signal.SIGCONT)
        farewell = first.stderr.read()
        assert first.wait() == 143
    assert f"{run} was taken over by process {third.pid}" in farewell
    assert "Traceback" not in farewell
    assert files(run) == before
    assert checkpoints.newest_whole(run).step == 40
    assert lease_file.read(run).owner.pid == third.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_while_it_evaluates_it_has_saved_and_evaluates_once_more(
    digits_dataset, tmp_path, number
):
    run = str(tmp_path)
    settings = ("--steps=30", "--eval_every_steps=10", "--image_size_px=96")
    with start(digits_dataset, run, *settings) as first:
        while 10 not in checkpoints.committed_steps(run):  # Saved before it is evaluated.
            assert first.poll() is None, first.stderr.read()
        first.send_signal(number)
        first.stderr.read()
        assert first.wait() in (143, -9)
    with start(digits_dataset, run, *settings) as second:
        assert second.stderr.read().count("step 10: test") <= 1
        assert second.wait() == 0
    names = [Path(path).name for path in files(run) if "evaluations" in path]
    assert names == ["step-00000010.json", "step-00000020.json", "step-00000030.json"]
    assert storage.exists(layout.best_file(run))
