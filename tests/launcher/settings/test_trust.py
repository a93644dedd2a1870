"""A launcher.yaml of strangers decides nothing before it is trusted."""

import json
import os
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.settings import trust

PROGRAM = "echo ran >> {marker}; exit 1"


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloned repository, and a home of its own."""
    folder = tmp_path / "clone"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    return folder


def with_login_program(folder: Path) -> Path:
    """Write a launcher.yaml whose kubeconfig runs a program to log in; gives what that writes."""
    marker = folder / "marker"
    user = {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
        "args": ["-c", PROGRAM.format(marker=marker)], "interactiveMode": "Never",
    }}  # fmt: skip
    (folder / "evil").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "c", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }))  # fmt: skip
    (folder / "launcher.yaml").write_text("defaults: {kubeconfig: evil, namespace: team}")
    return marker


def test_nothing_runs_before_it_is_trusted(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`list` is what completion calls."""
    marker = with_login_program(repository)
    assert main(["list", "-o", "name"]) == 4
    assert "sets kubeconfig, which can run programs" in capsys.readouterr().err
    assert not marker.exists()

    assert main(["trust"]) == 0
    assert "defaults.kubeconfig: evil" in capsys.readouterr().out
    main(["list", "-o", "name"])
    assert marker.exists()

    marker.unlink()
    assert main(["trust", "--forget"]) == 0
    assert main(["list", "-o", "name"]) == 4
    assert not marker.exists()


def test_a_file_above_the_repository_is_not_looked_at(repository: Path) -> None:
    """The temporary folder, where anybody may write, is above many."""
    marker = with_login_program(repository.parent)
    assert main(["list", "-o", "name"]) != 0
    assert not marker.exists()


def test_only_what_matters_must_be_trusted_anew(repository: Path) -> None:
    path = repository / "launcher.yaml"
    path.write_text("defaults: {context: prod, image: a/b:1, backend: local}")
    render = ["render", "--data=gs://b/d", "--run=gs://b/r", "--backend=tfjob", "-n", "team"]
    render += ["--cache-size=4Gi"]
    assert main(render) == 4
    assert main(["trust"]) == 0
    path.write_text("defaults: {context: prod, image: a/b:2}")
    assert main(render) == 0
    path.write_text("defaults: {context: other, image: a/b:2}")
    assert main(render) == 4
    assert main([*render, "--settings=launcher.yaml"]) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_used(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = repository / "launcher.yaml"
    path.write_text("defaults: {namespace: theirs}")
    os.chown(path, 12345, 12345)
    assert main(["list"]) == 4
    assert "belongs to another user" in capsys.readouterr().err
    assert main(["trust"]) == 0
    assert main(["list"]) == 2  # No cluster is configured: the file was used.


def test_values_of_the_environment_are_not_shown(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "launcher.yaml").write_text("defaults: {env: {LD_PRELOAD: hush}}")
    assert main(["trust"]) == 0
    printed = capsys.readouterr().out
    assert "defaults.env: LD_PRELOAD" in printed
    assert "hush" not in printed


@pytest.mark.parametrize("noted", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff", b'{"a": 1}'])
def test_a_damaged_note_trusts_nothing(repository: Path, noted: bytes) -> None:
    path = Path(trust.notes_file(os.environ))
    path.parent.mkdir(parents=True)
    path.write_bytes(noted)
    with_login_program(repository)
    assert main(["list"]) == 4
    assert main(["trust"]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"profile: [a]", "profile must name one, not ['a']"),
        (b"profile: 2024-13-45", "has no profile '2024-13-45'"),
        (b"defaults: \xff\xfe", "it is no text in UTF-8"),
        (b"defaults: {gpus: 2024-13-45}", "must be a whole number, not '2024-13-45'"),
        (b"defaults: {gpus: 99999999999}", "must be at most 1,000,000,000"),
        (b"defaults: {[a]: b}", "not valid YAML"),
        (b"defaults: {1: 2}", "unknown setting 1"),
        (
            b"profiles: {a: {labels: {A: [" + b"1," * 9999 + b"]}}}\nprofile: a",
            "must be a text, not",
        ),
    ],
)
def test_odd_files_are_one_line(
    repository: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "launcher.yaml").write_bytes(content)
    assert main(["list"]) in (2, 3)
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert len(printed) < 600
