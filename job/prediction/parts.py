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
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from job import storage
from job.contract import layout, schema
from job.contract.errors import DataError
from job.contract.schema import Count, Scalar, Word
from job.prediction.listing import Listing
from job.storage import documents
from job.storage.interface import NotFoundError, PreconditionError

SUMMARY_FORMAT = 1
_READS_AT_ONCE = 16

Likely = TypedDict("Likely", {"class": str, "label": int, "probability": float})
"""One of the likeliest classes of an image."""


class PredictionRow(TypedDict):
    """A row of a part."""

    image: str
    generation: int | None
    top: list[Likely]
    model: str
    embedding: NotRequired[list[float] | None]


class RejectRow(TypedDict):
    """A row of the rejects of a part."""

    image: str
    generation: int | None
    reason: str
    detail: str


@dataclass
class PartRows:
    """The rows of one part, in the order of the listing."""

    predictions: list[PredictionRow] = field(default_factory=list)
    rejects: list[RejectRow] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Images of the part that are accounted for."""
        return len(self.predictions) + len(self.rejects)


@dataclass(frozen=True)
class Counts:
    """How many images were predicted, and how many rejected for each reason."""

    predicted: Count
    reasons: Mapping[Word, Count]

    @property
    def rejected(self) -> int:
        """Number of rejected images."""
        return sum(self.reasons.values())

    @property
    def seen(self) -> int:
        """Number of all images."""
        return self.predicted + self.rejected


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The content of summary.json: what became of all images, and what they were made with."""

    format: int = SUMMARY_FORMAT
    seen: Count
    predicted: Count
    rejected: Count
    reasons: Mapping[Word, Count]
    parts: Count
    listing: Mapping[Word, Scalar] = field(default_factory=dict)
    made_with: Mapping[Word, Scalar] = field(default_factory=dict)
    passed_over: Mapping[Word, Count] = field(default_factory=dict)
    """Files among the images that are none, by their ending."""


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
            counts = documents.read(self._note_path(part), Counts)
        except (NotFoundError, DataError):
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

    def write_summary(self, summary: Summary) -> None:
        """Write summary.json, unless another task has, and clear away the counts of the parts."""
        try:
            documents.write(layout.summary_file(self._listing.output), summary, if_absent=True)
        except PreconditionError:
            return
        for part in range(self._listing.parts):
            storage.delete(self._note_path(part))
        if not storage.is_remote(self._listing.output):
            with contextlib.suppress(OSError):  # Another task may still write into it.
                os.rmdir(os.path.dirname(self._note_path(0)))

    def read_rows(self, part: int) -> tuple[list[PredictionRow], list[RejectRow]]:
        """Read a committed part back: its predictions and its rejects.

        Raises:
            DataError: One of its two files is damaged.
        """
        path = self.rejects_path(part)
        rejects = _from_jsonl(storage.read_bytes(path), path)
        return self._predictions(part), schema.convert(rejects, list[RejectRow], what=path)

    def _predictions(self, part: int) -> list[PredictionRow]:
        path = self.part_path(part)
        return decode_rows(storage.read_bytes(path), self._format, path)

    def _beside_committed(self, part: int, rows: PartRows) -> PartRows:
        """Give the committed predictions of an attempt that died, and rejects that complete them.

        An image that is readable now but was not then stays rejected: its part is committed.
        """
        committed = self._predictions(part)
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
        documents.write(self._note_path(part), counts)

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


def summary_of(listing: Listing, counts: Counts, plan: Mapping[str, Scalar]) -> Summary:
    """Give what summary.json holds."""
    return Summary(
        seen=counts.seen,
        predicted=counts.predicted,
        rejected=counts.rejected,
        reasons=counts.reasons,
        parts=listing.parts,
        listing={
            "images": listing.images,
            "kind": listing.kind,
            "count": listing.count,
            "bytes": listing.bytes,
            "sha256": listing.sha256,
        },
        made_with={name: value for name, value in plan.items() if name != "format"},
        passed_over=listing.passed_over,
    )


def read_summary(output: str) -> Summary:
    """Read the counts of a finished prediction.

    Raises:
        NotFoundError: It is not finished.
        DataError: The file is not a summary.
    """
    return documents.read(layout.summary_file(output), Summary, formats=(SUMMARY_FORMAT,))


def encode_rows(rows: Sequence[Mapping[str, Any]], file_format: str) -> bytes:
    """Write rows of predictions as JSONL or Parquet."""
    if file_format == "jsonl":
        return _to_jsonl(rows)
    import pyarrow.parquet

    columns = _parquet_schema(pyarrow)
    named = [{**row, "image": _as_text(row["image"])} for row in rows]
    target = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(named, schema=columns), target, compression="zstd"
    )
    return target.getvalue()


def decode_rows(content: bytes, file_format: str, path: str) -> list[PredictionRow]:
    """Read back what `encode_rows` wrote, from a file that messages call `path`.

    Raises:
        DataError: It holds something else.
    """
    rows = _from_jsonl(content, path) if file_format == "jsonl" else _from_parquet(content, path)
    return schema.convert(rows, list[PredictionRow], what=path)


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


def _from_jsonl(content: bytes, path: str) -> list[Any]:
    # Not the schema layer's decoder: names can hold lone surrogates, which only json reads.
    try:
        return [json.loads(line) for line in content.splitlines()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _from_parquet(content: bytes, path: str) -> list[Any]:
    import pyarrow.parquet

    try:
        rows: list[Any] = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    return rows
