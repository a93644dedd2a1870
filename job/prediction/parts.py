"""The files of a prediction: parts, rejects, counts and the summary.

The predictions of a part are written on the condition that nobody has written any: whoever's are
there own the part. Its rejects follow: they are the part's other images, so that it does not
matter who writes them, should the owner die in between; the part is finished once they are
there. The summary, last, adds up the counts of all parts.
"""

import contextlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from job import storage
from job.contract import layout
from job.contract.errors import DataError
from job.prediction.listing import Listing
from job.storage.interface import NotFoundError, PreconditionError

_READS_AT_ONCE = 16


@dataclass
class PartRows:
    """The rows of one part, in the order of the listing."""

    predictions: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Images of the part that are accounted for."""
        return len(self.predictions) + len(self.rejects)


@dataclass(frozen=True)
class Counts:
    """How many images were predicted, and how many rejected for each reason."""

    predicted: int
    reasons: Mapping[str, int]

    @property
    def rejected(self) -> int:
        """Number of rejected images."""
        return sum(self.reasons.values())

    @property
    def seen(self) -> int:
        """Number of all images."""
        return self.predicted + self.rejected


class PartStore:
    """The parts of one prediction.

    Args:
        listing: What is predicted.
        file_format: jsonl or parquet.
    """

    def __init__(self, listing: Listing, file_format: str) -> None:
        self._listing = listing
        self._format = file_format

    def part_path(self, part: int) -> str:
        """Locate the predictions of a part."""
        name = layout.part_file(part, self._listing.parts, self._format)
        return layout.join(self._listing.output, name)

    def rejects_path(self, part: int) -> str:
        """Locate the rejects of a part."""
        name = layout.rejects_part_file(part, self._listing.parts)
        return layout.join(self._listing.output, name)

    def finished(self, parts: Iterable[int]) -> set[int]:
        """Say which of some parts are finished: one listing, however many they are."""
        there = {stat.path for stat in storage.list_files(self._listing.output)}
        return {part for part in parts if {self.part_path(part), self.rejects_path(part)} <= there}

    def commit(self, part: int, rows: PartRows) -> bool:
        """Write a part; False if another attempt was first, whose predictions then stay."""
        expected = len(self._listing.part_range(part))
        if rows.seen != expected:
            raise AssertionError(f"part {part} has {rows.seen} rows for {expected} images")
        won = _written(self.part_path(part), encode_rows(rows.predictions, self._format))
        if not won:
            if storage.exists(self.rejects_path(part)):
                return False
            rows = self._beside_committed(part, rows)
        if _written(self.rejects_path(part), _to_jsonl(rows.rejects)):
            self._write_counts(part, counts_of(rows))
        return won

    def counts(self, part: int) -> Counts:
        """Read a committed part's counts; make them up from its files if they are missing.

        Raises:
            DataError: They do not add up to the images of the part.
        """
        try:
            raw = json.loads(storage.read_bytes(self._note_path(part)))
            counts = Counts(raw["predicted"], raw["reasons"])
        except NotFoundError:
            counts = self._count_again(part)
        expected = len(self._listing.part_range(part))
        if counts.seen != expected:
            raise DataError(
                f"{self.part_path(part)} and its rejects have {counts.seen} rows for {expected} "
                "images; delete both and start again"
            )
        return counts

    def total(self) -> Counts:
        """Add up the counts of all parts, each checked."""
        predicted, reasons = 0, Counter[str]()
        with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="counts") as threads:
            for counts in threads.map(self.counts, range(self._listing.parts)):
                predicted += counts.predicted
                reasons.update(counts.reasons)
        return Counts(predicted, dict(sorted(reasons.items())))

    def write_summary(self, content: Mapping[str, Any]) -> None:
        """Write summary.json, unless another task has, and clear away the counts of the parts."""
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        try:
            storage.write_bytes(
                layout.summary_file(self._listing.output), text.encode(), if_absent=True
            )
        except PreconditionError:
            return
        for part in range(self._listing.parts):
            storage.delete(self._note_path(part))
        if not storage.is_remote(self._listing.output):
            with contextlib.suppress(OSError):  # Another task may still write into it.
                os.rmdir(os.path.dirname(self._note_path(0)))

    def read_rows(self, part: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Read a committed part back: its predictions and its rejects."""
        predictions = decode_rows(storage.read_bytes(self.part_path(part)), self._format)
        return predictions, _from_jsonl(storage.read_bytes(self.rejects_path(part)))

    def _beside_committed(self, part: int, rows: PartRows) -> PartRows:
        """Give the committed predictions of an attempt that died, and rejects that complete them.

        An image that is readable now but was not then stays rejected: its part is committed.
        """
        committed = decode_rows(storage.read_bytes(self.part_path(part)), self._format)
        there = {row["image"] for row in committed}
        rejects = [
            row for row in rows.rejects if not there & {row["image"], _as_text(row["image"])}
        ]
        rejects += [
            {
                "image": row["image"],
                "generation": row["generation"],
                "reason": "unreadable_then",
                "detail": "an attempt that was interrupted could not use it",
            }
            for row in rows.predictions
            if not there & {row["image"], _as_text(row["image"])}
        ]
        return PartRows(committed, sorted(rejects, key=lambda row: str(row["image"])))

    def _write_counts(self, part: int, counts: Counts) -> None:
        content = {"predicted": counts.predicted, "reasons": dict(counts.reasons)}
        storage.write_bytes(self._note_path(part), json.dumps(content).encode())

    def _count_again(self, part: int) -> Counts:
        predictions, rejects = self.read_rows(part)
        counts = counts_of(PartRows(predictions, rejects))
        self._write_counts(part, counts)
        return counts

    def _note_path(self, part: int) -> str:
        name = layout.part_file(part, self._listing.parts, self._format)
        return layout.part_note(self._listing.output, name)


