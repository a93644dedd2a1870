"""`launcher image`: which command is run, which tag it gets, what is said afterwards."""

import os
import subprocess
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.errors import UsageError
from launcher.sending import image_tools

DIGEST = f"sha256:{'5' * 64}"
IMAGE = "registry.example/team/food101"

TOOL = f"""#!/bin/sh
# What the tools have in common; writes down how it was called.
printf '%s\\n' "$(basename "$0") $*" >>"$RECORD"
case "$1 $2" in
  "image inspect") echo "other/name@sha256:{"6" * 64}"; echo "{IMAGE}@{DIGEST}" ;;
  "push --digestfile") printf %s {DIGEST} >"$3" ;;
esac
exit "${{TOOL_CODE:-0}}"
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with a Dockerfile and one commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put docker, podman and buildah on the PATH; gives the file in which their calls stand."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in image_tools.TOOLS:
        (programs / name).write_text(TOOL)
        (programs / name).chmod(0o755)
    record = tmp_path / "record"
    monkeypatch.setenv("RECORD", str(record))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return record


def test_an_image_without_a_tag_gets_the_revision(
    checkout: Path, called: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Build and push agree on it, and what is printed can be copied into launcher.yaml."""
    revision = git(checkout, "rev-parse", "--short=12", "HEAD") + "-gpu"
    where = [f"--image={IMAGE}", f"--folder={checkout}"]
    assert main(["image", "build", *where]) == 0
    said = capsys.readouterr()
    assert said.out == f"image: {IMAGE}:{revision}\n"
    assert f"launcher image push --image {IMAGE}:{revision}" in said.err
    assert main(["image", "push", *where]) == 0
    assert capsys.readouterr().out == f"image: {IMAGE}:{revision}@{DIGEST}\n"
    built, pushed, _ = called.read_text().splitlines()
    assert built == (
        f"docker build -t {IMAGE}:{revision} -f {checkout}/Dockerfile --target job "
        "--build-arg TENSORFLOW=tensorflow[and-cuda] "
        f"--label org.opencontainers.image.revision={revision.removesuffix('-gpu')} {checkout}"
    )
    assert pushed == f"docker push {IMAGE}:{revision}"


