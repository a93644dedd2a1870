"""All runs of a folder: found wherever they are, read whatever they hold, selected, compared."""

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig, to_dict
from job.contract.lease import Lease, Owner
from job.contract.progress_file import RunProgress
from job.storage import documents
from launcher.cli import main
from launcher.runs import reading, selection
from launcher.runs.record import RunRecord

NOW = time.time()


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster, no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture(params=["local", "gs"])
def root(request: pytest.FixtureRequest) -> str:
    return "runs" if request.param == "local" else f"{request.getfixturevalue('bucket')}/runs"


def put_run(path: str, *, state: str = "done", top1: float | None = None, **settings: Any) -> None:
    """Write what a run leaves, as far as it is read."""
    config = TrainConfig(data="gs://b/food101", run=path, **settings)
    storage.write_bytes(layout.config_file(path), json.dumps(to_dict(config)).encode())
    progress = RunProgress(
        state=state, step=90, total_steps=90 if state == "done" else 100, time=NOW - 60,
        examples_per_s=1234.5, started=NOW - 7200, trained_s=3600.0, gpus=8, gpu_s=28800.0,
        attempts=2, by="alice",
    )  # fmt: skip
    documents.write(layout.progress_file(path), progress)
    if top1 is not None:
        best = {"step": 90, "metrics": {"top1": top1, "top5": 0.9}}
        storage.write_bytes(layout.best_file(path), json.dumps(best).encode())


def hold(path: str, *, released: bool) -> None:
    lease = Lease(1, Owner("host", 1), "submission", released=released)
    storage.write_bytes(layout.lease_file(path), lease.to_json())


def launcher(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(list(argv)) == code
    return capsys.readouterr().out


def test_runs_are_found_in_folders_of_folders(root: str) -> None:
    """What is no run is passed over: a dataset, files, empty folders."""
    put_run(f"{root}/b")
    put_run(f"{root}/sweep/001")
    put_run(f"{root}/team/sweep/002")
    storage.write_bytes(f"{root}/food101/dataset.json", b"{}")
    storage.write_bytes(f"{root}/notes.txt", b"")
    storage.write_bytes(f"{root}/b/checkpoints/step-00000001/config.json", b"{}")
    found = reading.find(root)
    assert [record.name for record in found] == ["b", "sweep/001", "team/sweep/002"]
    assert [record.path for record in found] == [f"{root}/{record.name}" for record in found]
    assert reading.find(f"{root}/") == found


def test_a_row_tells_of_the_run(root: str) -> None:
    put_run(f"{root}/a", top1=0.85, learning_rate=0.003)
    report = '{\n "top5": 1,\n "top1": 0.8125,\n "matrix": [0]\n}'
    storage.write_bytes(f"{root}/a/report/metrics.json", report.encode())
    (record,) = reading.find(root)
    assert (record.state, record.step, record.top1, record.test_top1) == ("Done", 90, 0.85, 0.8125)
    assert (record.gpu_hours, record.attempts, record.by) == (8.0, 2, "alice")
    assert record.images_per_s == 1234.5
    assert record.settings["learning_rate"] == 0.003


@pytest.mark.parametrize(
    ("prepare", "state"),
    [
        (lambda run: put_run(run), "Done"),
        (lambda run: put_run(run, state="stopped"), "Stopped"),
        (lambda run: (put_run(run, state="stopped"), hold(run, released=True)), "Stopped"),
        (lambda run: (put_run(run, state="training"), hold(run, released=False)), "Running"),
        (lambda run: storage.write_bytes(layout.config_file(run), b"{}"), "New"),
        (lambda run: storage.write_bytes(layout.config_file(run), b"[1]"), "Damaged"),
        (lambda run: storage.write_bytes(layout.config_file(run), b"[" * 99_999), "Damaged"),
    ],
)
def test_its_state_in_one_word(prepare: Callable[[str], Any], state: str) -> None:
    prepare("runs/a")
    assert [record.state for record in reading.find("runs")] == [state]


def test_a_lease_without_a_sign_of_life_is_lost(tmp_path: Path) -> None:
    import os

    put_run("runs/a", state="training")
    hold("runs/a", released=False)
    old = NOW - 1000
    os.utime(layout.lease_file("runs/a"), (old, old))
    assert [record.state for record in reading.find("runs")] == ["Lost"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"metrics": 1}', b"[" * 99_999, b"\xff"])
@pytest.mark.parametrize("name", ["progress.json", "checkpoints/best.json", "lease.json"])
def test_a_damaged_file_is_told_of_and_hides_nothing_else(name: str, content: bytes) -> None:
    put_run("runs/a", top1=0.5)
    Path(f"runs/a/{name}").write_bytes(content)
    put_run("runs/b", top1=0.75)
    records = {record.name: record for record in reading.find("runs")}
    assert name in records["a"].problem
    assert records["b"].top1 == 0.75


def test_the_table_selects_sorts_and_shows_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    for number, rate in enumerate((0.001, 0.003, 0.01)):
        put_run(f"runs/r{number}", top1=0.5 + number / 10, learning_rate=rate, epochs=4.0)
    put_run("runs/stopped", state="stopped", learning_rate=0.01, epochs=4.0)
    lines = launcher(capsys, "runs", "--where", "learning_rate>0.001", "--sort-by=top1")
    header, *rows = lines.splitlines()
    assert "LEARNING_RATE" in header
    assert "EPOCHS" not in header
    assert [row.split()[0] for row in rows] == ["r2", "r1", "stopped"]
    assert rows[0].split()[1:4] == ["Done", "90", "70.00%"]
    assert rows[2].split()[1:3] == ["Stopped", "90/100"]
    names = launcher(capsys, "runs", "-o", "name", "--where", "state=done", "--where", "top1<=60%")
    assert sorted(names.split()) == ["runs/r0", "runs/r1"]
    assert launcher(capsys, "runs", "--where=name~r[0-9]", "-o", "name").count("\n") == 3


def test_programs_and_spreadsheets_get_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    put_run("runs/=cmd", top1=0.5, learning_rate=0.001)
    put_run("runs/b", learning_rate=0.01)
    found = json.loads(launcher(capsys, "runs", "-o", "json", "--sort-by", "name"))
    assert [(run["name"], run["top1"]) for run in found] == [("=cmd", 0.5), ("b", None)]
    assert found[0]["settings"]["epochs"] == 20.0
    text = launcher(capsys, "runs", "-o", "csv", "--sort-by", "name")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["name"], row["learning_rate"]) for row in rows] == [
        ("'=cmd", "0.001"),
        ("b", "0.01"),
    ]


