"""Which git revision a job is told to come from: the user's project, or the product."""

import subprocess
from pathlib import Path

import pytest

import launcher
from launcher.describe import provenance
from launcher.settings.fields import Settings


def repository(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("x", encoding="utf-8")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return provenance.git_revision(str(folder))


def recorded() -> str:
    return provenance.describe(Settings()).git_revision


def test_it_is_the_project_with_the_settings_or_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands in another repository has not made the job from that."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    product = Path(launcher.__file__).parents[1]
    own = provenance.git_revision(str(product)) if provenance.checkout(str(product)) else ""
    other = repository(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    assert other
    assert recorded() == own
    (tmp_path / "launcher.yaml").write_text("{}", encoding="utf-8")  # Above it, not of it.
    assert recorded() == own
    (tmp_path / "other" / "launcher.yaml").write_text("{}", encoding="utf-8")
    (tmp_path / "other" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "other" / "deep")
    assert recorded() == other, "untracked files are no change of it"
