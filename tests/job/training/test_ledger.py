"""What a run costs is counted from attempt to attempt."""

from pathlib import Path

import pytest

from job.contract import layout
from job.contract.progress_file import RunProgress
from job.storage import documents
from job.training.ledger import Ledger

ALICE = {"SUBMITTED_BY": "alice"}


def note(run: str, ledger: Ledger) -> RunProgress:
    content = RunProgress(state="stopped", step=1, total_steps=2, time=1.0, **ledger.now())
    documents.write(layout.progress_file(run), content)
    return content


def test_the_next_attempt_goes_on(tmp_path: Path) -> None:
    """Whoever resumes a run, it stays that of who began it."""
    run = str(tmp_path)
    first = Ledger.going_on(run, gpus=8, environ=ALICE)
    told = note(run, first)
    assert (told.attempts, told.by, told.gpus) == (1, "alice", 8)
    documents.write(
        layout.progress_file(run),
        RunProgress(
            state="stopped", step=1, total_steps=2, time=1.0, started=5.0, trained_s=100.0,
            gpu_s=800.0, attempts=1, by="alice",
        ),
    )  # fmt: skip
    second = note(run, Ledger.going_on(run, gpus=4, environ={"SUBMITTED_BY": "bob"}))
    assert (second.attempts, second.by, second.gpus, second.started) == (2, "alice", 4, 5.0)
    assert second.trained_s == pytest.approx(100.0, abs=5.0)
    assert second.gpu_s == pytest.approx(800.0, abs=20.0)


@pytest.mark.parametrize("content", [b"", b"{", b'{"state": 1}'])
def test_a_damaged_note_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "progress.json").write_bytes(content)
    assert Ledger.going_on(str(tmp_path), gpus=1, environ=ALICE).attempts == 1
