"""The parent of a pod's trainer loses no byte, changes no exit code and is never in the way."""

import contextlib
import hashlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from job.contract.errors import ExitCode
from job.process import attempt_record
from job.process.kept_log import AttemptLog, BoundedLog
from tests.fault_proxy import Fault, FaultProxy

WAIT_S = 60


@contextlib.contextmanager
def trainer(run: str, code: str, *before: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a trainer that does what `code` says, with the parent that a pod's has."""
    flags = ("-m", "job.train", "--data=d", f"--run={run}")
    process = subprocess.Popen(
        [
            *(*before, sys.executable, "-m", "job.supervise", "worker-0"),
            *("-u", "-c", f"import os, signal, sys, time\n{code}", *flags),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(run: str, code: str) -> tuple[int, bytes, bytes]:
    """Run one to its end; gives exit code, standard output and standard error."""
    with trainer(run, code) as process:
        out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def process_1() -> tuple[str, ...]:
    """What runs a command as the first process of a PID namespace, as in a container."""
    command = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs permission to make PID namespaces")
    return command


def only_child(process: "subprocess.Popen[bytes]") -> int:
    """Find the process that `unshare` has started, from outside."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (children := path.read_text().split()):
        assert process.poll() is None
    return int(children[0])


def waits_for(process: int, number: signal.Signals) -> bool:
    """Whether the kernel keeps a signal for a process, or calls its handler."""
    status = Path(f"/proc/{process}/status").read_text()
    masks = re.findall(r"^Sig(?:Blk|Cgt):\s*([0-9a-f]+)$", status, re.MULTILINE)
    return any(int(mask, 16) & 1 << number - 1 for mask in masks)


def kept(run: str, attempt: int = 1, replica: str = "worker-0") -> bytes:
    return storage.read_bytes(layout.attempt_log(run, attempt, replica))


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("sys.exit(66)", 66),
        ("os._exit(146)", 146),
        ("raise RuntimeError('oops')", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),  # As the kernel does without memory.
        ("import ctypes; ctypes.string_at(0)", 139),
    ],
)
def test_whatever_ends_the_trainer_ends_its_parent(end: str, code: int, tmp_path: Path) -> None:
    """What it wrote last is kept, in whatever way it ended."""
    returned, out, err = ended(str(tmp_path), f"print('last', 'words')\n{end}")
    assert returned == code
    assert out == b"last words\n"
    assert kept(str(tmp_path)) == out + err
    assert (b"oops" in err) == (code == 1)


def test_a_lost_peers_own_end_is_told_before_that_of_who_lost_it(tmp_path: Path) -> None:
    """A JobSet goes by the first end that it hears of: code 65 must not look like code 144."""
    with (
        trainer(str(tmp_path / "1"), f"sys.exit({ExitCode.PEER_LOST})") as follower,
        trainer(str(tmp_path / "2"), f"time.sleep(1)\nsys.exit({ExitCode.BAD_DATA})") as cause,
    ):
        assert cause.wait(WAIT_S) == ExitCode.BAD_DATA
        assert follower.poll() is None
        follower.send_signal(signal.SIGTERM)  # Whoever is asked to leave does not wait.
        assert follower.wait(WAIT_S) == ExitCode.PEER_LOST


def test_every_byte_goes_to_the_stream_it_was_written_to(tmp_path: Path) -> None:
    """Whatever bytes, with or without a newline at the end, and at once."""
    code = r"""
os.write(1, bytes(range(256)))
os.write(2, b"\xff\x00 no newline")
sys.stdin.read()
time.sleep(1000)
"""
    with trainer(str(tmp_path), code) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(256) == bytes(range(256))
        assert process.stderr.read(13) == b"\xff\x00 no newline"
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == ExitCode.PREEMPTED
    assert sorted(kept(str(tmp_path))) == sorted(bytes(range(256)) + b"\xff\x00 no newline")


def test_signals_reach_the_trainer_each_time(tmp_path: Path) -> None:
    """The first one asks it to save, the second one ends it, see job/process/stop_request.py."""
    code = """
signal.signal(signal.SIGTERM, lambda *_: print("asked"))
signal.signal(signal.SIGINT, lambda *_: os._exit(143))
print("ready")
while True:
    time.sleep(1)
"""
    with trainer(str(tmp_path), code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == b"asked\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == ExitCode.PREEMPTED
    assert kept(str(tmp_path)) == b"ready\nasked\nasked\n"


def test_the_trainer_dies_with_its_parent(tmp_path: Path) -> None:
    with trainer(str(tmp_path), "print(os.getpid())\ntime.sleep(1000)") as process:
        assert process.stdout is not None
        child = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
        ready, _, _ = select.select([child], [], [], WAIT_S)
        os.close(child)
        assert ready


def test_as_process_1_it_buries_what_others_leave_behind_and_obeys(
    process_1: tuple[str, ...], tmp_path: Path
) -> None:
    """The kernel makes a container's first process the parent of every orphan."""
    code = """
reader, writer = os.pipe()
if os.fork() == 0:
    orphan = os.fork()
    if orphan:
        os.write(writer, b"%d" % orphan)
    os._exit(0)
os.wait()
orphan = int(os.read(reader, 9))
try:
    while True:
        os.kill(orphan, 0)
        time.sleep(0.01)
except ProcessLookupError:
    print("buried")
time.sleep(1000)
"""
    with trainer(str(tmp_path), code, *process_1) as unshare:
        assert unshare.stdout is not None
        assert unshare.stdout.readline() == b"buried\n"
        os.kill(only_child(unshare), signal.SIGTERM)
        assert unshare.wait(WAIT_S) == ExitCode.PREEMPTED
    assert kept(str(tmp_path)) == b"buried\n"


def test_a_pod_that_is_deleted_as_soon_as_it_starts_does_not_sit_through_its_grace_period(
    process_1: tuple[str, ...], tmp_path: Path
) -> None:
    """The signal comes as soon as process 1 can hold it, before the trainer is started."""
    training = ["-m", "job.train", "--data=d", f"--run={tmp_path}"]
    supervisor = [sys.executable, "-m", "job.supervise", "worker-0", *training]
    with subprocess.Popen([*process_1, *supervisor]) as unshare:
        try:
            while not waits_for(only_child(unshare), signal.SIGTERM):
                assert unshare.poll() is None
            os.kill(only_child(unshare), signal.SIGTERM)
            assert unshare.wait(WAIT_S) == ExitCode.PREEMPTED
        finally:
            unshare.kill()


def test_a_flood_passes_whole_and_is_kept_in_part(tmp_path: Path) -> None:
    """A file of bounded size on the pod's disk, and in the run directory."""
    code = """
print("begin")
for number in range(500):
    print(f"{number:0100000d}")
print("end")
"""
    returned, out, _ = ended(str(tmp_path), code)
    assert returned == 0
    lines = [b"begin", *(b"%0100000d" % number for number in range(500)), b"end", b""]
    assert hashlib.sha256(out).digest() == hashlib.sha256(b"\n".join(lines)).digest()
    log = kept(str(tmp_path))
    assert log.startswith(b"begin\n")
    assert log.endswith(b"\nend\n")
    assert b"bytes are missing here: the log is too long" in log
    assert len(log) < len(out) / 2


def test_what_outlives_the_trainer_does_not_hold_up_its_parent(tmp_path: Path) -> None:
    """A process that it started holds its streams open, and goes on to write."""
    code = """
if os.fork() == 0:
    signal.alarm(60)
    while True:
        print("more")
sys.exit(70)
"""
    with trainer(str(tmp_path), code) as process:
        assert process.stdout is not None
        threading.Thread(target=process.stdout.read, daemon=True).start()
        assert process.wait(WAIT_S) == ExitCode.DIVERGED


def test_a_bucket_that_refuses_costs_one_line(faulty_bucket: str, proxy: FaultProxy) -> None:
    proxy.faults.append(Fault(status=403, reason="forbidden"))
    returned, out, err = ended(f"{faulty_bucket}/run", "print('fine')")
    assert (returned, out) == (0, b"fine\n")
    assert err.count(b"\n") == 1
    assert b"storage.objects.list" in err
    assert ended(f"{faulty_bucket}/run", "sys.exit('error: mine')") == (1, b"", b"error: mine\n")


def test_an_outage_does_not_keep_a_pod_from_leaving(faulty_bucket: str, proxy: FaultProxy) -> None:
    proxy.down = True
    with trainer(f"{faulty_bucket}/run", "print('ready')\ntime.sleep(1000)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == ExitCode.PREEMPTED
    assert proxy.count("") > 0


def test_attempts_that_overlap_get_numbers_of_their_own(bucket: str) -> None:
    run = f"{bucket}/run"
    for attempt, replica in ((2, "worker-0"), (7, "worker-1")):
        storage.write_bytes(layout.attempt_log(run, attempt, replica), b"earlier")
    texts = {b"one", b"two", b"three"}
    with contextlib.ExitStack() as stack:
        logs = []
        for text in texts:
            log = stack.enter_context(contextlib.closing(BoundedLog()))
            log.write(text)
            logs.append(AttemptLog(log, run, "worker-0", warn=pytest.fail))
        for attempt_log in logs:
            attempt_log.start()
            attempt_log.finish()
        for attempt_log in logs:
            attempt_log.join(WAIT_S)
    assert {kept(run, attempt) for attempt in (3, 4, 5)} == texts
    assert (kept(run, 2), kept(run, 7, "worker-1")) == (b"earlier", b"earlier")


@pytest.mark.parametrize("where", ["a bucket", "a volume"])
def test_a_log_is_copied_while_it_grows_and_not_while_it_rests(
    where: str, bucket: str, tmp_path: Path
) -> None:
    run = f"{bucket}/run" if where == "a bucket" else str(tmp_path)
    with contextlib.closing(BoundedLog()) as log:
        attempt_log = AttemptLog(log, run, "worker-3", warn=pytest.fail, every_s=0.02)
        attempt_log.start()
        whole = b""
        for text in (b"one\n", b"two\n"):
            log.write(text)
            whole += text
            while not storage.exists(layout.attempt_log(run, 1, "worker-3")) or (
                kept(run, replica="worker-3") != whole
            ):
                assert attempt_log.is_alive()
        written = storage.request_counts().get("write", 0)
        attempt_log.finish()
        attempt_log.join(WAIT_S)
    assert not attempt_log.is_alive()
    assert storage.request_counts().get("write", 0) == written
    assert (2 <= written <= 3) if where == "a bucket" else written == 0


@pytest.mark.parametrize(
    ("flags", "code", "says", "keeps"),
    [
        (["--data={run}/no", "--run={run}"], 66, "error: ", True),
        (["--dada=x", "--run={run}"], 2, "did you mean", False),
    ],
)
def test_the_command_of_a_manifest_keeps_its_log(
    flags: list[str], code: int, says: str, keeps: bool, bucket: str
) -> None:
    """Where there is no run directory in its flags, only the trainer says so."""
    run = f"{bucket}/run"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "job.supervise", "worker-3", "-m", "job.train"),
            *(flag.format(run=run) for flag in flags),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert says in done.stderr
    written = [kept(run, replica="worker-3").decode()] if keeps else []
    assert written == [done.stderr] * keeps
    assert len(list(storage.list_files(run))) == keeps


def test_what_is_wrongly_called_says_how() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "job.supervise", "worker-0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.BAD_CONFIG
    assert "usage: python -m job.supervise REPLICA" in done.stderr


def budgeted(
    run: Path, code: str, *, worker: str = "worker-0", **budget: str
) -> tuple[int, bytes, bytes]:
    """Run a trainer under a budget, as a TFJob's or a JobSet's pod does."""
    flags = ("-m", "job.train", "--data=d", f"--run={run}")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "job.supervise", worker),
            *("-u", "-c", f"import os, signal, sys, time\n{code}", *flags),
        ],
        env=dict(os.environ) | {"SUBMISSION_ID": "s1"} | budget,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


OOM = "os.kill(os.getpid(), signal.SIGKILL)"
GROUP_OOM = "os.kill(os.getppid(), signal.SIGKILL); time.sleep(100)"


def test_a_job_that_dies_again_and_again_uses_up_its_restarts(tmp_path: Path) -> None:
    """An OOM loop ends: the last start ends at once with a code that nothing restarts."""
    assert budgeted(tmp_path, OOM, MAX_RESTARTS="1")[0] == 137
    assert budgeted(tmp_path, OOM, MAX_RESTARTS="1")[0] == 137
    code, out, err = budgeted(tmp_path, "print('trains')", MAX_RESTARTS="1")
    assert (code, out) == (ExitCode.RESTARTS_SPENT, b"")
    assert err == (
        b"error: the only restart is used up (--max-restarts); worker-0 ended last: exit code 137, "
        b"killed by signal 9\n"
    )


def test_the_kernel_may_kill_the_parent_too(tmp_path: Path) -> None:
    """Of such an attempt no end is kept, and the first worker counts those of all the others."""
    assert budgeted(tmp_path, GROUP_OOM, worker="worker-1", MAX_RESTARTS="0")[0] == -9
    code, _, err = budgeted(tmp_path, "pass", worker="worker-1", MAX_RESTARTS="0")
    assert code == ExitCode.RESTARTS_SPENT
    assert b"no restart is allowed (--max-restarts); worker-1 ended last: killed with its" in err


def test_leaving_when_asked_is_not_counted(tmp_path: Path) -> None:
    """Preempted ten times, a job goes on as if it never had been."""
    for _ in range(3):
        assert budgeted(tmp_path, "sys.exit(143)", MAX_RESTARTS="0")[0] == 143
        assert budgeted(tmp_path, "sys.exit(144)", MAX_RESTARTS="0")[0] == 144
    assert budgeted(tmp_path, "pass", MAX_RESTARTS="0")[0] == 0


def test_another_submission_of_the_run_has_a_budget_of_its_own(tmp_path: Path) -> None:
    assert budgeted(tmp_path, OOM, MAX_RESTARTS="0")[0] == 137
    assert budgeted(tmp_path, "pass", MAX_RESTARTS="0", SUBMISSION_ID="s2")[0] == 0


def test_a_duration_is_counted_from_the_first_start(tmp_path: Path) -> None:
    """A JobSet's own deadline would begin anew; who runs into it is asked to leave, and saves."""
    saves = "signal.signal(15, lambda *_: sys.exit(143)); print('on'); time.sleep(1000)"
    code, out, err = budgeted(tmp_path, saves, MAX_DURATION_S="2")
    assert (code, out) == (ExitCode.TIME_UP, b"on\n")
    assert b"longest duration is over (--max-duration)" in err
    assert kept(str(tmp_path)) == out + err
    code, out, _ = budgeted(tmp_path, "print('trains')", MAX_DURATION_S="2")
    assert (code, out) == (ExitCode.TIME_UP, b"")


def test_log_and_record_of_an_attempt_have_one_number(tmp_path: Path) -> None:
    storage.write_bytes(layout.attempt_log(str(tmp_path), 4, "worker-0"), b"earlier")
    assert budgeted(tmp_path, "print('new')")[0] == 0
    assert kept(str(tmp_path), 5) == b"new\n"
    (record,) = attempt_record.read_all(str(tmp_path))
    assert (record.number, record.replica, record.attempt.code) == (5, "worker-0", 0)
    assert record.attempt.asked is None


def test_who_is_asked_to_leave_has_it_in_the_record(tmp_path: Path) -> None:
    with trainer(str(tmp_path), "print('on'); time.sleep(1000)", "env", "SUBMISSION_ID=s1") as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"on\n"
        one.send_signal(signal.SIGTERM)
        assert one.wait(WAIT_S) == ExitCode.PREEMPTED
    (record,) = attempt_record.read_all(str(tmp_path))
    assert record.attempt.asked is not None
    assert record.attempt.code == ExitCode.PREEMPTED
