"""What every command of the job does first, before TensorFlow is imported.

Importing it takes seconds, reads the environment once, and writes to stderr.
"""

import importlib.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

from job.contract.errors import ExitCode

_ENVIRONMENT = {
    # What TensorFlow says of instruction sets and missing GPUs is nothing to act on.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "ERROR",
    # It switches oneDNN off by itself on processors that have AVX2 only, where a training step of
    # VGG19 takes a fifth less time with it (tests/benchmarks/train_step.py).
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
"""What TensorFlow reads when it is imported; a value that is set already counts."""

_NOTES = (b"oneDNN custom operations are on", b"before absl::InitializeLog() is called")
_STDERR = 2


def prepare() -> None:
    """Set up this process for a command of the job; call it before TensorFlow is imported.

    SIGTERM ends a container's first process from here on, TensorFlow finds its environment, and
    its import is quiet: where oneDNN is on, its libraries say so as soon as they are loaded, before
    any log level counts, in four lines before the first word of every command.
    """
    _obey_as_first_process()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    prepared = any(isinstance(finder, _TensorFlowFinder) for finder in sys.meta_path)
    if "tensorflow" not in sys.modules and not prepared:
        sys.meta_path.insert(0, _TensorFlowFinder())


def _obey_as_first_process() -> None:
    """Make SIGTERM end a container's first process, as it ends any other, with code 143.

    The kernel keeps from process 1 every signal that it has not asked for: without this, what
    does not use `StopRequest`, or is still importing TensorFlow, would sit through the whole grace
    period. Everything written is committed by a last step, so that leaving at once loses nothing.
    """
    if os.getpid() != 1 or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(ExitCode.PREEMPTED))


class _TensorFlowFinder:
    """Finds TensorFlow as usual, once, and wraps the running of its code."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _without_notes(execute, module)  # type: ignore[method-assign]
        return spec


def _without_notes(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Run a module's code; what it wrote to stderr follows afterwards, but for the notes."""
    with tempfile.TemporaryFile() as written:
        terminal = os.dup(_STDERR)
        os.dup2(written.fileno(), _STDERR)
        try:
            execute(module)
        finally:
            sys.stderr.flush()
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            written.seek(0)
            for line in written:
                if not any(note in line for note in _NOTES):
                    os.write(_STDERR, line)
