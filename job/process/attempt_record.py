"""Keeps in the run directory how the attempts of a worker began and ended."""

import dataclasses
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from job import storage
from job.contract import attempts, layout
from job.contract.attempts import Attempt, Numbered
from job.contract.errors import DataError
from job.storage import PreconditionError, documents

_READ_AT_ONCE = 16
_MOST_BYTES = 64 << 10


class AttemptRecord:
    """The record of the attempt that runs now; `claim` makes it."""

    def __init__(self, path: str, number: int, attempt: Attempt) -> None:
        self.number = number
        self._path = path
        self._attempt = attempt

    @classmethod
    def claim(cls, run: str, replica: str, job: str) -> "AttemptRecord":
        """Take the next free number of a replica, and write that its attempt has begun.

        Raises:
            JobError: The run directory cannot be read or written.
        """
        attempt = Attempt(format=attempts.FORMAT, job=job, started=time.time())
        number = next_number(run, replica)
        while True:
            path = layout.attempt_record(run, number, replica)
            try:
                documents.write(path, attempt, if_absent=True)
            except PreconditionError:
                number += 1
            else:
                return cls(path, number, attempt)

    def asked(self, when: float) -> None:
        """Note that the worker was asked to leave.

        Raises:
            JobError: The record cannot be written; so for `ended`.
        """
        self._write(dataclasses.replace(self._attempt, asked=when))

    def ended(self, code: int, when: float) -> None:
        """Note how the worker ended."""
        self._write(dataclasses.replace(self._attempt, code=code, ended=when))

    def _write(self, attempt: Attempt) -> None:
        self._attempt = attempt
        documents.write(self._path, attempt)


def next_number(run: str, replica: str) -> int:
    """Give the number after those of a replica's attempts, of which a log or a record is kept."""
    numbers = [
        parsed[0]
        for path in _files(run)
        for parsed in (layout.parse_attempt_log(path), layout.parse_attempt_record(path))
        if parsed and parsed[1] == replica
    ]
    return max(numbers, default=0) + 1


def read_all(run: str, replicas: Iterable[str] = ()) -> list[Numbered]:
    """Read the records of a run, of some replicas alone if they are named.

    Raises:
        JobError: The storage cannot be read. A record that is damaged tells nothing.
    """
    wanted = set(replicas)
    found = [
        (path, *parsed)
        for path in _files(run)
        if (parsed := layout.parse_attempt_record(path)) and (not wanted or parsed[1] in wanted)
    ]
    with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="attempts") as threads:
        read = threads.map(lambda each: _read(each[0]), found)
        return [
            Numbered(number=number, replica=replica, attempt=attempt)
            for (_, number, replica), attempt in zip(found, read, strict=True)
            if attempt is not None
        ]


def _read(path: str) -> Attempt | None:
    try:
        return documents.read(path, Attempt, formats=(attempts.FORMAT,), max_bytes=_MOST_BYTES)
    except (DataError, storage.NotFoundError):
        return None


def _files(run: str) -> list[str]:
    try:
        return [stat.path for stat in storage.list_files(layout.attempts_dir(run))]
    except storage.NotFoundError:
        return []
