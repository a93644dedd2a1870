"""`--then=evaluate,export`: what follows training is done once, wherever an attempt ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.follow_up_file import FollowUps
from job.storage import documents
from tests.multiprocess import ROOT

FLAGS = (
    "--head=gap", "--width_multiplier=0.03", "--image_size_px=32", "--global_batch_size=16",
    "--precision=float32", "--steps=2",
)  # fmt: skip
LIMIT_S = 240


def command(data: str, run: Path, then: str) -> list[str]:
    return [sys.executable, "-m", "job.train", f"--data={data}", f"--run={run}", *FLAGS,
            f"--then={then}"]  # fmt: skip


def steps(run: Path) -> dict[str, str]:
    found = documents.read(layout.follow_up_file(str(run)), FollowUps)
    return {step.name: step.state for step in found.steps}


def test_evaluation_follows_training(digits_dataset: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = command(digits_dataset, run, "evaluate")
    subprocess.run(asked, cwd=ROOT, check=True, timeout=LIMIT_S)
    assert steps(run) == {"evaluate": "done"}
    assert Path(layout.metrics_file(layout.report_dir(str(run)))).exists()


@pytest.mark.slow
def test_an_interrupted_step_is_done_by_the_next_attempt(
    digits_dataset: str, tmp_path: Path
) -> None:
    """Training is not done again, nor what was done; a step that went on for nothing is."""
    run = tmp_path / "run"
    asked = command(digits_dataset, run, "evaluate,export")
    environ = dict(os.environ)
    with subprocess.Popen(asked, cwd=ROOT, env=environ) as job:
        end = time.monotonic() + LIMIT_S
        while (
            not Path(layout.follow_up_file(str(run))).exists() or steps(run)["evaluate"] != "done"
        ):
            assert time.monotonic() < end
            assert job.poll() is None
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        assert job.wait(LIMIT_S) == 143
    assert steps(run) == {"evaluate": "done", "export": "waiting"}
    assert not Path(layout.model_file(layout.model_dir(str(run)))).exists()
    report = Path(layout.metrics_file(layout.report_dir(str(run))))
    written = report.stat().st_mtime_ns
    subprocess.run(asked, cwd=ROOT, check=True, timeout=LIMIT_S)
    assert steps(run) == {"evaluate": "done", "export": "done"}
    assert report.stat().st_mtime_ns == written
    assert Path(layout.model_file(layout.model_dir(str(run)))).exists()


@pytest.mark.slow
def test_a_step_that_fails_leaves_its_code_and_the_training(
    tmp_path: Path, digits_dataset: str
) -> None:
    run = tmp_path / "run"
    (run / "report").mkdir(parents=True)
    (run / "report" / "report.html").mkdir()  # Where the page would be written.
    ended = subprocess.run(
        command(digits_dataset, run, "evaluate,export"), cwd=ROOT, check=False, timeout=LIMIT_S
    )
    assert 0 < ended.returncode < 128
    assert steps(run) == {"evaluate": "failed", "export": "waiting"}
    assert list((run / "checkpoints").glob("step-*/MANIFEST.json"))
