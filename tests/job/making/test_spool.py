"""The spool keeps what reached it, and never gives back what it cannot vouch for."""

from pathlib import Path

import pytest

from job.contract.errors import ConfigError
from job.making.spool import RecordSpool
from job.making.workers import Outcome


def outcome(position: int) -> Outcome:
    if position % 7 == 3:
        return Outcome(position, b"", b"", "damaged")
    return Outcome(position, bytes([position]) * (position + 1), bytes([position]) * 16)


def test_outcomes_come_back_in_the_order_of_their_positions(tmp_path: Path) -> None:
    with RecordSpool(str(tmp_path), "a") as spool:
        for position in (9, 3, 0, 7, 8, 1):
            spool.add(outcome(position))
        assert 7 in spool
        assert 2 not in spool
        assert list(spool.read(1, 9)) == [outcome(position) for position in (1, 3, 7, 8)]


def test_what_was_added_is_there_when_opened_again(tmp_path: Path) -> None:
    with RecordSpool(str(tmp_path), "a") as spool:
        spool.add(outcome(5))
    with RecordSpool(str(tmp_path), "a") as spool:
        spool.add(outcome(4))
        assert list(spool.read(0, 9)) == [outcome(4), outcome(5)]


def test_records_behind_the_last_commit_are_dropped(tmp_path: Path) -> None:
    """As after a power failure between writing records and committing their index."""
    with RecordSpool(str(tmp_path), "a") as spool:
        spool.add(outcome(5))
    with (tmp_path / "a.records").open("ab") as file:
        file.write(b"torn")
    with RecordSpool(str(tmp_path), "a") as spool:
        spool.add(outcome(6))
        assert list(spool.read(0, 9)) == [outcome(5), outcome(6)]


def test_a_spool_whose_records_are_gone_starts_anew(tmp_path: Path) -> None:
    with RecordSpool(str(tmp_path), "a") as spool:
        spool.add(outcome(5))
    (tmp_path / "a.records").write_bytes(b"")
    with RecordSpool(str(tmp_path), "a") as spool:
        assert 5 not in spool


def test_two_processes_cannot_use_one_spool(tmp_path: Path) -> None:
    with RecordSpool(str(tmp_path), "a"), pytest.raises(ConfigError, match="another process"):
        RecordSpool(str(tmp_path), "a")


def test_a_deleted_spool_leaves_nothing(tmp_path: Path) -> None:
    with RecordSpool(str(tmp_path), "a") as spool:
        spool.add(outcome(5))
        spool.delete()
    assert not list(tmp_path.iterdir())
