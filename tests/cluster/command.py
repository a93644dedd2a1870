"""`python -m launcher` as a person types it, in a folder with a launcher.yaml."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import paths


@dataclass(frozen=True)
class Ended:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What `-o json` printed."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """All that a person saw."""
        return self.out + self.err


class Launcher:
    """The launcher's command, for one namespace; shows all it does on standard output."""

    def __init__(
        self,
        folder: Path,
        *,
        kubeconfig: Path,
        namespace: str,
        settings: Mapping[str, Any],
        env: Mapping[str, str],
    ) -> None:
        self.namespace = namespace
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._env = dict(env)
        values = {"namespace": namespace, **settings}
        text = yaml.safe_dump({"defaults": values})
        (folder / "launcher.yaml").write_text(text)
        self("trust")

    def __call__(self, *arguments: str, code: int | None = 0, timeout_s: float = 240) -> Ended:
        """Run a command to its end.

        Args:
            arguments: What is typed after `launcher`.
            code: The exit code that is right; None takes any.
            timeout_s: Seconds after which the command has failed.
        """
        started = time.monotonic()
        ended = subprocess.run(
            self._command(arguments),
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        took = time.monotonic() - started
        print(f"$ launcher {shlex.join(arguments)}    # {ended.returncode}, {took:.1f} s")
        print(f"{ended.stdout}{ended.stderr}", flush=True)
        if code is not None:
            assert ended.returncode == code, f"`launcher {shlex.join(arguments)}`: {ended}"
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str) -> "Running":
        """Start a command that goes on for a while."""
        log = self._folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self._command(arguments),
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return Running(shlex.join(arguments), process, log)

    def as_user(self, kubeconfig: Path) -> "Launcher":
        """Give the same launcher in the hands of somebody else."""
        other = object.__new__(Launcher)
        other.__dict__.update(self.__dict__, _kubeconfig=kubeconfig)
        return other

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "launcher", *arguments]

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "KUBECONFIG": str(self._kubeconfig),
            "PYTHONPATH": str(paths.ROOT),
            "XDG_DATA_HOME": str(self._folder / "data"),
            "NO_PROXY": "*",
            "no_proxy": "*",
            **self._env,
        }


@dataclass(frozen=True)
class Running:
    """A launcher command that has not ended yet."""

    arguments: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def text(self) -> str:
        """Give what it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self, timeout_s: float) -> Ended:
        """Wait for its end."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"`launcher {self.arguments}` still runs after {timeout_s:g} s:\n{self.text()}"
            ) from None
        print(f"$ launcher {self.arguments}    # {code}\n{self.text()}", flush=True)
        return Ended(code, self.text(), "")

    def interrupt(self) -> Ended:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(20)
