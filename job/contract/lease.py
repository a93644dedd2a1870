"""The lease of a run directory: who writes into it, as `lease.json` says it. Pure.

A run has one writer. It holds the lease, shows by a heartbeat that it lives, and numbers what it
writes by the lease's number, which grows with every change of hands. Taking a lease from somebody
who never gave it back puts up a fence: what earlier numbers write from then on does not count,
however late it arrives. `job/run/lease.py` takes, keeps and checks leases by these rules.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from job.contract import schema
from job.contract.schema import Count, Word

FORMAT = 1
HEARTBEAT_S = 30.0
"""Time between two signs of life, in seconds."""
STALE_S = 120.0
"""Age of the last one from which on anybody may take the lease, in seconds."""
SUBMISSION_VARIABLE = "SUBMISSION_ID"
"""Environment variable with the id of one submission, the same in all of its restarts."""
NOTHING = -1
"""The last step of a fence behind which nothing counts: that of --overwrite."""
_FENCES_KEPT = 32
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Owner:
    """The process that holds a lease.

    Attributes:
        host: Name of its machine or pod.
        pid: Its number there.
        pod: Name of the pod, empty outside of Kubernetes.
        place: Where that number means anything: one boot of one machine, one container.
        started: Tells it from a later process of the same number.
    """

    host: Word
    pid: Count
    pod: Word = ""
    place: Word = ""
    started: Word = ""

    def __str__(self) -> str:
        where = f"pod {self.pod}" if self.pod else f"host {self.host}"
        return f"process {self.pid} on {where}"


@dataclass(frozen=True)
class Fence:
    """What still counts of those whose number is below `number`: steps up to `last_step`.

    `overwritten_by` names the submission that wanted it so by --overwrite.
    """

    number: Count
    last_step: Annotated[int, Meta(ge=NOTHING, le=2**53 - 1)]
    overwritten_by: Word = ""


@dataclass(frozen=True)
class Lease:
    """Content of lease.json.

    Attributes:
        number: Grows with every change of hands.
        owner: Who holds it, or held it last.
        submission: Id of what the owner belongs to.
        attempt: How often this submission has taken it in a row, from 1.
        beats: Signs of life so far; changing it makes each of them a change of the file.
        released: Whether the owner gave it back.
        fences: The newest ones, by rising number.
        format: Of this file.
    """

    number: Count
    owner: Owner
    submission: Word
    attempt: Count = 1
    beats: Count = 0
    released: bool = False
    fences: tuple[Fence, ...] = ()
    format: int = FORMAT

    def counts(self, number: int, step: int) -> bool:
        """Whether what the writer of that number wrote of a step counts."""
        return all(number >= fence.number or step <= fence.last_step for fence in self.fences)

    def overwritten_by(self, submission: str) -> bool:
        """Whether a submission has had its --overwrite."""
        return any(fence.overwritten_by == submission for fence in self.fences)

    def with_fence(self, fence: Fence) -> "Lease":
        """Add a fence; the oldest ones beyond 32 are forgotten."""
        return dataclasses.replace(self, fences=(*self.fences, fence)[-_FENCES_KEPT:])

    def to_json(self) -> bytes:
        """Write the content of lease.json."""
        return schema.write(self)


def parse(content: bytes, path: str) -> Lease:
    """Read the content of lease.json, which is from `path`; DataError if it is none."""
    return schema.read(content, Lease, what=path, formats=(FORMAT,), max_bytes=_LARGEST)


def refusal(run: str, lease: Lease | None, age_s: float, stale_s: float = STALE_S) -> str:
    """Say to a second writer who writes into a run, and which ways out there are.

    Args:
        run: The run directory.
        lease: Its lease; None if that cannot be read.
        age_s: Seconds since its last sign of life.
        stale_s: At which age anybody may take it.
    """
    owner = (
        f"{lease.owner} (submission {lease.submission}, attempt {lease.attempt})"
        if lease
        else "somebody whose lease.json cannot be read"
    )
    left_s = max(1.0, stale_s - age_s)
    return (
        f"{run} is being written by {owner}; its last sign of life came {age_s:.0f} s ago. End "
        "that job first (launcher cancel, or Ctrl-C where it was typed), or choose another --run. "
        f"If it is dead, start again in {left_s:.0f} s, or at once with --take_over"
    )
