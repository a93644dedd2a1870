"""A process that takes one training step whenever it is told to; standard library only.

Each library under test runs in such a process of its own, also one of another virtual
environment, so that the steps of all can be interleaved in one run.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

BATCH, IMAGE_PX, CLASSES = 8, 224, 101


@dataclass(frozen=True)
class Timing:
    """One step: time on the clock, time on all cores together, and the loss."""

    wall_s: float
    cpu_s: float
    loss: float


def serve(steps: Mapping[str, Callable[[], float]]) -> None:
    """Take the step named on each line of stdin; each returns its loss when it is done."""
    _answer(ready=list(steps))
    for line in sys.stdin:
        name = line.strip()
        start, start_cpu = time.perf_counter(), time.process_time()
        loss = steps[name]()
        _answer(
            wall_s=time.perf_counter() - start, cpu_s=time.process_time() - start_cpu, loss=loss
        )
    _answer(peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def _answer(**content: Any) -> None:
    print(json.dumps(content), flush=True)


class Server:
    """The other end: starts a server's module and asks it for steps."""

    def __init__(self, python: str, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [python, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.names: list[str] = self._read()["ready"]

    def step(self, name: str) -> Timing:
        """Have one step taken."""
        assert self._process.stdin
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return Timing(**self._read())

    def close(self) -> float:
        """End the process; gives its peak memory in GB."""
        assert self._process.stdin
        self._process.stdin.close()
        peak: float = self._read()["peak_gb"]
        self._process.wait()
        return peak

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"{self._process.args} ended with code {self._process.wait()}")
