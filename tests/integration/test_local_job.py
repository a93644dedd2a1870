"""`launcher submit --backend local` as a person meets it: Ctrl-C, full disks, a job's own end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from job.contract import layout
from job.run import checkpoints
from tests.multiprocess import ROOT

TIMEOUT_S = 120
TRAINER_FLAGS = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=16",
    "--precision=float32",
    "--eval_every_steps=100000",
    "--log_every_s=0.2",
    "--network_gbps=10",
)


def submit(data: str, run: Path, *trainer_flags: str) -> list[str]:
    return [
        sys.executable, "-m", "launcher", "submit", "--backend=local", "--gpus=0", "--workers=2",
        f"--data={data}", f"--run={run}", "--", *TRAINER_FLAGS, *trainer_flags,
    ]  # fmt: skip


@contextlib.contextmanager
def submitted(data: str, run: Path, *trainer_flags: str) -> Iterator[subprocess.Popen]:
    """A job that trains; nothing of it is left afterwards."""
    with subprocess.Popen(
        submit(data, run, *trainer_flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as job:
        workers: list[psutil.Process] = []
        try:
            for line in job.stdout:
                if "| step " in line:
                    break
            workers = trainers(job)
            yield job
        finally:
            for process in (*workers, job):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def trainers(job: subprocess.Popen) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(job.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # git, of which the launcher asks little
            if "job.train" in " ".join(child.cmdline()):
                found.append(child)
    return found


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own of so few bytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_ctrl_c_saves_and_leaves_and_the_second_one_kills(digits_dataset, tmp_path, monkeypatch):
    """Once: 143 with a checkpoint. Twice: 137 although a worker stands still; nothing is left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with submitted(digits_dataset, tmp_path / "run", "--steps=100000") as job:
        job.send_signal(signal.SIGINT)
        text = job.stdout.read()
        assert job.wait(TIMEOUT_S) == 143, text
        assert "workers save a checkpoint and leave (again kills them)" in text
        (step,) = checkpoints.committed_steps(str(tmp_path / "run"))
        assert text.count(f"step-{step:08d}: the same command goes on from there") == 2
        assert "error" not in text
    with submitted(digits_dataset, tmp_path / "run", "--steps=100000") as job:
        workers = trainers(job)
        submissions = [worker.environ()["SUBMISSION_ID"] for worker in workers]
        assert len(submissions) == 2
        assert len(set(submissions)) == 1, "both belong to this submission"
        workers[1].suspend()  # Now the other one cannot finish its step.
        job.send_signal(signal.SIGINT)
        for line in job.stdout:
            if line.startswith("stopping"):
                break
        job.send_signal(signal.SIGINT)
        text = job.stdout.read()
        assert job.wait(TIMEOUT_S) == 137, text
        assert "killing the workers" in text
        assert not any(worker.is_running() for worker in workers)
    assert not os.listdir(scratch)


def test_a_second_sigterm_ends_a_worker_that_stands_in_a_collective(digits_dataset, tmp_path):
    """It waits for a silent peer for much longer than anybody waits for it."""
    with submitted(
        digits_dataset, tmp_path / "run", "--steps=100000", "--peer_timeout_s=600"
    ) as job:
        first, second = trainers(job)
        second.suspend()
        before = threads_cpu_s(first)
        while threads_cpu_s(first) != before:  # Until it has nothing left to do but to wait.
            before = threads_cpu_s(first)
            time.sleep(0.5)
        first.terminate()
        time.sleep(0.5)  # Signals that come at the same time count once.
        first.terminate()
        first.wait(TIMEOUT_S)
        for _ in range(2):
            job.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert job.wait(TIMEOUT_S) == 143


def test_a_worker_that_ends_before_it_connects_ends_those_who_wait_for_it(digits_dataset, tmp_path):
    """They would wait for --cluster_timeout_s, ten minutes, and launcher for long after it."""
    command = submit(digits_dataset, tmp_path / "run", "--steps=100000")
    command.insert(command.index("--"), "--max-restarts=0")
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as job:
        try:
            while len(workers := trainers(job)) < 2:
                assert job.poll() is None
            workers[1].kill()  # It still imports TensorFlow.
            assert job.wait(60) == 137
        finally:
            job.kill()
        assert "worker-1 ended: killed by signal 9" in job.stderr.read()
        assert not any(worker.is_running() for worker in workers)


def test_a_longest_duration_ends_a_job_for_good(digits_dataset, tmp_path):
    """As in a cluster its workers are asked to leave, and nothing starts them again."""
    command = submit(digits_dataset, tmp_path / "run", "--steps=100000")
    command.insert(command.index("--"), "--max-duration=3s")
    ended = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
    )
    assert ended.returncode == 124, ended.stderr
    assert "longest duration is over (--max-duration)" in ended.stderr


def threads_cpu_s(process: psutil.Process) -> float:
    return process.cpu_times().user


def test_workers_listen_for_each_other_alone(digits_dataset, tmp_path):
    """TensorFlow's server would read and write files for whoever reaches its port."""
    with submitted(digits_dataset, tmp_path / "run", "--steps=100000") as job:
        networks = {os.readlink(f"/proc/{worker.pid}/ns/net") for worker in trainers(job)}
        assert len(networks) == 1
        assert os.readlink("/proc/self/ns/net") not in networks
        job.send_signal(signal.SIGINT)
        assert job.wait(TIMEOUT_S) == 143


def test_a_reader_that_goes_away_ends_the_job_as_ctrl_c_does(digits_dataset, tmp_path):
    """`launcher submit ... | head` leaves no workers that nobody sees."""
    with submitted(digits_dataset, tmp_path / "run", "--steps=100000") as job:
        job.stdout.close()
        assert job.wait(TIMEOUT_S) == 143
        assert len(checkpoints.committed_steps(str(tmp_path / "run"))) == 1


def test_workers_whose_launcher_is_killed_save_and_leave(digits_dataset, tmp_path):
    """Nobody would see or stop them."""
    with submitted(digits_dataset, tmp_path / "run", "--steps=100000") as job:
        workers = trainers(job)
        job.kill()
        _, alive = psutil.wait_procs(workers, timeout=TIMEOUT_S)
        assert not alive
        assert len(checkpoints.committed_steps(str(tmp_path / "run"))) == 1


def test_a_full_and_then_a_read_only_disk_end_two_workers_with_the_checkpoint_intact(
    digits_dataset, tmp_path
):
    """Their logs are on the same disk, and must not keep anybody from ending."""
    with small_disk(tmp_path / "small", "3m") as disk:
        run = disk / "run"
        command = submit(digits_dataset, run, "--steps=300", "--save_every_steps=1", "--keep=100",
                         "--peer_timeout_s=10")  # fmt: skip
        full = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        assert full.returncode == 74, full.stdout + full.stderr
        assert "error: no space left for a checkpoint" in full.stdout
        assert "worker-0 ended: exit code 74" in full.stderr
        assert "Traceback" not in full.stdout + full.stderr
        newest = checkpoints.newest_whole(str(run))
        assert newest.step >= 1
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        read_only = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        assert read_only.returncode == 1
        assert read_only.stderr.startswith(f"error: {layout.attempts_dir(str(run))}")
        assert "read-only file system" in read_only.stderr
        assert read_only.stderr.count("\n") == 1
        assert checkpoints.newest_whole(str(run)) == newest
