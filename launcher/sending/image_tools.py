"""Building and pushing images with docker, podman or buildah: pure words, and which tag to give."""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence

from launcher.errors import UsageError

TOOLS = ("docker", "podman", "buildah")
TARGETS = ("job", "tensorboard")
TENSORFLOW = {"cpu": "tensorflow-cpu", "gpu": "tensorflow[and-cuda]"}
"""What `--tensorflow` says, and the Dockerfile's word for it."""
VARIANT_LABEL = "food101.tensorflow"
"""Label of an image that holds the Dockerfile's word."""
_LABEL_WITHIN_S = 3.0


def variant_by_tag(image: str) -> str:
    """Read from a tag that `with_tag` made which variant the image is: cpu, gpu, or unknown ("").

    The tag may be followed by a digest, as `launcher image push` prints it.
    """
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    suffix = tag.rpartition("-")[2]
    return suffix if "-" in tag and suffix in TENSORFLOW else ""


def variant_by_label(image: str) -> str:
    """Ask the tools of this machine which variant an image is; "" if none of them has it.

    An image that was built elsewhere is not pulled: it has gigabytes.
    """
    template = f'{{{{index .Config.Labels "{VARIANT_LABEL}"}}}}'
    for tool in filter(shutil.which, ("docker", "podman")):
        command = [tool, "image", "inspect", "--format", template, image]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_LABEL_WITHIN_S
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        for variant, word in TENSORFLOW.items():
            if answer.stdout.strip() == word:
                return variant
    return ""


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
    from launcher.describe import provenance  # Here: `launcher --help` needs none of it.

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
    tensorflow: str,
    more: Sequence[str],
) -> list[str]:
    """Give the command that builds a target of the Dockerfile; `more` are the tool's own flags."""
    command = [tool, "bud" if tool == "buildah" else "build", "-t", image, "-f", dockerfile]
    command += ["--target", target]
    if tensorflow:
        command += ["--build-arg", f"TENSORFLOW={TENSORFLOW[tensorflow]}"]
    from launcher.describe import provenance

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
