"""`launcher sweep` as it is typed: what it refuses, passes over and shows."""

import dataclasses
import json
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.sweeps import plan, store
from tests.launcher.runs.test_runs import put_run

FLAGS = ["--learning_rate=0.001,0.01"]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster, no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def finished() -> None:
    """A sweep both of whose trials are over, one of them by the median rule."""
    planned = plan.make(FLAGS, name="lr", samples=None, seed=0)
    put_run("runs/lr/001", top1=0.5, learning_rate=0.001)
    put_run("runs/lr/002", state="stopped", top1=0.25, learning_rate=0.01)
    store.save("runs/lr", dataclasses.replace(planned, stopped={"002": "below the median"}))


def test_status_shows_the_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    finished()
    assert main(["sweep", "status", "lr"]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert [row[:2] for row in rows[1:3]] == [["001", "Done"], ["002", "Stopped"]]
    assert "best: 001 with top-1 50.00% (learning_rate=0.001), runs/lr/001" in printed.out
    assert "2 of 2 trials are over" in printed.err
    assert main(["sweep", "status", "runs/lr", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 2


def test_a_finished_sweep_runs_nothing_again(capsys: pytest.CaptureFixture[str]) -> None:
    finished()
    assert main(["sweep", "--name=lr", "--data=/nowhere", "--", *FLAGS]) == 0
    assert "2 of 2 trials are over already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["sweep", "--name=lr", "--", "--epochs=1,2"], 1, "holds another sweep (2 trials)"),
        (["sweep", "--", "--epochs=3"], 2, "nothing varies"),
        (["sweep", "--parallel=0", "--", *FLAGS], 2, "at least 1"),
        (["sweep", "--run=x", "--", *FLAGS], 2, "a run directory of its own"),
        (["sweep", "status", "nothing"], 3, "there is no sweep in runs/nothing"),
        (["sweep", "look", "lr"], 2, "a verb (status, cancel, delete)"),
        (["sweep", "cancel", "lr"], 2, "end with the command that runs them"),
    ],
)
def test_what_it_refuses_is_one_line(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finished()
    assert main(argv) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_a_damaged_sweep_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    finished()
    Path("runs/lr/sweep.json").write_bytes(b"[" * 99_999)
    assert main(["sweep", "status", "lr"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_trial_that_fails_is_told_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--name=x", "--data=/nowhere", "--", *FLAGS]) == 1
    printed = capsys.readouterr().out
    assert printed.count("there is no dataset in /nowhere") == 2
