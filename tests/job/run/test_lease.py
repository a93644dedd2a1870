"""The lease of a run directory: one writer, whoever starts when, and nothing from those before."""

import contextlib
import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job import storage
from job.contract import layout
from job.contract import lease as contract
from job.contract.errors import DataError, ExitCode, LeaseLostError, RunHeldError
from job.contract.lease import Fence, Lease, Owner
from job.run import lease_file
from job.run.lease import submission_id, take

LONG_S = 1000.0
"""Longer than any test: a holder with this heartbeat is as silent as a dead one."""


@pytest.fixture(params=["local", "bucket"])
def run(request, tmp_path) -> str:
    if request.param == "local":
        return str(tmp_path / "run")
    return f"{request.getfixturevalue('bucket')}/run"


@contextmanager
def holder(run: str, submission: str) -> "Iterator[subprocess.Popen[str]]":
    """Run a process that holds the lease; its first line says under which number."""
    command = [sys.executable, "-m", "tests.job.run.lease_processes", "hold", run, submission]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused_at_once_and_told_who_and_what_to_do(run):
    with take(run, "first"), pytest.raises(RunHeldError) as refused:
        take(run, "second")
    text = str(refused.value)
    assert text.startswith(f"{run} is being written by process ")
    for part in ("submission first", "sign of life came 0 s ago", "another --run", "--take_over"):
        assert part in text
    assert refused.value.exit_code == ExitCode.BAD_CONFIG


def test_what_was_given_back_is_anybodys(run):
    with take(run, "first") as lease:
        assert lease.number == 1
    with take(run, "second") as lease:
        assert lease.number == 2
    assert not lease_file.read(run).fences  # Who has given it back writes nothing more.


def test_the_next_attempt_of_a_submission_takes_over_at_once_and_the_one_before_may_no_longer(run):
    with take(run, "one", heartbeat_s=LONG_S) as first:
        first.check()
        with take(run, "one") as second:
            second.check()
            with pytest.raises(LeaseLostError, match="taken over by process") as lost:
                first.check()
            assert lost.value.exit_code == ExitCode.PREEMPTED
            with pytest.raises(LeaseLostError):
                first.overwrite()
        assert not second.counts(first.number, 0)
    assert lease_file.read(run).attempt == 2
    assert lease_file.read(run).released  # The first did not give back what it had lost.


def test_a_lost_lease_is_known_by_the_next_heartbeat_without_asking(run):
    def wait_for_loss() -> None:
        while True:
            first.raise_if_lost()
            time.sleep(0.01)

    with (
        take(run, "one", heartbeat_s=0.02) as first,
        take(run, "one"),
        pytest.raises(LeaseLostError),
    ):
        wait_for_loss()


def test_whose_process_has_ended_is_succeeded_at_once(run):
    with holder(run, "first") as process:
        assert process.stdout.readline() == "1\n"
        with pytest.raises(RunHeldError):
            take(run, "second")
        process.kill()
        process.wait()
        with take(run, "second") as lease:
            assert lease.number == 2


def test_one_that_is_stopped_and_taken_over_and_goes_on_ends_with_a_clear_line(run):
    with holder(run, "first") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with take(run, "second", take_over=True):
            process.send_signal(signal.SIGCONT)
            assert process.wait() == ExitCode.PREEMPTED
            assert "taken over by process" in process.stdout.read()
            assert lease_file.read(run).submission == "second"


def test_anybody_may_take_over_once_no_sign_of_life_came_for_long_enough(run):
    with take(run, "silent", heartbeat_s=LONG_S) as silent:
        with pytest.raises(RunHeldError):
            take(run, "second", stale_s=LONG_S)
        with take(run, "second", stale_s=1e-9, heartbeat_s=0.01) as lease:
            lease.check()
        with pytest.raises(LeaseLostError):
            silent.check()


def test_a_disks_clock_that_jumps_makes_nobody_dead_who_lives(tmp_path):
    """Whatever ages look like: a sign of life is waited for before a lease on a disk is taken."""
    run = str(tmp_path / "run")
    with take(run, "alive", heartbeat_s=0.02) as alive:
        with pytest.raises(RunHeldError):
            take(run, "second", stale_s=1e-9, heartbeat_s=2.0)
        alive.check()


