"""Taking, keeping and checking the lease of a run directory; `job/contract/lease.py` has the rules.

Every change of lease.json is conditional on its generation, so of any number of processes that
want it at the same moment one gets it. Clocks of different machines are never compared: ages are
differences of times that the storage itself noted.
"""

import dataclasses
import enum
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from job import storage
from job.contract import layout
from job.contract import lease as contract
from job.contract.errors import JobError, LeaseLostError, RunHeldError
from job.contract.lease import NOTHING, Fence, Lease, Owner
from job.process import identity
from job.run import lease_file
from job.run.lease_file import Found
from job.run.manifest import committed_steps, highest_writer
from job.storage.interface import ABSENT, PreconditionError, Stat

_ATTEMPTS = 100  # Each of them loses to somebody who won.
_log = logging.getLogger(__name__)


def submission_id(environ: Mapping[str, str], addresses: Sequence[str]) -> str:
    """Name the submission that this process belongs to.

    The launcher names it, the same in all restarts. Without it the addresses of a cluster do, as
    an operator keeps them; a process alone, typed by hand, gets a name of its own.

    Args:
        environ: Environment of this process.
        addresses: Addresses of all workers; none for a single one.
    """
    given = environ.get(contract.SUBMISSION_VARIABLE, "").strip()
    if given:
        return given
    name = ",".join(addresses) or uuid.uuid4().hex
    return uuid.uuid5(uuid.NAMESPACE_URL, name).hex[:12]


