"""Encoded images of a streamed archive, on disk until their shards can be written.

An archive gives its images class by class, a shard wants them shuffled: they are written here as
they come and read back in the order of the shards. What has reached the spool survives an
interruption: a run that is started again does not encode it a second time.
"""

import os
import sqlite3
from collections.abc import Iterator
from typing import Self

from job.contract.errors import ConfigError
from job.making.workers import Outcome

_SYNC_BYTES = 64 << 20


class RecordSpool:
    """A file of records with an index by position; a context manager.

    Args:
        folder: Local folder with as much room as the records take.
        name: Of the files in it; equal names mean equal content.
    """

    def __init__(self, folder: str, name: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self._paths = [os.path.join(folder, f"{name}.{kind}") for kind in ("records", "index")]
        self._index = self._open_index()
        self._file = open(self._paths[0], "a+b", buffering=1 << 20)  # noqa: SIM115 (see __exit__)
        self._drop_unindexed()
        self._synced = self._end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sync()
        self._file.close()
        self._index.close()

    def __contains__(self, position: int) -> bool:
        row = self._index.execute("SELECT 1 FROM outcomes WHERE position = ?", (position,))
        return row.fetchone() is not None

    def add(self, outcome: Outcome) -> None:
        """Write an outcome."""
        self._file.write(outcome.record)
        self._index.execute(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)",
            (
                outcome.position,
                self._end,
                len(outcome.record),
                outcome.fingerprint,
                outcome.reason,
            ),
        )
        self._end += len(outcome.record)
        if self._end - self._synced >= _SYNC_BYTES:
            self._sync()

    def read(self, first: int, last: int) -> Iterator[Outcome]:
        """Yield the outcomes of positions [first, last), in that order."""
        self._file.flush()
        rows = self._index.execute(
            "SELECT position, start, bytes, fingerprint, reason FROM outcomes "
            "WHERE position BETWEEN ? AND ? ORDER BY position",
            (first, last - 1),
        )
        for position, start, size, fingerprint, reason in rows:
            record = os.pread(self._file.fileno(), size, start)
            yield Outcome(position, record, fingerprint, reason)

    def delete(self) -> None:
        """Remove the files; they may stay open until the context is left."""
        for path in self._paths:
            os.remove(path)

    def _sync(self) -> None:
        # Records first: the index must never name bytes that are not on disk.
        self._file.flush()
        os.fsync(self._file.fileno())
        self._index.execute("COMMIT")
        self._index.execute("BEGIN")
        self._synced = self._end

    def _open_index(self) -> sqlite3.Connection:
        index = sqlite3.connect(self._paths[1], isolation_level=None, timeout=1)
        try:
            index.execute("PRAGMA locking_mode = EXCLUSIVE")
            index.execute("BEGIN EXCLUSIVE")
            index.execute(
                "CREATE TABLE IF NOT EXISTS outcomes (position INTEGER PRIMARY KEY, "
                "start INTEGER, bytes INTEGER, fingerprint BLOB, reason TEXT)"
            )
        except sqlite3.OperationalError as error:
            index.close()
            raise ConfigError(
                f"{self._paths[1]} is in use: another process is making this very dataset"
            ) from error
        return index

    def _drop_unindexed(self) -> None:
        """Cut off records that were written but not committed before an interruption."""
        (self._end,) = self._index.execute(
            "SELECT coalesce(max(start + bytes), 0) FROM outcomes"
        ).fetchone()
        if self._file.seek(0, os.SEEK_END) < self._end:
            self._index.execute("DELETE FROM outcomes")
            self._end = 0
        self._file.truncate(self._end)