@pytest.mark.parametrize(
    ("profile", "given", "tensorflow", "suffix"),
    [
        ("gpus: 8", [], "tensorflow[and-cuda]", "-gpu"),
        ("cpus: '4'", [], "tensorflow[and-cuda]", "-gpu"),
        ("gpus: 0", [], "tensorflow-cpu", "-cpu"),
        ("gpus: 0", ["--tensorflow=gpu"], "tensorflow[and-cuda]", "-gpu"),
        ("gpus: 8", ["--tensorflow=cpu"], "tensorflow-cpu", "-cpu"),
    ],
)
def test_the_image_is_for_what_the_profile_asks_for(
    profile: str, given: list[str], tensorflow: str, suffix: str,
    checkout: Path, called: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A job of the profile finds its GPUs; a flag counts for more, and pushing follows."""
    (checkout / "launcher.yaml").write_text(f"defaults:\n  image: {IMAGE}\n  {profile}\n")
    where = [f"--settings={checkout}/launcher.yaml", f"--folder={checkout}", "--dry-run", *given]
    assert main(["image", "build", *where]) == 0
    built = capsys.readouterr().err
    assert f"--build-arg TENSORFLOW={tensorflow} " in built
    assert ("jobs of this profile" in built) == (not given)
    assert main(["image", "push", *where]) == 0
    pushed = capsys.readouterr().err.split()[-1]
    assert pushed in built
    assert image_tools.variant_by_tag(pushed) == suffix[1:]


@pytest.mark.parametrize(
    ("image", "variant"),
    [
        ("a/b:0123456789ab-gpu", "gpu"),
        (f"host:5000/b:0123456789ab-cpu@{DIGEST}", "cpu"),
        ("a/b:0123456789ab-dirty-01234567-gpu", "gpu"),
        ("a/b-gpu:1", ""),
        ("a/b:gpu", ""),
        (f"a/b@{DIGEST}", ""),
        ("host-gpu:5000/b", ""),
    ],
)
def test_a_tag_that_was_made_tells_the_variant(image: str, variant: str) -> None:
    assert image_tools.variant_by_tag(image) == variant


def test_a_label_tells_the_variant_of_an_image_that_is_here(called: Path) -> None:
    """Asked is every tool that is installed; one that does not know the image is no answer."""
    docker, podman = called.parent / "bin" / "docker", called.parent / "bin" / "podman"
    docker.write_text("#!/bin/sh\necho 'No such image' >&2; exit 1\n")
    podman.write_text("#!/bin/sh\necho 'tensorflow[and-cuda]'\n")
    assert image_tools.variant_by_label("a/b:1") == "gpu"
    podman.write_text("#!/bin/sh\necho '<no value>'\n")
    assert image_tools.variant_by_label("a/b:1") == ""


@pytest.mark.parametrize("tool", ["podman", "buildah"])
def test_the_other_tools_write_the_digest_themselves(
    tool: str, checkout: Path, called: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["image", "push", f"--image={IMAGE}:1", f"--folder={checkout}", f"--tool={tool}"]
    assert main(argv) == 0
    assert capsys.readouterr().out == f"image: {IMAGE}:1@{DIGEST}\n"
    assert called.read_text().startswith(f"{tool} push --digestfile /")


def test_each_change_of_the_sources_has_a_tag_of_its_own(checkout: Path) -> None:
    """Nodes that have one uncommitted version must not take it for the next one."""
    clean = image_tools.with_tag(IMAGE, str(checkout))
    tags = {clean}
    for text in ("FROM scratch\n# a\n", "FROM scratch\n# b\n"):
        (checkout / "Dockerfile").write_text(text)
        tag = image_tools.with_tag(IMAGE, str(checkout))
        assert tag.startswith(f"{clean}-dirty-")
        tags.add(tag)
    assert len(tags) == 3


@pytest.mark.parametrize(
    ("image", "tagged"),
    [
        ("a/b:1", "a/b:1"),
        ("host:5000/b:1", "host:5000/b:1"),
        ("host:5000/b", "host:5000/b:REV-gpu"),
    ],
)
def test_a_port_is_no_tag(image: str, tagged: str, checkout: Path) -> None:
    revision = git(checkout, "rev-parse", "--short=12", "HEAD")
    found = image_tools.with_tag(image, str(checkout), suffix="-gpu")
    assert found == tagged.replace("REV", revision)


def test_without_a_checkout_a_tag_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no tag"):
        image_tools.with_tag(IMAGE, str(tmp_path))


def test_flags_become_the_tools_own_words(
    checkout: Path, called: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands after -- goes to the tool as it is; a dry run starts nothing."""
    argv = ["image", "build", "--image=a:1", f"--folder={checkout}", "--dry-run"]
    assert main([*argv, "--tensorflow=gpu", "--", "--platform=linux/amd64"]) == 0
    shown = capsys.readouterr().err
    assert "--build-arg TENSORFLOW=tensorflow[and-cuda] " in shown
    assert "--platform=linux/amd64" in shown
    argv = ["image", "build", "--target=tensorboard", "--tensorboard-image=t:1", "--tool=buildah"]
    assert main([*argv, f"--folder={checkout}", "--dry-run"]) == 0
    assert "buildah bud -t t:1" in capsys.readouterr().err
    assert not called.exists()


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["build", "--image=a/b:latest"], 2, "one `latest` from the next"),
        (["build", f"--image=a/b@{DIGEST}"], 2, "a digest is what comes out"),
        (["build", "--target=tensorboard", "--image=a/b:1"], 2, "give --tensorboard-image"),
        (["build", "--target=tensorboard", "--tensorflow=gpu"], 2, "without TensorFlow"),
        (["build", "--image=a/b:1", "--folder=/nowhere"], 3, "there is no /nowhere/Dockerfile"),
        (["push", "--image=ghcr.io/b:1"], 1, "(not logged in? docker login ghcr.io)"),
        (["push", "--image=b:1"], 1, "(not logged in? docker login docker.io)"),
    ],
)
def test_what_cannot_work_is_one_clear_line(
    argv: list[str],
    code: int,
    message: str,
    called: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOOL_CODE", "3")
    assert main(["image", *argv]) == code
    assert message in capsys.readouterr().err.splitlines()[-1]
