"""The end of making a dataset: counts, rejects, leakage, and dataset.json as the very last."""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from job import storage
from job.contract import layout
from job.contract.errors import DataError
from job.dataset.description import SPLITS, Dataset, Shard, Split, to_json
from job.images.file_kinds import ending_of
from job.making.catalogue import Reject
from job.making.placement import PlannedShard
from job.making.shards import FinishedShard, RejectLimit, read_note
from job.storage.interface import PreconditionError

_NAMED_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Description:
    """What dataset.json says beside what the shards say."""

    name: str
    classes: tuple[str, ...]
    source: Mapping[str, Any]
    options: Mapping[str, Any]


def finish(
    output: str,
    planned: Iterable[PlannedShard],
    description: Description,
    limit: RejectLimit,
) -> Dataset:
    """Write rejects.jsonl and dataset.json from the notes of all shards, then drop the notes.

    Several tasks may do this at the same time: they write the same bytes, and dataset.json only
    if it is absent.

    Args:
        output: Dataset directory.
        planned: All shards, of all tasks.
        description: The rest of dataset.json.
        limit: Holds what was rejected unread; takes in what the notes say.

    Raises:
        NotFoundError: A note is missing; another task has finished the dataset in the meantime.
        DataError: More rejects than the limit allows.
    """
    shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    with Leakage() as leakage:
        for plan in planned:
            note = read_note(output, plan.file)
            limit.add(note.rejects)
            leakage.add(plan.split, note)
            if note.shard.records:
                shards[plan.split].append(note.shard)
        dataset = Dataset(
            path=output,
            name=description.name,
            classes=description.classes,
            splits={split: Split(tuple(found)) for split, found in shards.items()},
            source=description.source,
            options=description.options,
            rejects={
                "images": len(limit.rejects),
                "reasons": _reasons(limit.rejects),
                "by_ending": _by_ending(limit.rejects),
            },
            leakage=leakage.summary(),
        )
    _check_counts(dataset)
    if not dataset.splits["train"].examples:
        raise DataError(f"no training example is left of {description.source['path']}")
    write_rejects(output, limit.rejects)
    try:
        storage.write_bytes(layout.dataset_file(output), to_json(dataset), if_absent=True)
    except PreconditionError:
        # A task that ended at the same moment was faster; it wrote the same bytes.
        return dataset
    drop_notes(output)
    return dataset


def write_rejects(output: str, rejects: Iterable[Reject]) -> None:
    """Write rejects.jsonl: a line of source_id, filename and reason for each."""
    lines = [json.dumps(asdict(reject)) + "\n" for reject in sorted(rejects)]
    storage.write_bytes(layout.rejects_file(output), "".join(lines).encode())


def _reasons(rejects: Iterable[Reject]) -> dict[str, int]:
    """Count rejects by the kind of reason: its text up to the first colon."""
    counts: dict[str, int] = {}
    for reject in sorted(rejects, key=lambda one: one.reason):
        kind = reject.reason.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _by_ending(rejects: Iterable[Reject]) -> dict[str, int]:
    counts = Counter(ending_of(reject.filename) for reject in rejects)
    return dict(sorted(counts.items()))


def passed_over(dataset: Dataset) -> int:
    """Count the files of the source that are no images of the dataset."""
    by_reason = dataset.source.get("passed_over", {}).values()
    return sum(number for endings in by_reason for number in endings.values())


def _check_counts(dataset: Dataset) -> None:
    """Hold that every file of the source became an example or a reject, or was passed over."""
    seen = sum(dataset.source["seen"].values())
    examples = sum(split.examples for split in dataset.splits.values())
    if seen != examples + dataset.rejects["images"] + passed_over(dataset):
        raise AssertionError(
            f"of {seen} files {examples} became examples, {dataset.rejects['images']} were "
            f"rejected and {passed_over(dataset)} passed over"
        )


def drop_notes(output: str) -> None:
    """Remove what only a dataset in the making needs."""
    building = layout.building_dir(output)
    if not storage.is_remote(output):
        shutil.rmtree(building, ignore_errors=True)
        return
    for found in list(storage.list_files(building)):
        storage.delete(found.path)


class Leakage:
    """Finds images that are there more than once, by what they show; on disk, as catalogues are."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("BEGIN")
        self._database.execute("CREATE TABLE images (fingerprint BLOB, split TEXT, source_id TEXT)")

    def __enter__(self) -> "Leakage":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, split: str, note: FinishedShard) -> None:
        """Take in the examples of a shard."""
        self._database.executemany(
            "INSERT INTO images VALUES (?, ?, ?)",
            ((bytes.fromhex(digits), split, name) for name, digits in note.fingerprints),
        )

    def summary(self) -> dict[str, Any]:
        """Count the test examples that training sees, and what is double within a split."""
        run = self._database.execute
        run("CREATE INDEX by_fingerprint ON images (fingerprint, split, source_id)")
        pairs = (
            "FROM images test JOIN images train USING (fingerprint) "
            "WHERE test.split = 'test' AND train.split = 'train'"
        )
        (leaked,) = run(f"SELECT count(DISTINCT test.source_id) {pairs}").fetchone()
        named = run(
            f"SELECT test.source_id, train.source_id {pairs} ORDER BY 1, 2 LIMIT ?",
            (_NAMED_PAIRS,),
        ).fetchall()
        double = {
            split: run(
                "SELECT count(*) - count(DISTINCT fingerprint) FROM images WHERE split = ?",
                (split,),
            ).fetchone()[0]
            for split in SPLITS
        }
        return {
            "compared": "decoded pixels",
            "test_examples_in_train": leaked,
            "first_pairs": [{"test": test, "train": train} for test, train in named],
            "duplicates_within": double,
        }
