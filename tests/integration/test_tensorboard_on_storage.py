"""TensorBoard over a bucket: it grows with its runs, and no crash leaves curves that overlap.

The server runs as a person starts it, with TensorFlow installed beside it, on the real emulator.
"""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image, ImageChops

from job.storage.mirror import RunMirror
from job.training.tensorboard import Summaries
from tests.job.browser import screenshot
from tests.storage_fixtures import bucket, emulator

__all__ = ["bucket", "emulator"]

_ADDRESS = re.compile(rb"http://localhost:\d+")
NEVER_S = 3600.0


@contextlib.contextmanager
def serving(module: str, *arguments: str) -> Iterator[str]:
    """Start a TensorBoard; yields its address, and ends it as `kill` would."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = b""
        try:
            while not (found := _ADDRESS.search(said)):
                line = process.stdout.readline()
                assert line, said.decode()
                said += line
            yield found[0].decode()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def attempt(run: str, first_step: int, last_step: int, value: float) -> None:
    """Write one point per step, and the copy of the logs that a crash comes after."""
    with RunMirror(run, NEVER_S) as mirror:
        summaries = Summaries(mirror.path, first_step=first_step)
        for step in range(first_step + 1, last_step + 1):
            summaries.scalars("train", step, {"loss": value + step})
        summaries.close()


def points(address: str, run: str) -> list[tuple[int, float]]:
    """Ask as the page in a browser does: (step, value) of the curve of the loss."""
    answer = requests.get(
        f"{address}/data/plugin/scalars/scalars", {"run": run, "tag": "loss"}, timeout=10
    )
    return [(step, value) for _, step, value in answer.json()] if answer.ok else []


def eventually(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.1)


def test_curves_grow_side_by_side_and_a_resumed_run_does_not_overlap(
    bucket: str, tmp_path: Path
) -> None:
    """What a crash left beyond the step that training goes on from disappears from the curve."""
    attempt(f"{bucket}/runs/first", 0, 30, value=100.0)
    flags = (f"--logdir={bucket}/runs", "--port=0", "--load_fast=false", "--reload_interval=1")
    with serving("launcher.tensorboard_server", *flags) as address:
        eventually(lambda: len(points(address, "first/logs/train")) == 30)
        time.sleep(1.1)  # Event files are named by the second.
        attempt(f"{bucket}/runs/first", 20, 40, value=200.0)
        attempt(f"{bucket}/runs/second", 0, 10, value=0.0)
        eventually(lambda: len(points(address, "second/logs/train")) == 10)
        eventually(lambda: len(points(address, "first/logs/train")) == 40)
        curve = points(address, "first/logs/train")
    assert curve == [(step, (100.0 if step <= 20 else 200.0) + step) for step in range(1, 41)]


def test_a_reader_sees_the_curves_of_a_running_job_grow(bucket: str, tmp_path: Path) -> None:
    """Two looks with a browser: the same page, with more on it."""
    pictures = [str(tmp_path / f"{number}.png") for number in range(2)]
    flags = (f"--logdir={bucket}/runs", "--port=0", "--load_fast=false", "--reload_interval=1")
    with (
        RunMirror(f"{bucket}/runs/first", 1.0) as mirror,
        contextlib.closing(Summaries(mirror.path, first_step=0)) as summaries,
        serving("launcher.tensorboard_server", *flags) as address,
    ):
        for number, picture in enumerate(pictures):
            for step in range(20 * number + 1, 20 * number + 21):
                summaries.scalars("train", step, {"loss": 1.0 / step})
            summaries.flush()
            wanted = 20 * (number + 1)
            eventually(lambda wanted=wanted: len(points(address, "first/logs/train")) == wanted)
            screenshot(f"{address}/#scalars", str(tmp_path / "profile"), picture)
    before, after = (Image.open(picture).convert("RGB") for picture in pictures)
    assert before.size == after.size
    changed = ImageChops.difference(before, after).getbbox()
    assert changed is not None
    # Where the chart is: right of the list of runs, below the bar.
    assert changed[0] > 300
    assert changed[1] > 60


def test_the_command_serves_a_bucket_and_leaves_nobody_behind(bucket: str) -> None:
    attempt(f"{bucket}/runs/first", 0, 3, value=0.0)
    with serving("launcher", "tensorboard", f"--logdir={bucket}/runs", "--port=0") as address:
        eventually(lambda: len(points(address, "first/logs/train")) == 3)
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=5)


@pytest.mark.parametrize(
    ("logdir", "message"),
    [
        ("gs://not-there/runs", "gs://not-there does not exist"),
        ("s3://bucket/runs", "use gs://bucket/prefix or a local path"),
    ],
)
def test_what_cannot_be_read_is_told_before_an_empty_page(
    logdir: str, message: str, bucket: str
) -> None:
    command = [sys.executable, "-m", "launcher", "tensorboard", "--logdir", logdir, "--port=0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode > 0
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
