"""A person at a terminal, with a kubeconfig for an API server over HTTP."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launcher import cli
from tests.launcher.fake_apiserver import FakeApiServer

Launcher = Callable[..., tuple[int, str, str]]


@pytest.fixture
def launcher(server: FakeApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Launcher:
    """Run a command; gives exit code, stdout and stderr."""
    kubeconfig = server.kubeconfig(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        code = cli.main([argv[0], "--kubeconfig", kubeconfig, *argv[1:]])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An empty run directory."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder
