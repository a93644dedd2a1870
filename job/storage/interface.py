"""What every storage backend promises: the shape of a stored file, its errors, its operations.

JobError
├── InputMissingError
│   └── NotFoundError                     exit 66: no such file, folder or bucket
│       └── ChangedError                  exit 66: replaced or deleted while it was read
├── DeniedError                           exit 77: the permission that is missing is named
│   └── KeptError                         exit 77: a hold or a retention policy keeps a file
├── NoSpaceError                          exit 74: a full disk
├── PreconditionError                     exit  2: somebody else's file is at that path
└── StorageUnreachableError               exit 146: still failing when the retries were spent
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from job.contract.errors import DeniedError, ExitCode, InputMissingError, JobError

ABSENT = 0
"""The generation of a file that is not there, as in GCS's own preconditions."""


class NotFoundError(InputMissingError):
    """No file, folder or bucket of that name."""


class ChangedError(NotFoundError):
    """The generation that a reader began with is gone."""

    @classmethod
    def of(cls, path: str, generation: int) -> "ChangedError":
        """Name the file and what was read of it so far."""
        return cls(
            f"{path} changed while it was read: generation {generation} was replaced or deleted; "
            "start again once nobody writes it"
        )


class KeptError(DeniedError):
    """A hold or a retention policy keeps a file from being replaced or deleted."""


class PreconditionError(JobError):
    """A conditional write found something else than it was told to expect."""

    exit_code = ExitCode.BAD_CONFIG


@dataclass(frozen=True, slots=True)
class Stat:
    """A stored file as its storage describes it.

    `generation` changes with every write of the path (locally: the modification time in ns).
    `crc32c` is GCS's base64 text; None where the storage keeps no checksum. Size and checksum are
    of the stored bytes; where `encoding` is "gzip", the content is larger.
    `written_at_s` is when it was written by the storage's own clock, in seconds since 1970: only
    a difference of two of them means anything here. Listings leave it out.
    """

    path: str
    size: int
    generation: int | None = None
    crc32c: str | None = None
    written_at_s: float | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer, and how long to go on asking. All in seconds."""

    deadline_s: float = 300.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0
    floor_bytes_per_s: float = 1000.0  # A transfer that brings less counts as broken.
    quiet_s: float = 5.0  # An outage is logged when it has lasted this long.

    @property
    def timeout(self) -> tuple[float, float]:
        """The timeouts of one request, in the form that requests takes."""
        return self.connect_timeout_s, self.read_timeout_s


class Backend(Protocol):
    """One kind of storage. Every method raises only the errors of this module's docstring.

    Writes are atomic: a reader sees the old content, the new one or none, never a part.
    `if_generation_match` makes a write conditional: ABSENT means that nothing may be there yet.
    """

    def list_files(self, directory: str) -> Iterator[Stat]:
        """Yield every file below `directory`, sorted by path; nothing where nothing is."""
        ...

    def list_folders(self, directory: str) -> Iterator[str]:
        """Yield the paths of the folders directly in `directory`; nothing where nothing is."""
        ...

    def stat(self, path: str) -> Stat:
        """Describe the file at `path`."""
        ...

    def read_bytes(
        self, path: str, start: int, end: int | None, generation: int | None = None
    ) -> bytes:
        """Return the bytes [start, end) of a file, or all from `start` on.

        With `generation`, of that one only: ChangedError when the file was replaced since.
        """
        ...

    def read_stored(self, source: Stat, start: int, end: int) -> bytes:
        """Return exactly the stored bytes [start, end) of a file, of the generation in `source`.

        Raises:
            ChangedError: It was replaced since.
        """
        ...

    def write_bytes(self, path: str, data: bytes, if_generation_match: int | None) -> Stat:
        """Write a whole file."""
        ...

    def download(self, path: str, local_file: str) -> Stat:
        """Copy a stored file to `local_file`, atomically, its checksum verified."""
        ...

    def upload(
        self,
        local_file: str,
        path: str,
        if_generation_match: int | None,
        crc32c: str | None = None,
    ) -> Stat:
        """Copy a local file into storage, its checksum verified; `crc32c` where it is known."""
        ...

    def request_counts(self) -> dict[str, int]:
        """Return the requests sent so far, by kind: list, stat, read, write, delete."""
        ...

    def delete(self, path: str, if_generation_match: int | None = None) -> None:
        """Remove a file, of that generation alone if one is given; one already gone is no error."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
