"""Which attempts use up a job's restarts, and how long the next one waits."""

from hypothesis import given
from hypothesis import strategies as st

from job.contract import attempts
from job.contract.attempts import Attempt, Numbered, failures
from job.contract.errors import ExitCode

JOB = "a"


def ran(
    started: float,
    code: int | None = None,
    *,
    replica: str = "worker-0",
    asked: float | None = None,
    lived: float = 1.0,
    job: str = JOB,
) -> Numbered:
    ended = None if code is None else started + lived
    attempt = Attempt(format=1, job=job, started=started, asked=asked, ended=ended, code=code)
    return Numbered(number=1, replica=replica, attempt=attempt)


def test_what_a_worker_did_itself_counts() -> None:
    """Killed, crashed, storage or peers that never came."""
    codes = (137, 139, 134, ExitCode.STORAGE_UNREACHABLE, ExitCode.CLUSTER_NOT_FORMED)
    known = [ran(number, code) for number, code in enumerate(codes)]
    assert failures(known[1:], JOB, "worker-0") == known[1:]


def test_what_was_done_to_it_does_not_count() -> None:
    """Asked to leave (whatever it then ended with), or left alone by a peer."""
    known = [
        ran(1, ExitCode.PREEMPTED),
        ran(2, ExitCode.PEER_LOST),
        ran(3, 137, asked=3.5),
        ran(4, asked=4.5),
        ran(5, 137, job="another"),
    ]
    assert failures(known, JOB, "worker-0") == []


def test_an_attempt_without_an_end_died_with_its_parent() -> None:
    """The kernel may kill all of a container's processes at once for want of memory."""
    died, again = ran(1, replica="worker-1"), ran(2, replica="worker-1")
    assert failures([died, again], JOB, "worker-0") == [died]
    assert failures([died, again], JOB, "worker-1") == [died, again]


def test_what_befalls_all_workers_at_once_counts_once() -> None:
    """A bucket that is away ends every worker, and the job is started again one time."""
    first = [
        ran(10 + 0.1 * index, ExitCode.STORAGE_UNREACHABLE, replica=f"worker-{index}", lived=300)
        for index in range(64)
    ]
    again = [
        ran(330 + index, ExitCode.STORAGE_UNREACHABLE, replica=f"worker-{index}", lived=300)
        for index in range(64)
    ]
    assert failures(first, JOB, "worker-0") == first[:1]
    assert failures([*first, *again], JOB, "worker-0") == [first[0], again[0]]


def test_a_job_that_was_started_anew_begins_to_count_anew() -> None:
    """After an end that no restart follows it is a person who starts it again."""
    before, last, after = ran(1, 137), ran(2, ExitCode.RESTARTS_SPENT), ran(3, 137)
    assert failures([before, last, after], JOB, "worker-0") == [after]


def test_pauses_grow_as_long_as_attempts_fail_soon() -> None:
    known = [ran(100.0 * number, 137, lived=5) for number in range(1, 9)]
    pauses = [attempts.pause_s(known[:count], now=10_000.0) for count in range(9)]
    assert pauses == [0, 0, 10, 20, 40, 80, 160, 300, 300]


def test_who_lived_long_does_not_pause() -> None:
    known = [ran(1, 137), ran(2, 137), ran(10, 137, lived=attempts.SHORT_LIFE_S)]
    assert attempts.pause_s(known, now=10_000.0) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["worker-0", "worker-1", "worker-2"]),
            st.sampled_from([None, 0, 2, 75, 137, 143, 144, 145]),
            st.booleans(),
            st.integers(0, 1000),
        )
    )
)
def test_more_attempts_of_others_take_back_no_failure(
    drawn: list[tuple[str, int | None, bool, int]],
) -> None:
    """The order of reading does not matter, and every failure is one of the job's attempts."""
    known = [
        ran(started, code, replica=replica, asked=started + 0.5 if asked else None)
        for replica, code, asked, started in drawn
    ]
    found = failures(known, JOB, "worker-0")
    assert {id(each) for each in found} == {
        id(each) for each in failures(reversed(known), JOB, "worker-0")
    } or len({each.attempt.started for each in known}) < len(known)
    assert all(each in known and each.attempt.asked is None for each in found)
    with_others = [*known, ran(1, 137, job="another"), ran(2000, 0, job="another")]
    assert failures(with_others, JOB, "worker-0") == found
