"""How every `python -m job.*` command starts and ends.

Arguments become a configuration, errors a user can act on become one line and an exit code.
Anything else is a defect of ours and keeps its traceback.
"""

import contextlib
import errno
import logging
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from job import storage
from job.contract import flags
from job.contract.errors import (
    ConfigError,
    DeniedError,
    ExitCode,
    HelpRequested,
    JobError,
    NoSpaceError,
    PreemptedError,
)
from job.contract.wording import printable
from job.process import startup

ConfigT = TypeVar("ConfigT")
_FOLDERS = ("output", "run")
"""Settings that name a folder to write into, or one that was written."""


def run(
    main: Callable[[ConfigT], int | None],
    config_class: type[ConfigT],
    *,
    program: str,
    description: str,
    epilog: str = "",
    args: Sequence[str] | None = None,
) -> int:
    """Parse, run `main` and return the exit code.

    Args:
        main: Does the work; may return an exit code of its own. It imports TensorFlow itself, so
            that `--help` and a wrong flag are answered at once.
        config_class: The configuration that `main` takes.
        program: What a user types, as `python -m job.train`.
        description: One or two sentences for `--help`.
        epilog: Lines that stand below its flags.
        args: Arguments instead of the process's own.
    """
    startup.prepare()
    logging.basicConfig(level=logging.INFO, handlers=[_log_handler()])
    for talkative in ("tensorflow", "absl", "matplotlib"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    try:
        config = flags.parse(
            config_class, sys.argv[1:] if args is None else args, read=storage.read_bytes
        )
    except HelpRequested:
        print(
            "\n\n".join(filter(None, (flags.help_text(config_class, program, description), epilog)))
        )
        return ExitCode.DONE
    except ConfigError as error:
        print(f"error: {printable(str(error))}\n(see {program} --help)", file=sys.stderr)
        return error.exit_code
    deadline_s = getattr(config, "storage_deadline_s", None)
    if deadline_s is not None:
        project = getattr(config, "billing_project", "")
        storage.configure(deadline_s=deadline_s, billing_project=project)
    try:
        _check_folders(config)
        with _sigterm_ends_it():
            return main(config) or ExitCode.DONE
    except PreemptedError as error:
        print(
            printable(str(error)), file=sys.stderr, flush=True
        )  # No error: somebody wanted it so.
        return error.exit_code
    except JobError as error:
        return _report(error)
    except OSError as error:
        known = _known_os_error(error)
        if known is None:
            raise
        return _report(known)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


class _PrintableLines(logging.Formatter):
    """Writes messages so that a name in them, of a file or of a class, cannot steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _log_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableLines("%(message)s"))
    return handler


def _check_folders(config: object) -> None:
    for name in _FOLDERS:
        storage.check_folder(getattr(config, name, ""), f"--{name}")


@contextlib.contextmanager
def _sigterm_ends_it() -> Iterator[None]:
    """Leave on SIGTERM wherever nothing better is done about it, see `job/process/stop_request.py`.

    The first process of a container has no default action: it would ignore the signal and be
    killed after the grace period.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(_signal: int, _frame: types.FrameType | None) -> None:
    raise PreemptedError("stopped on request")


def _report(error: JobError) -> int:
    sys.stderr.flush()
    line = printable(" ".join(str(error).split()))
    print(f"error: {line}", file=sys.stderr, flush=True)
    return error.exit_code


def _known_os_error(error: OSError) -> JobError | None:
    """Turn what a disk says into an error a user can act on."""
    where = error.filename or "the disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"no space left for {where}; free some or choose another folder")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DeniedError(f"not allowed to write or read {where}: {error.strerror}")
    return None
