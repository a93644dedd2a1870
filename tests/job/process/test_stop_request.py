"""SIGTERM asks a command to leave, and ends one that does not look."""

import signal
import subprocess
import sys

from job.contract.errors import ExitCode

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
