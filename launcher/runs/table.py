"""Runs as a table for people, as rows for spreadsheets, as plain data for programs. Pure."""

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

from launcher.manifests import units
from launcher.output import Output
from launcher.runs.record import FACTS, RunRecord, differing

STYLES = {
    "Done": "green", "Succeeded": "green", "Running": "green", "Failed": "red", "Lost": "red",
    "Damaged": "red", "Stopped": "yellow", "Cancelled": "yellow",
}  # fmt: skip
_RESULTS: dict[str, Callable[[Any], str]] = {
    "state": str, "step": "{:,}".format, "top1": "{:.2%}".format, "top5": "{:.2%}".format,
    "test_top1": "{:.2%}".format, "images_per_s": "{:,.0f}".format,
    "trained_s": units.format_seconds, "gpu_hours": "{:,.1f}".format, "attempts": str, "by": str,
}  # fmt: skip
_MOST_SETTINGS = 4
_LONGEST = 24


def rows(
    records: Sequence[RunRecord],
    output: Output,
    now: float,
    *,
    wide: bool,
    varied: Sequence[str] = (),
) -> tuple[list[str], list[list[str]]]:
    """Give header and rows; beside facts, the settings in which the runs differ.

    Args:
        records: The runs.
        output: Styles names and states.
        now: Seconds since 1970.
        wide: Whether to show everything.
        varied: The settings to show, where it is known which ones were varied.
    """
    settings = list(varied) or differing(list(records))
    shown = settings if wide else settings[:_MOST_SETTINGS]
    header = [
        "NAME",
        "STATE",
        "STEP",
        "TOP-1",
        "TEST",
        "IMAGES/S",
        "GPU-H",
        "ATTEMPTS",
        "AGE",
        "BY",
    ]
    header += ["DATASET", *(name.upper() for name in shown)]
    header += ["TRAINED", "JOB", "RUN", "PROBLEM"] if wide else []
    return header, [_row(record, output, now, shown, wide=wide) for record in records]


def _row(
    record: RunRecord, output: Output, now: float, settings: Sequence[str], *, wide: bool
) -> list[str]:
    cells = [
        output.style(record.name),
        output.style(record.state, *([STYLES[record.state]] if record.state in STYLES else [])),
        _step(record), _percent(record.top1), _percent(record.test_top1),
        _number(record.images_per_s, ",.0f"), _number(record.gpu_hours, ",.1f"),
        _number(record.attempts, "d"),
        units.format_seconds(now - record.started).split(" ")[0] if record.started else "-",
        output.style(record.by or "-"),
        output.style(_end(record.dataset) or "-"),
    ]  # fmt: skip
    cells += [output.style(_setting(record.settings.get(name))) for name in settings]
    if wide:
        trained = units.format_seconds(record.trained_s) if record.trained_s else "-"
        more = (trained, record.job or "-", record.path, record.problem or "-")
        cells += [output.style(text) for text in more]
    return cells


def hidden(records: Sequence[RunRecord]) -> list[str]:
    """Name the differing settings for which the usual table has no room."""
    return differing(list(records))[_MOST_SETTINGS:]


def _step(record: RunRecord) -> str:
    if record.step is None:
        return "-"
    if record.step == record.total_steps:
        return f"{record.step:,}"
    return f"{record.step:,}/{record.total_steps:,}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _setting(value: object) -> str:
    text = "-" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def _end(path: str) -> str:
    """Give the last part of a path: the name of a dataset's folder."""
    return path.rstrip("/").rpartition("/")[2]


def data(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Give all facts and settings as plain data."""
    return [dataclasses.asdict(record) for record in records]


def as_csv(records: Sequence[RunRecord]) -> str:
    """Write facts and differing settings as CSV, with a line of names (RFC 4180)."""
    settings = differing(list(records))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FACTS, *settings])
    for record in records:
        values = [record.value(name) for name in (*FACTS, *settings)]
        writer.writerow(["" if value is None else _for_spreadsheets(value) for value in values])
    return text.getvalue()


def _for_spreadsheets(value: object) -> object:
    """Keep a spreadsheet from taking a name that begins with = or @ for a formula."""
    text = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if text else value


def comparison(left: RunRecord, right: RunRecord) -> list[tuple[str, str, str]]:
    """List what differs between two runs, as (name, left, right): settings, then results."""
    both = [*dict.fromkeys((*left.settings, *right.settings))]
    found = [
        (f"--{name}", _shown(left.settings.get(name)), _shown(right.settings.get(name)))
        for name in both
        if name not in ("run", "resume", "overwrite")
        and repr(left.settings.get(name)) != repr(right.settings.get(name))
    ]
    for name, show in _RESULTS.items():
        old, new = getattr(left, name), getattr(right, name)
        if old != new:
            before, after = ("-" if v in (None, "") else show(v) for v in (old, new))
            found.append((name, before, after))
    return found


def _shown(value: object) -> str:
    return "-" if value in (None, "") else str(value)
