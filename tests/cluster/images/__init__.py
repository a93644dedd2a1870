"""The images of the Dockerfile, built as a user builds them and kept as archives for a node."""

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.cluster import paths
from tests.cluster.images import base
from tests.cluster.images.docker import Docker, docker_daemon

_DOCKERFILE = paths.ROOT / "Dockerfile"
_SOURCES = {
    "job": ("Dockerfile", ".dockerignore", "setup.py", "constraints.txt", "job"),
    "tensorboard": (
        "Dockerfile", ".dockerignore", "setup.py", "constraints.txt", "launcher/__init__.py",
        "launcher/version.py", "launcher/tensorboard_server.py",
    ),
}  # fmt: skip
_REPOSITORIES = {"job": "food101-vgg19", "tensorboard": "food101-tensorboard"}
_KEPT_ARCHIVES = 3


class ImageError(Exception):
    """An image cannot be built; the message is for the person who runs the tests."""


class ImageTar(NamedTuple):
    """An image in an archive, in the format of `docker save`."""

    name: str
    path: Path


def job_image() -> ImageTar:
    """Give the image of all job.* commands, with TensorFlow for CPUs; built if it is not there.

    Raises:
        ImageError: It cannot be built here.
    """
    return _image("job")


def tensorboard_image() -> ImageTar:
    """Give the image of TensorBoard, as `job_image` does."""
    return _image("tensorboard")


def load(docker: Docker, image: ImageTar) -> None:
    """Make sure that a daemon has an image."""
    if not docker.has(image.name):
        docker.run("load", "--quiet", "--input", str(image.path))


def build(docker: Docker, target: str, name: str, folder: Path = paths.ROOT) -> float:
    """Build a target of the Dockerfile in a folder, as a user does; gives the seconds it took.

    Raises:
        ImageError: The build failed; the message ends with what it printed.
    """
    started = time.monotonic()
    flags = ["--tensorflow=cpu", "--image"] if target == "job" else ["--tensorboard-image"]
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "launcher", "image", "build", "--tool=docker"),
            *(f"--target={target}", *flags, name, "--folder", str(folder), "--"),
            # The daemon lays no bridge, lest it disturbs the network of the machine.
            *("--network=host", *_index_arguments(), *_proxy_arguments()),
        ],
        env=docker.environment | {"PYTHONPATH": str(paths.ROOT)},
        cwd=paths.cache_dir(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = "\n".join(ended.stdout.strip().splitlines()[-30:])
        raise ImageError(f"`launcher image build` of {target} failed:\n{last}")
    return time.monotonic() - started


def provide_base(docker: Docker) -> None:
    """Give the daemon what the Dockerfile is based on, under the name that it has there."""
    found = re.search(r"^ARG BASE=(\S+)$", _DOCKERFILE.read_text(), re.MULTILINE)
    assert found
    if not docker.has(found[1], label=f"tests.base={base.key()}"):
        with base.archive().open("rb") as archive:
            docker.run(
                *("import", "--change", f"ENV PIP_CERT={base.CERTIFICATES}"),
                *("--change", f"LABEL tests.base={base.key()}", "-", found[1]),
                stdin=archive,
            )


def _image(target: str) -> ImageTar:
    key = _key(target)
    folder = paths.cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    image = ImageTar(f"localhost/{_REPOSITORIES[target]}:{key}", folder / f"{target}-{key}.tar")
    if not image.path.exists():
        _say(f"building the image of target {target} ...")
        with docker_daemon() as docker:
            provide_base(docker)
            seconds = build(docker, target, image.name)
            _save(docker, image)
            docker.run("image", "prune", "--force", "--filter", "until=72h")
        _say(f"built {image.name} in {seconds:.0f} s, {image.path.stat().st_size / 1e6:.0f} MB")
    os.utime(image.path)
    _remove_old(folder, target)
    return image


def _save(docker: Docker, image: ImageTar) -> None:
    whole, partial = image.path, image.path.with_suffix(f".{os.getpid()}")
    try:
        docker.run("save", "--output", str(partial), image.name)
        partial.rename(whole)
    finally:
        partial.unlink(missing_ok=True)


def _remove_old(folder: Path, target: str) -> None:
    """Keep the newest archives: of other checkouts that may be in use, and never all ever made."""
    archives = sorted(folder.glob(f"{target}-*.tar"), key=lambda path: -path.stat().st_mtime)
    for path in archives[_KEPT_ARCHIVES:]:
        path.unlink(missing_ok=True)


def _key(target: str) -> str:
    """Hash all that goes into an image."""
    digest = hashlib.sha256(base.key().encode())
    for path in _files(target):
        digest.update(f"{path.relative_to(paths.ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _files(target: str) -> Iterator[Path]:
    for name in _SOURCES[target]:
        path = paths.ROOT / name
        inside = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(p for p in inside if p.is_file() and "__pycache__" not in p.parts)


def _index_arguments() -> list[str]:
    """Let pip in the build ask where pip here asks; the results do not hold it."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # The environment counts for more than files, and pip lists it first.
    found = re.search(r"^\S+\.index-url='(.+)'$", text, re.MULTILINE)
    return ["--build-arg", f"PIP_INDEX_URL={found[1]}"] if found else []


def _proxy_arguments() -> list[str]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    return [word for name in names if os.environ.get(name) for word in ("--build-arg", name)]


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
