"""Parser, dispatch, and the one place where errors become messages and exit codes.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 timeout, 130 interrupted.
`submit --wait` and `wait` end with the cause of the job instead.
"""

import argparse
import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from job.contract.errors import ConfigError, HelpRequested, JobError
from launcher import commands
from launcher.context import Context
from launcher.errors import LauncherError, UsageError
from launcher.output import Output
from launcher.settings import arguments

_INTERRUPTED = 130
_COMMON_WITH_VALUE = (
    "--profile", "--settings", "--set", "--context", "-n", "--namespace", "--kubeconfig",
    "--billing-project",
)  # fmt: skip
_EXIT_CODES = "exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 timeout"


class _Parser(argparse.ArgumentParser):
    """An argparse parser with a short usage line and with UsageErrors that name what is near."""

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Show positional arguments in capitals, as the help shows the values of options."""
        action = super().add_argument(*names, **settings)
        if not action.option_strings and not action.metavar:
            action.metavar = action.dest.upper()
        return action

    def usage_line(self) -> str:
        """Name the positional arguments only; the options stand below."""
        words = [
            f"[{action.metavar or action.dest}]"
            if action.nargs in ("?", "*")
            else str(action.metavar or action.dest)
            for action in self._get_positional_actions()
        ]
        tail = ["[-- JOB FLAGS]"] if self.get_default("job_config") else []
        return " ".join([self.prog, *words, "[options]", *tail])

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{self._nearest(message)} (see {self.prog} --help)")

    def _nearest(self, message: str) -> str:
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        if not unknown:
            return ""
        near = difflib.get_close_matches(unknown[1], list(self._option_string_actions), n=1)
        close = f"; did you mean {near[0]}?" if near else ""
        job_config = self.get_default("job_config")
        if job_config is None:
            return close
        name = unknown[1].removeprefix("--")
        if name in {field.name for field in dataclasses.fields(job_config)}:
            return f"; a flag of the job itself goes after --: {self.prog} -- --{name}=VALUE"
        return close or "; flags of the job itself go after --"


def main(argv: Sequence[str]) -> int:
    """Run one command and give its exit code; errors are printed here, as one line."""
    output = Output(sys.stdout, sys.stderr, os.environ)
    try:
        return _dispatch(list(argv), output)
    except (LauncherError, JobError) as error:
        output.error(str(error))
        if isinstance(error, LauncherError):
            return error.exit_code
        return UsageError.exit_code if isinstance(error, ConfigError) else LauncherError.exit_code
    except KeyboardInterrupt:
        output.note("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, less) has enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(argv: list[str], output: Output) -> int:
    argv = _command_first(argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        if len(argv) > 1 and argv[0] == "help":
            argv = [argv[1], "--help"]
        else:
            output.print(overview())
            return 0
    if argv[0] == "--version":
        argv = ["version", "--client"]
    command = commands.load(_known(argv[0]))
    options, job_flags = _split_at_dashes(argv[1:])
    parser = command_parser(command)
    try:
        args = parser.parse_args(options)
    except SystemExit as stop:  # --help has been printed
        return int(stop.code or 0)
    if job_flags is not None:
        if "job_flags" not in args:
            raise UsageError(f"{command.NAME} takes no flags after --")
        args.job_flags = [*args.job_flags, *job_flags]
    try:
        return command.run(args, Context(args, output=output, environ=os.environ, stdin=sys.stdin))
    except HelpRequested:
        output.print(_help_on_job_flags(command.NAME, args.job_config))
        return 0


def command_parser(command: commands.Command) -> _Parser:
    """Make the parser of one command: its own arguments, then the common ones."""
    parser = _Parser(
        prog=f"launcher {command.NAME}",
        description=command.HELP,
        epilog=getattr(command, "EPILOG", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    arguments.add_common(parser)
    parser.usage = parser.usage_line().replace("%", "%%")
    return parser


def _help_on_job_flags(command: str, job_config: type[Any]) -> str:
    """Write what `launcher COMMAND ... -- --help` shows."""
    from job.contract import flags

    return flags.help_text(
        job_config,
        f"launcher {command} [options] --",
        "Flags of the job itself. Where it reads and writes is said by the command's own options.",
    )


def overview() -> str:
    """Write the help of the launcher itself: every command, by group, in one sentence."""
    lines = ["usage: launcher COMMAND [options] [-- flags of the job]", ""]
    lines.append("Train VGG19 on TensorFlow with Kubernetes, one command at a time.")
    for title, names in commands.GROUPS:
        lines += ["", f"{title}:"]
        lines += [f"  {name:<15} {commands.load(name).HELP}" for name in names]
    lines += ["", "launcher COMMAND --help shows the options of a command.", _EXIT_CODES]
    return "\n".join(lines)


def _known(name: str) -> str:
    if name in commands.names():
        return name
    close = difflib.get_close_matches(name, commands.names(), n=1)
    hint = f"did you mean {close[0]}?" if close else "launcher --help lists the commands"
    raise UsageError(f"unknown command {name!r}; {hint}")


def _command_first(argv: list[str]) -> list[str]:
    """Move common options that stand before the command behind it, as kubectl allows."""
    position = 0
    while position < len(argv) and argv[position].startswith("-"):
        option = argv[position]
        if option in _COMMON_WITH_VALUE:
            position += 2
        elif option.split("=", 1)[0] in _COMMON_WITH_VALUE:
            position += 1
        else:
            break
    if 0 < position < len(argv):
        return [argv[position], *argv[:position], *argv[position + 1 :]]
    return argv


def _split_at_dashes(argv: list[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in argv:
        return argv, None
    position = argv.index("--")
    return argv[:position], argv[position + 1 :]
