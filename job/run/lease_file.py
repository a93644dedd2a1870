"""Reading a run's lease.json; anybody may, and nobody has to hold it for that."""

from dataclasses import dataclass

from job import storage
from job.contract import layout
from job.contract import lease as contract
from job.contract.errors import DataError
from job.contract.lease import Lease, Owner
from job.storage.interface import ABSENT, NotFoundError

_ATTEMPTS = 20
_UNKNOWN = Lease(0, Owner("", 0), "", released=True)


@dataclass(frozen=True)
class Found:
    """A lease.json as it was at one moment.

    Attributes:
        generation: Of the file; `ABSENT` where there is none.
        written_at_s: When it was written, by the storage's own clock.
        lease: Its content; None where there is none, or none that can be read.
    """

    generation: int
    written_at_s: float
    lease: Lease | None


def find(run: str) -> Found:
    """Read a run's lease together with what a conditional write of it needs."""
    path = layout.lease_file(run)
    for _ in range(_ATTEMPTS):
        try:
            stat = storage.stat(path)
        except NotFoundError:
            return Found(ABSENT, 0.0, None)
        generation = stat.generation or ABSENT
        try:
            content = storage.read_bytes(path, generation=generation)
        except NotFoundError:
            continue  # It was changed between the two requests.
        try:
            lease = contract.parse(content, path)
        except DataError:
            lease = None
        return Found(generation, stat.written_at_s or 0.0, lease)
    return Found(generation, stat.written_at_s or 0.0, None)


def generation(run: str) -> int:
    """Give the generation of a run's lease.json; `ABSENT` where there is none."""
    try:
        return storage.stat(layout.lease_file(run)).generation or ABSENT
    except NotFoundError:
        return ABSENT


def read(run: str) -> Lease:
    """Give a run's lease for its fences; one without any where there is none to be read."""
    return find(run).lease or _UNKNOWN
