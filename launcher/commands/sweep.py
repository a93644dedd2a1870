"""`launcher sweep`: many runs that differ in a few settings, run and shown as one."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from launcher.context import Context
from launcher.errors import NotFoundError, UsageError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.runs.record import RunRecord
    from launcher.sweeps.plan import Sweep

NAME = "sweep"
HELP = "Train with several settings at once, and compare."
EPILOG = """A trainer's flag with several values, with commas, makes a trial of each combination;
with --samples some are drawn, from ranges as well: LOW..HIGH, or log:LOW..HIGH. Every trial has a
run directory of its own, RUN_ROOT/NAME/001 and so on. With a queue all trials are sent at once,
else --parallel at a time while this command runs. The same command goes on with a sweep that was
interrupted.

examples:
  launcher sweep --gpus 2 --parallel 4 -- --learning_rate=0.001,0.003,0.01 --epochs=5,10
  launcher sweep --name lr --samples 20 --stop-early -- --learning_rate=log:1e-4..1e-2
  launcher sweep status lr
  launcher sweep cancel lr
  launcher sweep delete lr"""

_SENT_AT_ONCE = 4
_VERBS = ("status", "cancel", "delete")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sweep, or what to do with one."""
    parser.add_argument(
        "words", metavar="VERB NAME", nargs="*", help="status, cancel or delete, and the sweep"
    )
    group = parser.add_argument_group("sweep")
    group.add_argument(
        "--parallel", metavar="N", type=int, default=1, help="trials at a time (default: 1)"
    )
    group.add_argument("--samples", metavar="N", type=int, help="draw so many combinations")
    group.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of what is drawn (default: 0)"
    )
    group.add_argument(
        "--stop-early", action="store_true",
        help="end trials that are worse than the median of the others at the same step",
    )  # fmt: skip
    arguments.add_training(parser)
    arguments.add_output(parser, "csv", "wide")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the trials, or show or end them."""
    from launcher.runs import choice
    from launcher.sweeps import store

    root = choice.root_of("", context.settings)
    if not args.words:
        return _run(args, root, context)
    if len(args.words) != 2 or args.words[0] not in _VERBS:
        raise UsageError(
            f"a verb ({', '.join(_VERBS)}) and the name of a sweep, not {' '.join(args.words)!r}; "
            "a new sweep has its name by --name"
        )
    verb, name = args.words
    folder = name if "/" in name else store.directory(root, name)
    sweep = store.load(folder.rstrip("/"))
    if verb == "status":
        return _status(folder.rstrip("/"), sweep, args, context)
    return _end(sweep, verb, context)


def _run(args: argparse.Namespace, root: str, context: Context) -> int:
    from launcher import kinds
    from launcher.sending import submit
    from launcher.sending.options import SendOptions
    from launcher.sweeps import plan, running, store

    if args.parallel < 1 or (args.samples is not None and args.samples < 1):
        raise UsageError("--parallel and --samples must be at least 1")
    if args.run:
        raise UsageError("each trial has a run directory of its own; give --run-root instead")
    planned = plan.make(args.job_flags, name=args.name or "", samples=args.samples, seed=args.seed)
    folder = store.directory(root, planned.name)
    chosen = submit.choose_backend(context.settings, SendOptions(), context)
    here = chosen.kind is kinds.LOCAL
    queued = bool(context.settings.queue) and not here
    sweep = store.open_sweep(folder, planned)
    count = len(sweep.trials)
    parallel = min(_SENT_AT_ONCE if queued else args.parallel, count)
    if queued and args.stop_early:
        raise UsageError("--stop-early needs a command that waits; leave --queue out of the sweep")
    how = "sent to the queue" if queued else f"{parallel} at a time"
    context.output.print(
        f"{context.output.style(sweep.name, 'bold')}: {count} trials, {how}, in {folder}"
    )
    settings = running.Settings(
        options=_options(args, chosen.kind.name),
        parallel=parallel,
        stop_early=args.stop_early,
        here=here,
        queued=queued,
    )
    code = running.Runner(folder, sweep, settings, context.output, context.environ).run()
    _status(folder, store.load(folder), args, context)
    return code


def _options(args: argparse.Namespace, backend: str) -> list[str]:
    """Write down again what was typed, for the `launcher submit` of a trial."""
    from launcher.settings import fields

    given = fields.as_flags(args, leave_out=("backend", "run_root"))
    return [f"--backend={backend}", *given]


def _status(folder: str, sweep: "Sweep", args: argparse.Namespace, context: Context) -> int:
    """Print a table of all trials, the best first, and name it."""
    from launcher.runs import jobs, table
    from launcher.sweeps import store

    output = context.output
    found = store.records(folder, sweep)
    known = jobs.with_jobs(list(found.values()), context)
    by_name = dict(zip(found, known, strict=True))
    rows = [_row(trial.name, by_name.get(trial.name), sweep) for trial in sweep.trials]
    rows.sort(key=lambda row: (row.top1 is None, -(row.top1 or 0.0), row.name))
    if args.output in arguments.FORMATS:
        output.document({"name": sweep.name, "trials": table.data(rows)}, args.output)
    elif args.output == "csv":
        output.print(table.as_csv(rows).rstrip("\n"))
    else:
        wide, varied = args.output == "wide", list(sweep.trials[0].settings)
        output.table(*table.rows(rows, output, time.time(), wide=wide, varied=varied))
        _say_best(rows, sweep, context)
    return 0


def _row(name: str, record: "RunRecord | None", sweep: "Sweep") -> "RunRecord":
    import dataclasses

    from launcher.runs.record import RunRecord

    trial = next(trial for trial in sweep.trials if trial.name == name)
    if record is None:
        settings: dict[str, Any] = dict(trial.settings)
        return RunRecord(name=name, path="", state="Waiting", settings=settings)
    state = "Stopped early" if name in sweep.stopped else record.state
    return dataclasses.replace(record, name=name, state=state)


def _say_best(rows: "list[RunRecord]", sweep: "Sweep", context: Context) -> None:
    over = sum(row.state in ("Done", "Stopped early") for row in rows)
    context.output.note(f"{over} of {len(rows)} trials are over")
    best = rows[0] if rows else None
    if best is None or best.top1 is None:
        return
    trial = next(trial for trial in sweep.trials if trial.name == best.name)
    context.output.print(f"best: {best.name} with top-1 {best.top1:.2%} ({trial}), {best.path}")


def _end(sweep: "Sweep", verb: str, context: Context) -> int:
    """Cancel or delete the jobs of all trials; what they wrote stays."""
    from launcher.commands import load
    from launcher.observe import gather, run_paths

    if not run_paths.has_cluster(context):
        raise UsageError(
            "trials on this machine end with the command that runs them (Ctrl-C there); their "
            "run directories are folders like any other"
        )
    wanted = {f"{sweep.name}-{trial.name}" for trial in sweep.trials}
    names = [job.name for job in gather.list_jobs(context.cluster()) if job.name in wanted]
    if not names:
        raise NotFoundError(f"no job of {sweep.name} is in namespace {context.namespace!r}")
    given = argparse.Namespace(name=names, no_wait=True, wait=False, ignore_not_found=True)
    return load(verb).run(given, context)