def counts_of(rows: PartRows) -> Counts:
    """Count the rows of a part."""
    return Counts(len(rows.predictions), Counter(row["reason"] for row in rows.rejects))


def summary_of(listing: Listing, counts: Counts, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Give what summary.json holds."""
    described = {
        name: value
        for name, value in asdict(listing).items()
        if name not in ("output", "attempt", "part_size")
    }
    return {
        "format": 1,
        "seen": counts.seen,
        "predicted": counts.predicted,
        "rejected": counts.rejected,
        "reasons": dict(counts.reasons),
        "parts": listing.parts,
        "listing": described,
        "made_with": {name: value for name, value in plan.items() if name != "format"},
    }


def encode_rows(rows: Sequence[Mapping[str, Any]], file_format: str) -> bytes:
    """Write rows of predictions as JSONL or Parquet."""
    if file_format == "jsonl":
        return _to_jsonl(rows)
    import pyarrow.parquet

    schema = _parquet_schema(pyarrow)
    named = [{**row, "image": _as_text(row["image"])} for row in rows]
    target = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(named, schema=schema), target, compression="zstd"
    )
    return target.getvalue()


def decode_rows(content: bytes, file_format: str) -> list[dict[str, Any]]:
    """Read back what `encode_rows` wrote."""
    if file_format == "jsonl":
        return _from_jsonl(content)
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


def _parquet_schema(pyarrow: Any) -> Any:
    top = pyarrow.struct(
        [
            ("class", pyarrow.string()),
            ("label", pyarrow.int32()),
            ("probability", pyarrow.float32()),
        ]
    )
    return pyarrow.schema(
        [
            ("image", pyarrow.string()),
            ("generation", pyarrow.int64()),
            ("top", pyarrow.list_(top)),
            ("embedding", pyarrow.list_(pyarrow.float32())),
            ("model", pyarrow.string()),
        ]
    )


def _written(path: str, content: bytes) -> bool:
    """Write a file; False if there is one already."""
    try:
        storage.write_bytes(path, content, if_absent=True)
    except PreconditionError:
        return False
    return True


def _as_text(name: str) -> str:
    """Write a name in UTF-8: file names may hold bytes that are none, and Parquet's text not."""
    return name.encode("utf-8", "backslashreplace").decode()


def _to_jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)


def _from_jsonl(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]
