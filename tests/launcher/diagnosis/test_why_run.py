"""`launcher why` on a run directory: no cluster, or no job any more."""

import datetime
import json
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.diagnosis.finding import Finding
from launcher.diagnosis.run import explain
from launcher.observe import run_directory
from launcher.observe.run_facts import LastWords

NOW = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)
LOST = "error: lost worker 1 (127.0.0.1:39261): recvmsg:Connection reset by peer"


def make_run(
    folder: Path, state: str, *, ago_s: float = 10.0, logs: dict[str, str] | None = None
) -> Path:
    """Write what a trainer writes: its progress, a checkpoint, the logs of two attempts."""
    run = folder / "run"
    progress = {"state": state, "step": 40, "total_steps": 100, "time": NOW.timestamp() - ago_s}
    checkpoint = run / "checkpoints/step-00000030"
    checkpoint.mkdir(parents=True)
    (checkpoint / "MANIFEST.json").write_text("{}")
    (run / "progress.json").write_text(json.dumps(progress | {"examples_per_s": 12.0}))
    older, newer = run / "attempts/1", run / "attempts/2"
    for attempt in (older, newer):
        attempt.mkdir(parents=True)
    (older / "worker-0.log").write_text("error: of an attempt before\n")
    for replica, text in (logs or {}).items():
        (newer / f"{replica}.log").write_text(text)
    return run


def why(run: Path) -> Finding:
    path = str(run)
    return explain(path, run_directory.read(path), run_directory.last_words(path), NOW)


def test_the_cause_is_the_error_of_the_worker_that_had_it(tmp_path: Path) -> None:
    """What its peers saw of it is evidence."""
    logs = {"worker-0": f"step 40\n{LOST}\n", "worker-1": "error: no space left\nmore\n"}
    found = why(make_run(tmp_path, "stopped", logs=logs))
    assert found.situation == "stopped"
    assert found.sentence.endswith("/run stopped (step 40 of 100): no space left.")
    assert found.evidence == (f"worker-0: {LOST}", "worker-1: error: no space left")
    assert "checkpoint of step 30: launcher resume" in found.mend[0]


def test_a_lost_peer_is_better_than_no_cause(tmp_path: Path) -> None:
    found = why(make_run(tmp_path, "stopped", logs={"worker-0": LOST}))
    assert "lost worker 1" in found.sentence


def test_workers_that_were_killed_have_no_last_words(tmp_path: Path) -> None:
    found = why(make_run(tmp_path, "training", ago_s=600, logs={"worker-0": "step 40/100\n"}))
    assert found.level == "failed"
    assert found.situation == "stopped"
    assert "no progress for 10m (step 40 of 100), and no worker says why" in found.sentence
    assert found.evidence == ("worker-0: step 40/100",)


def test_without_an_error_it_says_what_was_said_last(tmp_path: Path) -> None:
    """Somebody stopped it, or it is starting again: both are true then."""
    asked = why(make_run(tmp_path / "a", "stopped", logs={"worker-0": "stopped on request"}))
    assert (asked.situation, asked.level) == ("not-training", "warning")
    assert asked.sentence.endswith("(step 40 of 100); it said last: stopped on request.")
    facts = run_directory.read(str(make_run(tmp_path / "b", "stopped")))
    assert "left no log" in explain("runs/b", facts, (), NOW).sentence


def test_a_run_that_trains_or_is_done_says_so(tmp_path: Path) -> None:
    trains = why(make_run(tmp_path / "a", "training", logs={"worker-0": "error: an old one"}))
    assert (trains.situation, trains.level) == ("training", "ok")
    assert "step 40 of 100, 12 images/s" in trains.sentence
    done = why(make_run(tmp_path / "b", "done"))
    assert (done.situation, done.level) == ("succeeded", "ok")


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    logs = {"worker-0": "error: long ago\n" + "a line\n" * 5000, "worker-1": "\n\n"}
    assert run_directory.last_words(str(make_run(tmp_path, "stopped", logs=logs))) == [
        LastWords(replica="worker-0", line="a line")
    ]


def test_the_command_takes_a_path_without_any_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    run = make_run(tmp_path, "stopped", logs={"worker-0": "error: the data ran out"})
    assert main(["why", str(run), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["situation"] == "stopped"
    assert main(["why", str(tmp_path / "empty")]) == 3
    assert "nothing has been trained there" in capsys.readouterr().err
