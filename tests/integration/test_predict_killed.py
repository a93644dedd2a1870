"""A prediction killed at random moments: no row is missing, none is there twice.

`make test` runs two rounds; `pytest -m slow tests/integration/test_predict_killed.py` twenty.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from job.contract import layout
from job.prediction import listing_sources
from job.prediction.listing import freeze
from tests.job.exported_model import make_model
from tests.job.pictures import jpeg, write_files


def start(model: str, images: Path, output: Path) -> subprocess.Popen:
    command = [
        sys.executable, "-m", "job.predict", f"--model={model}", f"--images={images}",
        f"--output={output}", "--batch_size=1", "--concurrency=2", "--precision=float32",
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finished_parts(output: Path) -> int:
    return len(list(output.glob("part-*")))


def kill_after_some_parts(process: subprocess.Popen, output: Path, dice: random.Random) -> bool:
    """SIGKILL a while after the process has committed something; False if it ended before."""
    before = finished_parts(output)
    while process.poll() is None and finished_parts(output) <= before:
        time.sleep(0.01)
    time.sleep(dice.uniform(0.0, 0.3))
    if process.poll() is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return True


def rows(output: Path, what: str) -> list[str]:
    files = sorted(output.glob(f"{what}-*"))
    return [json.loads(line)["image"] for file in files for line in file.read_text().splitlines()]


def check(folder: Path, *, images: int, rounds: int, seed: int) -> None:
    model = make_model(folder)
    good = {f"{number:04d}.jpg": jpeg(number % 50) for number in range(images)}
    bad = {f"{number:04d}-cut.jpg": jpeg(1)[:300] for number in range(0, images, 50)}
    source = write_files(folder / "images", good | bad)
    output = folder / "out"
    # As for many tasks: with a few large parts it would be over before it can be killed often.
    freeze(str(output), str(source), listing_sources.find, num_tasks=rounds)
    dice = random.Random(seed)
    killed = 0
    for _ in range(rounds):
        with start(model, source, output) as process:
            killed += kill_after_some_parts(process, output, dice)
    assert killed == rounds
    assert not (output / layout.SUMMARY_FILE).exists()
    with start(model, source, output) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "of its parts are there" in said
    assert rows(output, "part") == sorted(f"{source}/{name}" for name in good)
    assert rows(output, "rejects") == sorted(f"{source}/{name}" for name in bad)
    summary = json.loads((output / layout.SUMMARY_FILE).read_text())
    assert (summary["seen"], summary["rejected"]) == (len(good) + len(bad), len(bad))


def test_two_kills_lose_and_double_nothing(tmp_path) -> None:
    check(tmp_path, images=1500, rounds=2, seed=random.SystemRandom().randrange(2**31))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_lose_and_double_nothing(tmp_path) -> None:
    check(tmp_path, images=15_000, rounds=20, seed=0)
