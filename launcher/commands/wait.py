"""`launcher wait`: until a job is over; the exit code is the job's cause."""

import argparse
import time
from typing import TYPE_CHECKING

from launcher.context import Context
from launcher.errors import NotFoundError, TimedOutError, UnreachableError

if TYPE_CHECKING:
    from launcher.diagnosis.finding import Finding
    from launcher.observe.prediction_progress import Pace
    from launcher.observe.state import State

NAME = "wait"
HELP = "Wait until a job is over, or runs."
EPILOG = """exit codes: 0 the job succeeded (or reached --for), 5 timeout, and for a job that failed
the code of its cause: 2 bad flag, 65 bad data, 66 missing input, 70 diverged, 77 denied,
137 killed (out of memory), 143 to 146 as `launcher why` explains them, else 1.

examples:
  launcher wait vgg19-4f2a10 && launcher export vgg19-4f2a10
  launcher wait vgg19-4f2a10 --for running --timeout 20m
  launcher wait vgg19-4f2a10 --for deleted"""

_EVERY_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job, and until when."""
    parser.add_argument("name", help="name of the job")
    parser.add_argument(
        "--for", dest="until", choices=("done", "running", "deleted"), default="done",
        help="what to wait for (default: done)",
    )  # fmt: skip
    parser.add_argument("--timeout", default="", metavar="TIME", help="give up after 30m, 12h, 7d")


def run(args: argparse.Namespace, context: Context) -> int:
    """Wait."""
    return _wait(args.name, context, until=args.until, timeout_s=_seconds(args.timeout))


def until_done(name: str, context: Context, timeout: str = "") -> int:
    """Wait until a job is over and give the exit code of its cause; for `submit --wait`."""
    return _wait(name, context, until="done", timeout_s=_seconds(timeout))


def _seconds(timeout: str) -> float:
    from launcher.manifests import units

    return units.parse_seconds(timeout, "--timeout") if timeout else float("inf")


def _wait(name: str, context: Context, *, until: str, timeout_s: float) -> int:
    from launcher.diagnosis.rules import diagnose
    from launcher.observe import gather, phase
    from launcher.observe.prediction_progress import Pace

    pace = Pace()
    end = time.monotonic() + timeout_s
    told = ""
    while True:
        try:
            state = gather.observe(context.cluster(), name, deep=False)
        except NotFoundError:
            if until == "deleted":
                return 0
            raise
        except UnreachableError as error:
            # The job does not depend on this machine's connection, and neither does waiting.
            told = _tell(context, f"connection lost, trying again: {error}", told)
            state = None
        if state is not None:
            word = phase.of_job(state.job, state.pods)
            told = _tell(context, _line(word, state, pace), told)
            if until == "running" and word in ("Running", "Succeeded"):
                return 0
            if word in phase.OVER and until != "deleted":
                finding = diagnose(gather.observe(context.cluster(), name, deep=True))
                return _end(state, finding, context)
        if time.monotonic() + _EVERY_S > end:
            what = {"done": "over", "running": "running", "deleted": "deleted"}[until]
            raise TimedOutError(f"{name} is not {what} yet; `launcher why {name}` says why")
        time.sleep(_EVERY_S)


def _line(word: str, state: "State", pace: "Pace") -> str:
    from launcher.observe import phase

    line = f"{state.job.name}: {word}, {phase.ready(state.job, state.pods)} workers"
    if state.prediction is not None:
        line += f", {pace.text(state.prediction, state.now, over=word in phase.OVER)}"
    progress = state.progress
    if word == "Running" and progress is not None and progress.total_steps:
        line += f", step {progress.step:,} of {progress.total_steps:,}"
    return line


def _tell(context: Context, line: str, told: str) -> str:
    """Write a line if it is news."""
    if line != told:
        context.output.progress(line)
    return line


def _end(state: "State", finding: "Finding", context: Context) -> int:
    """Say how it ended and give the code of the cause that is named."""
    context.output.note(finding.sentence)
    if state.job.succeeded:
        return 0
    code = finding.exit_code
    return code if code is not None and 0 < code < 256 else 1
