"""Import TensorFlow without two notes that no log level holds back.

Where oneDNN is on, TensorFlow's shared libraries say so on stderr as soon as they are loaded,
before TF_CPP_MIN_LOG_LEVEL counts: four lines before the first word of every command.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

_NOTES = (b"oneDNN custom operations are on", b"before absl::InitializeLog() is called")
_STDERR = 2


def install() -> None:
    """Have the first import of TensorFlow in this process filtered, wherever it comes from."""
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _TensorFlowFinder())


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
    import tempfile  # Here, since the launcher imports this package too and must start fast.

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
