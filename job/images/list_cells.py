"""From the bytes of a list to the cells of its entries: encodings, separators, quotes, JSON."""

import csv
import io
import json
import logging
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from job.contract.errors import DataError
from job.images.file_kinds import has_image_ending
from job.images.list_columns import is_known

_log = logging.getLogger(__name__)

TABLE_ENDINGS = (".csv", ".tsv")
LINE_ENDINGS = (".jsonl", ".ndjson")
PLAIN_ENDINGS = (".txt", ".lst", ".list")

_SEPARATORS = ",;\t|"
_HEAD_CHARACTERS = 1 << 16
_LONGEST_CELL = 1 << 20


class TableReader:
    """A table of text, of which the separator is found by its first line with content.

    Args:
        text: Open at its beginning.
        name: For its ending, and for messages.
        labelled: Whether entries have several cells at all: plain lists of paths have one.
    """

    def __init__(self, text: TextIO, name: str, *, labelled: bool) -> None:
        self._name = name
        self._text = text
        self._head = self._text.read(_HEAD_CHARACTERS)
        self._labelled = labelled

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number, stripped cells) of each row with content.

        Raises:
            DataError: It is no table.
        """
        first = next((line for line in self._head.splitlines() if line.strip()), "")
        lines = self._lines()
        if first.lower().startswith("sep=") and len(first) == 5:  # Excel's own remark
            next(lines)
            separator, before = first[4], 1
        else:
            separator, before = self._separator(first), 0
        for number, row in self._split(lines, separator):
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield before + number, cells

    def _split(self, lines: Iterator[str], separator: str) -> Iterator[tuple[int, list[str]]]:
        if separator in ("", " "):
            for number, line in enumerate(lines, 1):
                yield number, line.rsplit(None, 1) if separator else [line]
            return
        csv.field_size_limit(_LONGEST_CELL)
        reader = csv.reader(lines, delimiter=separator)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            where = f"{self._name}, line {reader.line_num}"
            raise DataError(f"{where}: not CSV: {error}") from error

    def _separator(self, first: str) -> str:
        """Choose what separates cells: empty if nothing does, a space for the last one of many."""
        lower = self._name.lower()
        plain = lower.endswith(PLAIN_ENDINGS)
        if lower.endswith(".tsv"):
            return "\t"
        if plain and not self._labelled:
            return ""
        rows = {one: next(csv.reader([first], delimiter=one), []) for one in _SEPARATORS}
        best = max(_SEPARATORS, key=lambda one: _fitness(rows[one]))
        if len(rows[best]) > 1:
            return best
        return " " if plain and len(first.split()) > 1 else ","

    def _lines(self) -> Iterator[str]:
        head = io.StringIO(self._head, newline="")
        for line in head:
            if not line.endswith(("\n", "\r")):
                line += self._text.readline()  # The head ended within it.
            yield line
        yield from self._text


def _fitness(row: list[str]) -> tuple[int, bool, bool]:
    """Rank separators by the first row that they make: of known names, of a path and a label."""
    several = len(row) > 1
    return several * sum(map(is_known, row)), several and has_image_ending(row[0]), several


def objects(text: TextIO) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of each line of JSON with content; None for what is no JSON."""
    for number, line in enumerate(text, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def decoded(file: BinaryIO, name: str) -> TextIO:
    """Open a list as text: UTF-8 with or without its mark, or UTF-16 with one, which is said."""
    start = file.read(4)
    file.seek(0)
    encoding = "utf-8-sig"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        _log.info("%s is read as UTF-16", name)
        encoding = "utf-16"
    elif b"\0" in start:
        raise DataError(f"{name} seems to be UTF-16 without its mark; save it as UTF-8")
    return io.TextIOWrapper(file, encoding=encoding, newline="")
