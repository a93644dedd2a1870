"""One attempt as real processes: merged logs, signals, the cause among several ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from launcher.local.processes import Ended, ProcessSet, Replica, cause_of

ROOT = str(Path(__file__).parents[3])
FOREVER = "import time; print('up', flush=True); time.sleep(600)"


def replicas(folder, *programs: str) -> list[Replica]:
    return [
        Replica(
            name=f"worker-{index}",
            command=[sys.executable, "-c", program],
            environ=dict(os.environ),
            log_file=str(folder / f"worker-{index}.log"),
        )
        for index, program in enumerate(programs)
    ]


def run(folder, *programs: str, notice_s: float = 0.3, kill_after_s: float = 0.8):
    lines: list[tuple[str, str]] = []
    processes = ProcessSet(replicas(folder, *programs), lambda *line: lines.append(line))
    return processes.wait(notice_s=notice_s, kill_after_s=kill_after_s), lines


def test_every_line_is_shown_under_its_replica_and_kept_in_its_log(tmp_path):
    ended, lines = run(
        tmp_path, "print('a'); print('b')", "import sys; print('c', file=sys.stderr)"
    )
    assert {one.code for one in ended} == {0}
    assert sorted(lines) == [("worker-0", "a"), ("worker-0", "b"), ("worker-1", "c")]
    assert (tmp_path / "worker-0.log").read_text() == "a\nb\n"


def test_when_one_fails_the_others_are_ended_and_the_failure_is_the_cause(tmp_path):
    ended, _ = run(tmp_path, FOREVER, "raise SystemExit(65)")
    assert ended == [Ended("worker-1", 65), Ended("worker-0", -signal.SIGTERM, asked=True)]
    assert cause_of(ended) == Ended("worker-1", 65)


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + FOREVER
    ended, _ = run(tmp_path, deaf, "import time; time.sleep(1); raise SystemExit(144)")
    assert ended[-1] == Ended("worker-0", -signal.SIGKILL, asked=True)
    assert cause_of(ended) == Ended("worker-1", 144)


def test_survivors_may_say_themselves_that_a_peer_was_lost(tmp_path):
    """The end of the killed one is the cause, although a survivor's code came with words."""
    file = repr(str(tmp_path / "pid"))
    leaves = (
        "import os, time\n"
        f"while not os.path.exists({file}): time.sleep(0.01)\n"
        f"while os.path.exists('/proc/' + open({file}).read()): time.sleep(0.01)\n"
        "raise SystemExit(144)"
    )
    suicide = (
        "import os, signal\n"
        f"open({file} + '.new', 'w').write(str(os.getpid()))\n"
        f"os.rename({file} + '.new', {file})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended, _ = run(tmp_path, leaves, suicide, notice_s=30.0, kill_after_s=60.0)
    assert ended == [Ended("worker-1", -signal.SIGKILL), Ended("worker-0", 144)]
    assert cause_of(ended) == ended[0]


def test_who_was_asked_to_leave_before_is_not_asked_again(tmp_path):
    """A second SIGTERM ends a trainer at once: it could not commit its last checkpoint."""
    saves = (
        "import signal, time\n"
        "asked = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: asked.append(1))\n"
        "print('up', flush=True)\n"
        "while not asked: time.sleep(0.01)\n"
        "time.sleep(1)\n"
        "raise SystemExit(len(asked))"
    )
    leaves = (
        "import signal, time\n"
        "def leave(*_): raise SystemExit(143)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    lines: list[tuple[str, str]] = []
    processes = ProcessSet(replicas(tmp_path, saves, leaves), lambda *line: lines.append(line))
    while len(lines) < 2:
        time.sleep(0.01)
    processes.ask_to_leave()
    ended = processes.wait(notice_s=0.1, kill_after_s=30)
    assert [one.code for one in ended] == [143, 1]


def test_undecodable_output_does_not_stop_the_merging(tmp_path):
    ended, lines = run(tmp_path, r"import os; os.write(1, b'\xff\xfe ok\n')")
    assert ended[0].code == 0
    assert lines == [("worker-0", "\ufffd\ufffd ok")]


_CODES = st.sampled_from([0, 1, 2, 65, 70, 143, 144, 145, 146, -9, -15])


@given(st.lists(_CODES, min_size=1, max_size=6))
def test_the_cause_is_permanent_before_passing_before_a_consequence(codes):
    cause = cause_of([Ended(str(number), code) for number, code in enumerate(codes)]).code
    if any(0 < code < 128 for code in codes):
        assert 0 < cause < 128
    elif any(code not in (0, 144, 145) for code in codes):
        assert cause not in (0, 144, 145)
    else:
        assert (cause == 0) == (set(codes) == {0})


def test_workers_do_not_outlive_a_killed_launcher(tmp_path):
    program = f"""
import os, pathlib, sys, time
sys.path.insert(0, {ROOT!r})
from launcher.local.processes import ProcessSet, Replica
forever = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
replica = Replica("worker-0", [sys.executable, "-c", forever], dict(os.environ), "{tmp_path}/log")
ProcessSet([replica], lambda name, line: print(line, flush=True)).wait(notice_s=1, kill_after_s=2)
"""
    launcher = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    worker = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")


def test_a_process_starts_whatever_another_thread_holds(tmp_path):
    """Storage's threads import and log at any moment; neither side of a fork may wait for them."""
    program = f"""
import _imp, os, sys, threading
sys.path.insert(0, {ROOT!r})
from launcher.local.processes import ProcessSet, Replica
held, done = threading.Event(), threading.Event()

def hold():
    _imp.acquire_lock()
    held.set()
    done.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
replica = Replica("worker-0", ["echo", "started"], dict(os.environ), "{tmp_path}/log")
processes = ProcessSet([replica], lambda name, line: print(line, flush=True))
print(processes.wait(notice_s=1, kill_after_s=2)[0].code, flush=True)
os._exit(0)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.split() == ["started", "0"]
