"""SIGTERM ends every command at once where nobody asks to be asked, as process 1 too."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from job.contract.exit_codes import ExitCode

WAIT = "import {package}; print('ready', flush=True); import signal; signal.pause()"


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
    assert _terminate_first_process(_unshared(WAIT.format(package="job"))) == ExitCode.PREEMPTED


def test_any_other_process_keeps_the_default_action() -> None:
    code = "import job, signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


STUCK = """
import signal, time
from job.process.stop_request import StopRequest
with StopRequest(leave_within_s=0.1):
    print("ready", flush=True)
    while True:
        time.sleep(60)
"""


def test_a_process_that_never_looks_is_ended_after_its_time() -> None:
    """As one that waits for storage, whose retries last longer than the grace period."""
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=30) == ExitCode.PREEMPTED
        finally:
            process.kill()
            process.wait()
