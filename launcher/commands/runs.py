"""`launcher runs`: all runs of a folder as a table; `launcher runs diff`: two of them compared."""

import argparse
import time
from typing import TYPE_CHECKING

from launcher.context import Context
from launcher.errors import UsageError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.runs.record import RunRecord

NAME = "runs"
HELP = "Show all runs of a folder or bucket, or compare two of them."
EPILOG = """Everything is read from the run directories, so runs whose jobs are gone, or ran
elsewhere, are there too. TOP-1 is that of the best evaluation during training, TEST that of the
report which `launcher evaluate` writes. Settings in which the runs differ are columns; -o wide
shows all of them. --where and --sort-by take the trainer's settings and name, state, step, top1,
top5, test_top1, images_per_s, gpu_hours, trained_s, attempts, started, by, dataset, job.

examples:
  launcher runs
  launcher runs gs://my-bucket/runs --where 'learning_rate>0.001' --where 'name~flowers-*'
  launcher runs --sort-by top1 -o csv > runs.csv
  launcher runs diff flowers-1 flowers-2"""

_DIFF = "diff"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which runs, and how to show them."""
    from launcher.settings import fields

    parser.add_argument(
        "words", metavar="ROOT", nargs="*",
        help="folder of runs (default: the run root), or: diff RUN RUN",
    )  # fmt: skip
    arguments.add_where(parser)
    parser.add_argument(
        "--sort-by", metavar="NAME", default="started",
        help="fact or setting to sort by: the largest number first (default: started)",
    )  # fmt: skip
    parser.add_argument("--reverse", action="store_true", help="sort the other way round")
    fields.add_flags(parser, "run_root")
    parser.add_argument(
        "-o", "--output", choices=("json", "yaml", "csv", "wide", "name"), metavar="FORMAT",
        help="print as json, yaml, csv, wide or name",
    )  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the table, or the comparison."""
    from job import storage
    from launcher.runs import choice

    started = time.monotonic()
    if args.words[:1] == [_DIFF]:
        return _diff(args, context)
    if len(args.words) > 1:
        raise UsageError(f"one folder of runs, not {len(args.words)}; or: launcher runs diff A B")
    root = choice.root_of(args.words[0] if args.words else "", context.settings)
    records = choice.selected(root, args.where, context, args.sort_by, reverse=args.reverse)
    _print(records, args.output, context)
    if not args.output:
        counts = storage.request_counts()
        asked = f", {sum(counts.values()):,} requests" if counts else ""
        context.output.note(
            f"{len(records):,} runs in {root} ({time.monotonic() - started:.1f} s{asked})"
        )
    return 0


def _print(records: "list[RunRecord]", output_format: str | None, context: Context) -> None:
    from launcher.runs import table

    output = context.output
    if output_format == "csv":
        output.print(table.as_csv(records).rstrip("\n"))
    elif output_format == "name":
        for record in records:
            output.print(record.path)
    elif output_format in ("json", "yaml"):
        output.document(table.data(records), output_format)
    elif records:
        wide = output_format == "wide"
        output.table(*table.rows(records, output, time.time(), wide=wide))
        if not wide and table.hidden(records):
            output.note(f"they also differ in {', '.join(table.hidden(records))}: -o wide")


def _diff(args: argparse.Namespace, context: Context) -> int:
    """Compare two runs; 1 if something differs, as `launcher diff` does."""
    from launcher.observe import run_paths
    from launcher.runs import reading, table

    names = args.words[1:]
    if len(names) != 2:
        raise UsageError("name two runs: launcher runs diff RUN RUN")
    pair = []
    for name in names:
        path = run_paths.run_directory(name, context).rstrip("/")
        found = reading.read_each([path], path.rpartition("/")[0])
        if not found:
            raise run_paths.absent(path)
        pair += found
    differences = table.comparison(pair[0], pair[1])
    output = context.output
    if args.output in ("json", "yaml"):
        rows = [dict(zip(("name", *names), row, strict=True)) for row in differences]
        output.document(rows, args.output)
    elif differences:
        output.table(
            ["", *(output.style(each.name) for each in pair)],
            [[output.style(cell) for cell in row] for row in differences],
        )
    else:
        output.note("no difference")
    return 1 if differences else 0