class RunLease:
    """The lease of one run, held by this process; a context manager that gives it back.

    Args:
        run: The run directory.
        held: As `take` wrote it.
        generation: Of that file.
        heartbeat_s: Time between two signs of life, in seconds.
    """

    def __init__(self, run: str, held: Lease, generation: int, heartbeat_s: float) -> None:
        self.run = run
        self._held = held
        self._generation = generation
        self._heartbeat_s = heartbeat_s
        self._lock = threading.Lock()
        self._lost = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def number(self) -> int:
        """What everything that this holder writes is numbered with."""
        return self._held.number

    @property
    def has_overwritten(self) -> bool:
        """Whether an attempt of this submission has voided what was there before."""
        return self._held.overwritten_by(self._held.submission)

    def counts(self, number: int, step: int) -> bool:
        """Whether what the writer of that number wrote of a step counts."""
        return self._held.counts(number, step)

    def raise_if_lost(self) -> None:
        """Raise LeaseLostError if it is known already that the lease was lost; asks nobody."""
        if self._lost:
            raise LeaseLostError(self._lost)

    def check(self) -> None:
        """Make sure that the lease is still held; call it before and after every commit.

        Raises:
            LeaseLostError: Somebody else has it.
        """
        with self._lock:
            self.raise_if_lost()
            if lease_file.generation(self.run) != self._generation:
                self._lose()
            self.raise_if_lost()

    def confirm(self, undo: Callable[[], None]) -> None:
        """Check after a commit, and undo what was written when the lease was lost already.

        A process can be stopped between the check before and what it writes then, for any time.

        Raises:
            LeaseLostError: Somebody else has it.
        """
        try:
            self.check()
        except LeaseLostError:
            undo()
            raise

    def overwrite(self) -> None:
        """Void everything that was written into the run before this lease, at one stroke.

        Raises:
            LeaseLostError: Somebody else has the lease.
        """
        with self._lock:
            fence = Fence(self.number, NOTHING, self._held.submission)
            self._change(self._held.with_fence(fence))
            self.raise_if_lost()

    def close(self) -> None:
        """Give the lease back, so that anybody may take it at once."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            if not self._lost:
                try:
                    self._change(dataclasses.replace(self._held, released=True))
                except JobError as error:
                    _log.warning("the lease of %s could not be given back: %s", self.run, error)

    def _beat(self) -> None:
        failing = False
        while not self._closing.wait(self._heartbeat_s):
            with self._lock:
                if self._lost:
                    return
                try:
                    self._change(dataclasses.replace(self._held, beats=self._held.beats + 1))
                    failing = False
                except JobError as error:
                    if not failing:
                        _log.warning("the lease of %s could not be renewed: %s", self.run, error)
                    failing = True

    def _change(self, lease: Lease) -> None:
        """Write the lease anew, or learn that it is lost. The lock is held."""
        try:
            stat = _write(self.run, lease, self._generation)
        except PreconditionError:
            self._lose()
            return
        self._held, self._generation = lease, stat.generation or ABSENT

    def _lose(self) -> None:
        now = lease_file.find(self.run).lease
        by = f"by {now.owner} (submission {now.submission})" if now else "or its lease.json deleted"
        self._lost = (
            f"{self.run} was taken over {by}; this attempt was too slow to show that it lives, "
            "and writes nothing more"
        )
        _log.warning("%s", self._lost)


def take(
    run: str,
    submission: str,
    *,
    take_over: bool = False,
    heartbeat_s: float = contract.HEARTBEAT_S,
    stale_s: float = contract.STALE_S,
) -> RunLease:
    """Become the one writer of a run.

    Args:
        run: The run directory; that it can be written into is made sure of.
        submission: Id of what this process belongs to. Earlier attempts of it are succeeded.
        take_over: Take it from whoever has it; for people who know that its owner is dead.
        heartbeat_s: Time between two signs of life, in seconds.
        stale_s: Age of a sign of life from which on its owner counts as dead, in seconds.

    Raises:
        RunHeldError: Somebody else writes into the run; it says who, and which ways out there are.
        DeniedError, InputMissingError: The run directory cannot be written.
    """
    now_s = check_writable(run).written_at_s or 0.0
    for _ in range(_ATTEMPTS):
        found = lease_file.find(run)
        age_s = max(0.0, now_s - found.written_at_s)
        claim = _claim(found, submission, take_over=take_over, is_stale=age_s >= stale_s)
        if claim is None:
            break
        if claim is _Claim.STALE and not _stays(found, run, age_s, heartbeat_s):
            continue
        lease = _successor(run, found, submission, claim)
        try:
            stat = _write(run, lease, found.generation)
        except PreconditionError:
            continue  # Somebody was faster, or the owner lives.
        if found.lease and claim not in (_Claim.FREE, _Claim.SAME_SUBMISSION):
            _log.warning("took %s over from %s (%s)", run, found.lease.owner, claim.value)
        return RunLease(run, lease, stat.generation or ABSENT, heartbeat_s)
    raise RunHeldError(contract.refusal(run, found.lease, age_s, stale_s))


def check_writable(run: str) -> Stat:
    """Write a file into a run directory and delete it: what saving and retention will need.

    Returns:
        What storage said of the file; its time is now by the storage's clock.

    Raises:
        DeniedError, InputMissingError: It cannot be written, or nothing can be deleted there.
    """
    probe = layout.join(run, f".check-{uuid.uuid4().hex[:8]}")
    stat = storage.write_bytes(probe, b"", if_absent=True)
    storage.delete(probe)
    return stat


class _Claim(enum.Enum):
    """Why a lease may be taken."""

    FREE = "nobody has it"
    SAME_SUBMISSION = "an earlier attempt of the same submission had it"
    DEAD = "its process has ended"
    STALE = "it showed no sign of life"
    FORCED = "--take_over"


_WITHOUT_FENCE = (_Claim.FREE, _Claim.DEAD)


def _claim(found: Found, submission: str, *, take_over: bool, is_stale: bool) -> _Claim | None:
    """Say by what right a lease may be taken; None if it may not."""
    lease = found.lease
    if found.generation == ABSENT or (lease and lease.released):
        return _Claim.FREE
    if lease and lease.submission == submission:
        return _Claim.SAME_SUBMISSION
    if lease and identity.known_dead(lease.owner):
        return _Claim.DEAD
    if take_over:
        return _Claim.FORCED
    return _Claim.STALE if is_stale else None


def _stays(found: Found, run: str, age_s: float, heartbeat_s: float) -> bool:
    """Make sure that a lease's owner does not live after all.

    In a bucket that is certain already. The clock of a disk is that of a machine, and may have
    jumped: there the owner gets time for one more sign of life.
    """
    if storage.is_remote(run):
        return True
    _log.warning(
        "the lease of %s is %.0f s old; waiting %.0f s for a sign of life", run, age_s, heartbeat_s
    )
    time.sleep(heartbeat_s)
    return lease_file.generation(run) == found.generation


def _successor(run: str, found: Found, submission: str, claim: _Claim) -> Lease:
    """Make the lease that follows on another, or on none."""
    before = found.lease or Lease(highest_writer(run), Owner("", 0), "")
    lease = Lease(
        number=before.number + 1,
        owner=identity.this_process(),
        submission=submission,
        attempt=before.attempt + 1 if before.submission == submission else 1,
        fences=before.fences,
    )
    if claim in _WITHOUT_FENCE:
        return lease
    newest = max(committed_steps(run), default=NOTHING)
    return lease.with_fence(Fence(lease.number, newest))


def _write(run: str, lease: Lease, generation: int) -> Stat:
    path = layout.lease_file(run)
    return storage.write_bytes(path, lease.to_json(), if_generation_match=generation)
