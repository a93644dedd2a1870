"""Settings: where they come from, who wins, and what is refused."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import NotFoundError, UsageError
from launcher.settings import fields
from launcher.settings.fields import Settings

FILE = """\
profile: team
defaults:
  image: registry.example/food101:1
  env: {A: "1", B: "1"}
profiles:
  team:
    namespace: vision
    env: {B: "2"}
    gpus: 8
    spot: true
    train: {epochs: 5, preset: article}
    tolerations:
      - {key: dedicated, operator: Exists}
  other:
    namespace: elsewhere
"""


def resolve(folder: Path, text: str = FILE, **flags: Any) -> Settings:
    path = folder / "launcher.yaml"
    path.write_text(text)
    given: dict[str, Any] = {"settings": str(path), "profile": None, "overrides": []}
    return fields.resolve(argparse.Namespace(**(given | flags)), {})


def test_flags_win_over_profile_over_defaults(tmp_path: Path) -> None:
    """Flag > --set > profile > the file's defaults > built-in default; mappings are merged."""
    made = resolve(tmp_path, gpus="16", env=["C=3"], overrides=["env.B=x=y", "queue=q"])
    assert (made.image, made.namespace) == ("registry.example/food101:1", "vision")
    assert made.gpus == 16
    assert made.env == {"A": "1", "B": "x=y", "C": "3"}
    assert made.queue == "q"
    assert made.max_restarts == Settings().max_restarts
    assert made.train == {"epochs": 5, "preset": "article"}
    assert made.tolerations == ({"key": "dedicated", "operator": "Exists"},)
    assert made.spot is True


def test_a_flag_can_switch_off(tmp_path: Path) -> None:
    """--no-spot overrides the profile."""
    assert resolve(tmp_path, spot=False).spot is False


def test_another_profile(tmp_path: Path) -> None:
    """--profile takes the file's defaults but not the other profile."""
    made = resolve(tmp_path, profile="other")
    assert (made.namespace, made.gpus) == ("elsewhere", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profles: {}", "unknown key 'profles'; did you mean 'profiles'"),
        ("profiles: {team: {imgae: x}}\nprofile: team", "'imgae'; did you mean 'image'"),
        ("defaults: {gpus: many}", "defaults.gpus must be a whole number, not 'many'"),
        ("defaults: {gpus: true}", "defaults.gpus must be a whole number"),
        ("defaults: {gpus: -1}", "must not be negative"),
        ("defaults: {spot: 1}", "defaults.spot must be true or false"),
        ("defaults: {env: {DEBUG: yes}}", "env.DEBUG must be a text, not True; put it in quotes"),
        ("defaults: {env: [a]}", "must be a mapping"),
        ("defaults: {backend: k8s}", "must be one of auto, tfjob, jobset, local"),
        ("defaults: {tolerations: {}}", "must be a list of mappings"),
        ("defaults: {train: {epochs: [1]}}", "must be a single value"),
        ("defaults: [1]", "defaults must map settings to values"),
        ("profiles: [1]", "profiles must map names to settings"),
        ("- 1", "must hold profile, defaults, profiles"),
        ("a: [", "launcher.yaml:2: not valid YAML"),
        ("a: !!python/object/apply:os.system [id]", "not valid YAML"),
    ],
)  # fmt: skip
def test_wrong_files_say_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    """Each fault is one line with its place and the nearest known word."""
    with pytest.raises(UsageError) as caught:
        resolve(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gpus", "must be PATH=VALUE"),
        ("gpu=1", "did you mean 'gpus'"),
        ("gpus=x", "must be a whole number"),
        ("env=x", "expected NAME=VALUE"),
    ],
)
def test_wrong_overrides(tmp_path: Path, override: str, message: str) -> None:
    """--set is checked like a flag."""
    with pytest.raises(UsageError, match=message):
        resolve(tmp_path, overrides=[override])


def test_missing_profile_and_file(tmp_path: Path) -> None:
    """What was named must be there."""
    with pytest.raises(NotFoundError, match="has no profile 'tem'; did you mean 'team'"):
        resolve(tmp_path, profile="tem")
    with pytest.raises(NotFoundError, match="launcher init"):
        fields.resolve(argparse.Namespace(settings="/nowhere.yaml"), {})


def test_the_nearest_file_upwards_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory first, then its parents in the repository, then the user's folder."""
    user = tmp_path / "config" / "food101-vgg19"
    user.mkdir(parents=True)
    (user / "launcher.yaml").write_text("defaults: {image: user:1}")
    project = tmp_path / "project" / "deep"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert fields.resolve(argparse.Namespace(), environ).image == "user:1"
    (tmp_path / "project" / "launcher.yaml").write_text("defaults: {image: project:1}")
    assert fields.resolve(argparse.Namespace(), environ).image == "user:1"
    (tmp_path / "project" / ".git").mkdir()
    assert fields.resolve(argparse.Namespace(), environ).image == "project:1"
    (tmp_path / "launcher.yaml").write_text("defaults: {image: stranger:1}")
    (tmp_path / "project" / "launcher.yaml").unlink()
    assert fields.resolve(argparse.Namespace(), environ).image == "user:1"


def test_sizes_of_a_profile_are_for_training_only(tmp_path: Path) -> None:
    """Records and exports do not inherit a trainer's GPUs, unless a flag says so."""
    made = resolve(tmp_path, not_from_profile=("gpus", "memory"), memory="4Gi")
    assert (made.gpus, made.memory) == (None, "4Gi")
