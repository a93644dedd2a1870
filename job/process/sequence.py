"""Commands run one after another by a parent that passes signals on and holds nothing itself.

Each is a process of its own, so what one has taken (a GPU's memory, above all) is free for the
next, and how it ended is known however it ended.
"""

import contextlib
import signal
import subprocess
import threading
import types
from collections.abc import Iterator, Mapping, Sequence

from job.contract.errors import ExitCode
from job.process import children

_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_SIGNALLED = 128


class Sequencer:
    """Runs commands, until a signal asks to leave."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = threading.Event()

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Pass signals on to the command that runs, and start none after one came."""
        before = {number: signal.signal(number, self._on_signal) for number in _PASSED_ON}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: types.FrameType | None) -> None:
        self._asked.set()
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run a command to its end; its exit code, as a shell gives it for a signal too."""
        if self._asked.is_set():
            return ExitCode.PREEMPTED
        # A session of its own: the terminal's Ctrl-C comes once, through this process.
        self._child = subprocess.Popen(
            children.tied(command, signal.SIGTERM), env=dict(environ), start_new_session=True
        )
        if self._asked.is_set():  # It came while the child was being made.
            self._child.terminate()
        code = self._child.wait()
        self._child = None
        return code if code >= 0 else _SIGNALLED - code
