"""What the shells complete, each asked itself."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from launcher import commands
from launcher.cli import main

JOBS = "launcher() { printf '%s\\n' tfjob.kubeflow.org/{vgg19-a,vgg19-b,nightly}; }"
FISH_JOBS = "function launcher; printf '%s\\n' tfjob.kubeflow.org/{vgg19-a,vgg19-b,nightly}; end"
WAIT_S = 30.0


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def needs(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_known(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert all(name in script(shell, capsys) for name in commands.names())


@pytest.mark.parametrize(
    ("words", "current", "completed"),
    [
        ("launcher su", 1, "submit suspend"),
        ("launcher submit --max-r", 2, "--max-restarts"),
        ("launcher submit --backend t", 3, "tfjob"),
        ("launcher submit --backend = j", 4, "jobset"),
        ("launcher submit --backend =", 3, "auto tfjob jobset local"),
        ("launcher completion z", 2, "zsh"),
        ("launcher why vgg", 2, "vgg19-a vgg19-b"),
        ("launcher why --o", 2, "--output"),
        ("launcher -n vision why ni", 4, "nightly"),
        ("launcher make-tfrecords --source ./fo", 3, ""),  # Then bash completes paths.
    ],
)
def test_bash(words: str, current: int, completed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, options, their values and the names of jobs."""
    asked = f"COMP_WORDS=({words}); COMP_CWORD={current}; _launcher; echo ${{COMPREPLY[@]}}"
    answer = subprocess.run(
        ["bash", "-c", f"{script('bash', capsys)}\n{JOBS}\n{asked}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == f"{completed}\n"
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("launcher su", ["submit", "suspend"]),
        ("launcher submit --max-r", ["--max-restarts"]),
        ("launcher submit --backend t", ["tfjob"]),
        ("launcher submit --backend=j", ["--backend=jobset"]),
        ("launcher why vgg", ["vgg19-a", "vgg19-b"]),
        ("launcher make-tfrecords --source ./fo", ["./food/"]),
        ("launcher logs ./fo", ["./food/"]),
    ],
)
def test_fish(
    typed: str, completed: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    needs("fish")
    (tmp_path / "food").mkdir()
    answer = subprocess.run(
        ["fish", "-c", f"{script('fish', capsys)}\n{FISH_JOBS}\ncomplete -C '{typed}'"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert [line.partition("\t")[0] for line in answer.stdout.splitlines()] == completed
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("launcher su", "submit +suspend"),
        ("launcher submit --max-r", "launcher submit --max-restarts"),
        ("launcher submit --backend t", "--backend tfjob"),
        ("launcher submit --backend=j", "--backend=jobset"),
        ("launcher why ni", "launcher why nightly"),
        ("launcher make-tfrecords --source ./fo", r"--source \./food/"),
    ],
)
def test_zsh(typed: str, shown: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In a terminal, since nothing else makes zsh complete."""
    needs("zsh")
    (tmp_path / "food").mkdir()
    (tmp_path / "script").write_text(f"{script('zsh', capsys)}\n{JOBS}\n")
    terminal, inner = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path), "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(inner)
    try:
        os.write(terminal, b"source ./script; echo rea''dy\n")
        await_text(terminal, "ready\r")
        os.write(terminal, typed.encode() + b"\t\t")
        await_text(terminal, shown)
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def await_text(terminal: int, wanted: str) -> None:
    """Read what a terminal shows until a pattern is there."""
    seen, until = "", time.monotonic() + WAIT_S
    while not re.search(wanted, seen):
        readable, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert readable, f"{wanted!r} is not in {seen!r}"
        seen += os.read(terminal, 4096).decode(errors="replace")