def test_two_runs_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    put_run("runs/a", top1=0.5, learning_rate=0.001)
    put_run("runs/b", top1=0.75, learning_rate=0.01)
    text = launcher(capsys, "runs", "diff", "a", "runs/b", code=1)
    rows = [line.split() for line in text.splitlines()]
    assert rows == [["a", "b"], ["--learning_rate", "0.001", "0.01"], ["top1", "50.00%", "75.00%"]]
    assert launcher(capsys, "runs", "diff", "a", "a") == ""
    assert main(["runs", "diff", "a", "nothing"]) == 3


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["runs", "--where", "learning_rat>1"], 2, "did you mean 'learning_rate'"),
        (["runs", "--where", "learning_rate"], 2, "must be NAME, one of"),
        (["runs", "--sort-by", "accuracy"], 2, "runs have no 'accuracy'"),
        (["runs", "a", "b"], 2, "one folder of runs"),
        (["runs", "diff", "a"], 2, "name two runs"),
        (["runs", "nothing"], 3, "there are no runs in nothing"),
        (["runs", "s3://bucket"], 2, "s3:// is not supported"),
        (["tensorboard", "--where", "top1>99%"], 3, "no run in runs fulfils top1>99%"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run("runs/a", top1=0.5)
    assert main(argv) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_conditions() -> None:
    record = RunRecord(name="a", path="p/a", state="Done", top1=0.5, settings={"xla": True, "n": 1})
    fulfilled = [
        "top1=50%",
        "top1>=0.5",
        "xla=true",
        "n!=2",
        "name~?",
        "state=done",
        "by=",
        "n<1.5",
    ]
    for text in fulfilled:
        assert selection.select([record], selection.parse([text], record.settings)) == [record]
    for text in ["top1>0.5", "xla=false", "step>1", "name~b*", "n=x", "state<a"]:
        assert selection.select([record], selection.parse([text], record.settings)) == []
