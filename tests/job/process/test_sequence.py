"""Commands one after another: signals reach the one that runs, and none starts after one came."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from job.process.sequence import Sequencer


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("", 0), ("raise SystemExit(65)", 65), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_exit_codes_are_a_shells(code: str, expected: int) -> None:
    assert Sequencer().run(python(code), os.environ) == expected


def test_a_signal_reaches_the_command_and_ends_the_sequence(tmp_path: Path) -> None:
    """It may save and leave with a code of its own; what would come next does not."""
    ready, left = tmp_path / "ready", tmp_path / "left"
    waits = (
        "import pathlib, signal, sys\n"
        f"leave = lambda *_: (pathlib.Path({str(left)!r}).touch(), sys.exit(143))\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "signal.pause()"
    )  # fmt: skip

    def ask() -> None:
        while not ready.exists():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    sequencer = Sequencer()
    with sequencer.handling_signals():
        threading.Thread(target=ask).start()
        assert sequencer.run(python(waits), os.environ) == 143
        assert sequencer.run(python("raise SystemExit(1)"), os.environ) == 143
    assert left.exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
