"""How a command's process begins: what obeys, and what stays off the terminal."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from job.contract.errors import ExitCode

ROOT = Path(__file__).parents[3]
PREPARE = "from job.process import startup; startup.prepare()"
WAIT = f"{PREPARE}; print('ready', flush=True); import signal; signal.pause()"


def run(code, *folders):
    path = os.pathsep.join(map(str, (*folders, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1", "PYTHONPATH": path},
    )


def test_tensorflow_is_imported_without_a_word_though_it_has_something_to_say():
    assert "oneDNN custom operations are on" in run("import tensorflow").stderr
    quiet = run(f"{PREPARE}; import tensorflow as tf; print(tf.constant(1).numpy())")
    assert (quiet.stdout, quiet.stderr) == ("1\n", "")


def test_other_words_and_errors_of_the_import_come_through(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'a word of warning\\n')\nraise ImportError('a library is missing')"
    )
    result = run(f"{PREPARE}; import tensorflow", tmp_path)
    assert result.returncode == 1
    assert "a word of warning" in result.stderr
    assert "ImportError: a library is missing" in result.stderr


def _unshared(code: str) -> "subprocess.Popen[str]":
    """Start Python as process 1 of a PID namespace, as a container runtime does."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs permission to make PID namespaces")
    return subprocess.Popen(
        [*command, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )


def _terminate_first_process(unshare: "subprocess.Popen[str]") -> int:
    assert unshare.stdout is not None
    with unshare.stdout as said:
        assert said.readline() == "ready\n"
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        try:
            return unshare.wait(timeout=20)
        finally:
            unshare.kill()
            unshare.wait()


def test_process_1_ends_at_once_with_the_code_of_a_preemption() -> None:
    assert _terminate_first_process(_unshared(WAIT)) == ExitCode.PREEMPTED


def test_any_other_process_keeps_the_default_action() -> None:
    code = f"{PREPARE}; import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