def test_a_lease_that_cannot_be_read_is_respected_but_can_be_taken(run):
    storage.write_bytes(layout.lease_file(run), b"\x00")
    with pytest.raises(RunHeldError, match="cannot be read"):
        take(run, "one")
    with take(run, "one", take_over=True) as lease:
        lease.check()


def test_a_lease_that_is_deleted_is_lost(run):
    with take(run, "one", heartbeat_s=LONG_S) as lease:
        storage.delete(layout.lease_file(run))
        with pytest.raises(LeaseLostError, match=r"lease\.json deleted"):
            lease.check()
    assert not storage.exists(layout.lease_file(run))


def test_overwriting_voids_what_was_there_and_happens_once_in_a_submission(run):
    with take(run, "one") as first:
        assert first.counts(first.number, 10)
    with take(run, "two", heartbeat_s=LONG_S) as second:
        assert not second.has_overwritten
        second.overwrite()
        assert second.has_overwritten
        assert not second.counts(first.number, 0)
        assert second.counts(second.number, 0)
        with take(run, "two") as third:
            assert third.has_overwritten
    with take(run, "three") as fourth:
        assert not fourth.has_overwritten


def race(run: str, starts: int) -> Counter[str]:
    """Let threads take one run at the same moment, each for a submission of its own."""
    gate = threading.Barrier(starts)
    held = []

    def start(number: int) -> str:
        gate.wait()
        try:
            held.append(take(run, f"submission-{number}"))
        except RunHeldError:
            return "refused"
        return "won"

    with ThreadPoolExecutor(starts) as threads:
        results = Counter(threads.map(start, range(starts)))
    for lease in held:
        lease.close()
    return results


def test_of_many_simultaneous_starts_in_threads_exactly_one_wins(run):
    assert race(run, 40) == {"won": 1, "refused": 39}
    assert race(run, 40) == {"won": 1, "refused": 39}  # After one that was given back.


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_of_a_thousand_simultaneous_starts_in_threads_exactly_one_wins(run):
    for _ in range(5):
        assert race(run, 200) == {"won": 1, "refused": 199}


def race_of_processes(run: str, starts: int) -> str:
    command = [sys.executable, "-m", "tests.job.run.lease_processes", "race", run, str(starts)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_of_many_simultaneous_starts_of_processes_exactly_one_wins(tmp_path):
    assert race_of_processes(str(tmp_path), 50) == "1 49\n"


@pytest.mark.slow
def test_of_a_thousand_simultaneous_starts_of_processes_exactly_one_wins(tmp_path):
    assert race_of_processes(str(tmp_path), 1000) == "1 999\n"


def test_a_submission_is_what_the_launcher_says_or_a_cluster_or_a_process_alone():
    assert submission_id({"SUBMISSION_ID": "given"}, ["a:1", "b:1"]) == "given"
    assert submission_id({}, ["a:1", "b:1"]) == submission_id({}, ["a:1", "b:1"])
    assert submission_id({}, ["a:1", "b:1"]) != submission_id({}, ["a:1", "b:2"])
    assert submission_id({}, []) != submission_id({}, [])


WHOLE = st.integers(0, 2**40)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEASES = st.builds(
    Lease,
    number=WHOLE,
    owner=st.builds(Owner, TEXT, WHOLE, TEXT, TEXT, TEXT),
    submission=TEXT,
    attempt=WHOLE,
    beats=WHOLE,
    released=st.booleans(),
    fences=st.lists(st.builds(Fence, WHOLE, WHOLE, TEXT), max_size=4).map(tuple),
)


@given(LEASES)
def test_a_lease_is_read_as_it_was_written(lease):
    assert contract.parse(lease.to_json(), "lease.json") == lease


@given(LEASES, st.data())
def test_whatever_stands_in_a_lease_the_answer_is_a_value_or_a_typed_error(lease, data):
    content = bytearray(lease.to_json())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        assert isinstance(contract.parse(bytes(content), "lease.json"), Lease)


@given(LEASES, WHOLE, WHOLE)
def test_behind_a_fence_that_overwrites_nothing_of_before_counts(lease, number, step):
    fenced = lease.with_fence(Fence(number, contract.NOTHING))
    assert not fenced.counts(number - 1, max(0, step))
    if not lease.fences:
        assert fenced.counts(number, step)
        assert dataclasses.replace(fenced, fences=()).counts(number - 1, step)
