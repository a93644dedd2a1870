"""The first steps on a cluster, in the order in which README gives them and each names the next."""

import re
from pathlib import Path

import pytest

from launcher.api.connection import Cluster
from launcher.settings import questions
from tests.launcher.commands.conftest import Launcher

README = Path(__file__).parents[3] / "README.md"


def test_setup_then_init_then_check(launcher: Launcher, cluster: Cluster) -> None:
    """What `setup` has made is what `init` offers."""
    steps = re.findall(
        r"^python -m launcher (setup|init|check)\b", README.read_text(), re.MULTILINE
    )
    assert steps == ["setup", "init", "check"]
    code, _, err = launcher("setup", "-n", "team")
    assert code == 0
    assert "next: launcher init -n team, then launcher check" in err
    assert "food101-job" in questions.look(cluster)["service_account"]


def test_init_names_what_comes_next(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    code, out, err = launcher("init", "-n", "team", "--non-interactive", "--image=a/b:1")
    assert (code, out) == (0, "launcher.yaml written\n")
    assert "next: launcher check" in err
