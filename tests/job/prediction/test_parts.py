"""Parts are committed by one attempt only, and counted before anything is called complete."""

import threading
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.errors import DataError
from job.prediction.listing import Entry, Found, Listing, freeze
from job.prediction.parts import Counts, PartRows, PartStore, summary_of


def listing_of(output: str, count: int = 20) -> Listing:
    entries = (Entry(f"{number:03d}.jpg", 1, 1) for number in range(count))
    return freeze(output, "images", lambda _: Found("folder", entries), 1)


def rows_of(listing: Listing, part: int, rejected: int, by: str) -> PartRows:
    """The last `rejected` images of a part are rejects; `by` tells who wrote a row."""
    names = [f"{number:03d}.jpg" for number in listing.part_range(part)]
    cut = len(names) - rejected
    return PartRows(
        [{"image": n, "generation": 1, "top": [], "model": by} for n in names[:cut]],
        [{"image": n, "generation": 1, "reason": "damaged", "detail": by} for n in names[cut:]],
    )


def assert_whole(store: PartStore, listing: Listing, part: int) -> str:
    """Every image is in one of both files, once; gives whose predictions they are."""
    predictions, rejects = store.read_rows(part)
    found = sorted(row["image"] for row in [*predictions, *rejects])
    assert found == [f"{number:03d}.jpg" for number in listing.part_range(part)]
    (by,) = {row["model"] for row in predictions}
    return by


def test_the_first_of_two_attempts_keeps_the_part(tmp_path) -> None:
    listing = listing_of(str(tmp_path))
    store = PartStore(listing, "jsonl")
    assert store.commit(0, rows_of(listing, 0, 2, "first"))
    assert not store.commit(0, rows_of(listing, 0, 5, "second"))
    assert assert_whole(store, listing, 0) == "first"
    assert store.counts(0).rejected == 2


@pytest.mark.parametrize("where", ["here", "in a bucket"])
def test_two_attempts_at_once_leave_one_whole_part(tmp_path, bucket, where) -> None:
    output = str(tmp_path) if where == "here" else f"{bucket}/out"
    listing = listing_of(output, 160)
    for part in range(listing.parts):
        store = PartStore(listing, "jsonl")
        barrier = threading.Barrier(2)
        won: list[str] = []

        def attempt(
            number: int, part=part, store=store, barrier=barrier, won: list[str] = won
        ) -> None:
            rows = rows_of(listing, part, 1 + number, str(number))
            barrier.wait()
            if store.commit(part, rows):
                won.append(str(number))

        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [assert_whole(store, listing, part)] == won
        assert store.finished([part]) == {part}
        assert store.counts(part).seen == len(listing.part_range(part))


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_rejects_that_a_dead_attempt_left_out_are_added(tmp_path, file_format) -> None:
    """It died between its two files; what it could not read may be readable now."""
    listing = listing_of(str(tmp_path))
    store = PartStore(listing, file_format)
    store.commit(0, rows_of(listing, 0, 3, "dead"))
    Path(store.rejects_path(0)).unlink()
    for note in (tmp_path / "counts").iterdir():
        note.unlink()
    assert store.finished(range(listing.parts)) == set()
    assert not store.commit(0, rows_of(listing, 0, 1, "second"))
    assert assert_whole(store, listing, 0) == "dead"
    assert dict(store.counts(0).reasons) == {"damaged": 1, "unreadable_then": 2}
    assert store.finished(range(listing.parts)) == {0}


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_counts_that_were_lost_are_counted_again(tmp_path, file_format) -> None:
    listing = listing_of(str(tmp_path))
    store = PartStore(listing, file_format)
    for part in range(listing.parts):
        store.commit(part, rows_of(listing, part, 1, "x"))
    for note in (tmp_path / "counts").iterdir():
        note.unlink()
    total = store.total()
    assert (total.seen, total.predicted, dict(total.reasons)) == (20, 18, {"damaged": 2})


def test_a_part_that_does_not_add_up_is_named(tmp_path) -> None:
    listing = listing_of(str(tmp_path))
    store = PartStore(listing, "jsonl")
    store.commit(0, rows_of(listing, 0, 2, "x"))
    for note in (tmp_path / "counts").iterdir():
        note.unlink()
    Path(store.rejects_path(0)).write_bytes(b"")
    with pytest.raises(DataError, match="14 rows for 16 images"):
        store.counts(0)


def test_the_summary_is_written_once(tmp_path) -> None:
    listing = listing_of(str(tmp_path))
    store = PartStore(listing, "jsonl")
    store.write_summary(summary_of(listing, Counts(1, {}), {}))
    store.write_summary(summary_of(listing, Counts(2, {}), {}))
    assert '"seen": 1' in Path(layout.summary_file(str(tmp_path))).read_text()
