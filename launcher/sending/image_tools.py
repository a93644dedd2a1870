"""Building and pushing images with docker, podman or buildah: pure words, and which tag to give."""

import hashlib
import subprocess
from collections.abc import Sequence

from launcher.describe import provenance
from launcher.errors import UsageError

TOOLS = ("docker", "podman", "buildah")
TARGETS = ("job", "tensorboard")
TENSORFLOW = {"cpu": "tensorflow-cpu", "gpu": "tensorflow[and-cuda]"}
"""What `--tensorflow` says, and the Dockerfile's word for it."""


def with_tag(image: str, folder: str, suffix: str = "") -> str:
    """Give an image reference a tag, unless it has one or a digest: the revision of the sources.

    A revision names the same content for ever, so nodes that have an image of this name have the
    right one. `latest` does not, and makes every pod ask the registry.

    Args:
        image: An image reference, such as registry.example/team/food101.
        folder: The checkout that the image is made of.
        suffix: Appended to a tag that is made here.

    Raises:
        UsageError: The tag is `latest`, or there is no revision to make one of.
    """
    _, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        if tag == "latest":
            raise UsageError(
                f"image {image}: nodes cannot tell one `latest` from the next; leave the tag out "
                "to take the revision of the sources, or give one"
            )
        return image
    revision = provenance.git_revision(folder)
    if not revision:
        raise UsageError(
            f"image {image} has no tag, and {folder} is no git checkout to take one of"
        )
    return f"{image}:{revision}{_changes(folder) if revision.endswith('-dirty') else ''}{suffix}"


def _changes(folder: str) -> str:
    """Tell changed sources from other changes of the same revision."""
    command = ["git", "diff", "--no-ext-diff", "--binary", "HEAD"]
    diff = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    return f"-{hashlib.sha256(diff).hexdigest()[:8]}"


def build_command(
    tool: str,
    image: str,
    *,
    folder: str,
    dockerfile: str,
    target: str,
    tensorflow: str | None,
    more: Sequence[str],
) -> list[str]:
    """Give the command that builds a target of the Dockerfile; `more` are the tool's own flags."""
    command = [tool, "bud" if tool == "buildah" else "build", "-t", image, "-f", dockerfile]
    command += ["--target", target]
    if tensorflow:
        command += ["--build-arg", f"TENSORFLOW={TENSORFLOW[tensorflow]}"]
    revision = provenance.git_revision(folder)
    if revision:
        command += ["--label", f"org.opencontainers.image.revision={revision}"]
    return [*command, *more, folder]


def push_command(tool: str, image: str, digest_file: str, more: Sequence[str]) -> list[str]:
    """Give the command that pushes an image; docker alone cannot write the digest to a file."""
    digest = [] if tool == "docker" else ["--digestfile", digest_file]
    return [tool, "push", *digest, *more, image]


def docker_digest_command(image: str) -> list[str]:
    """Give the command that prints the digests under which docker has pushed an image."""
    return ["docker", "image", "inspect", "--format", r'{{join .RepoDigests "\n"}}', image]


def digest_of(image: str, repository_digests: Sequence[str]) -> str:
    """Pick the digest that belongs to the repository of `image`, or give nothing."""
    prefix = f"{image.rpartition(':')[0]}@"
    return next(
        (line.removeprefix(prefix) for line in repository_digests if line.startswith(prefix)), ""
    )


def registry_of(image: str) -> str:
    """Give the registry of an image reference; docker's own where none is named."""
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named else "docker.io"
