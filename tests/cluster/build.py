"""The programs of the cluster, compiled from pinned sources where they are not there yet.

Each folder of components/ has a go.mod and a go.sum that pin one component with all it depends
on. Programs are kept in the cache under a hash of these files and of the flags, so a changed pin
is built anew and everything else is not. `python -m tests.cluster.build` builds what is missing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster import paths

_FLAGS = ("-trimpath", "-buildvcs=false")
_VERSION = "k8s.io/component-base/version"


class BuildError(Exception):
    """A program cannot be built; the message is for the person who runs the tests."""


@dataclass(frozen=True)
class Component:
    """One folder of components/: what it builds and from which module."""

    name: str
    programs: tuple[str, ...]
    module: str = ""
    """The Go module whose version is the component's; its manifests are read as well."""

    @property
    def folder(self) -> Path:
        """Its go.mod, its go.sum and, for some, a main of its own."""
        return paths.COMPONENTS / self.name

    @cached_property
    def version(self) -> str:
        """The pinned version, such as v1.36.3."""
        found = re.search(
            rf"^(?:require )?\s*{re.escape(self.module)} (v\S+)",
            (self.folder / "go.mod").read_text(),
            re.MULTILINE,
        )
        return found[1] if found and self.module else ""

    @property
    def linker_flags(self) -> str:
        """Without symbols; a program of Kubernetes also learns which version it is."""
        if self.name != "kubernetes":
            return "-s -w"
        major, minor = self.version.removeprefix("v").split(".")[:2]
        values = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        return " ".join(["-s -w", *(f"-X {_VERSION}.{k}={v}" for k, v in values.items())])

    @property
    def key(self) -> str:
        """A hash of all that determines the programs, but for the compiler."""
        digest = hashlib.sha256(json.dumps([_FLAGS, self.linker_flags]).encode())
        for path in sorted(self.folder.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    @property
    def built(self) -> Path:
        """The folder of its programs; it exists once all of them are there."""
        return paths.cache_dir() / "bin" / f"{self.name}-{self.key}"

    def program(self, name: str) -> Path:
        """Give the path of one of its programs."""
        assert name in self.programs
        return self.built / name

    def module_folder(self) -> Path:
        """Give the folder of the module's sources, for the manifests in it."""
        answer = _go(self.folder, "list", "-m", "-f", "{{.Dir}}", self.module)
        return Path(answer.strip())


KUBERNETES = Component(
    "kubernetes",
    (
        "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl",
        "kubelet",
    ),
    "k8s.io/kubernetes",
)  # fmt: skip
ETCD = Component("etcd", ("server",), "go.etcd.io/etcd/server/v3")
COREDNS = Component("coredns", ("coredns",), "github.com/coredns/coredns")
PAUSE = Component("pause", ("pause",))
TRAINING_OPERATOR = Component(
    "training-operator", ("training-operator.v1",), "github.com/kubeflow/training-operator"
)
JOBSET = Component("jobset", ("jobset",), "sigs.k8s.io/jobset")
KUEUE = Component("kueue", ("kueue",), "sigs.k8s.io/kueue")

ALL = (PAUSE, ETCD, KUBERNETES, COREDNS, TRAINING_OPERATOR, JOBSET, KUEUE)


def build_missing(components: tuple[Component, ...] = ALL) -> None:
    """Build the components that are not in the cache, one after the other, telling of each.

    Raises:
        BuildError: There is no Go, or a build failed; the message ends with its output.
    """
    missing = [component for component in components if not component.built.is_dir()]
    if not missing:
        return
    if shutil.which("go") is None:
        raise BuildError(
            "building Kubernetes needs Go 1.26 or newer, and there is no `go`: https://go.dev/dl"
        )
    with _only_one_builder():
        for component in missing:
            if not component.built.is_dir():
                _build(component)


def _build(component: Component) -> None:
    started = time.monotonic()
    _say(f"building {component.name} {component.version} ...")
    workshop = paths.cache_dir() / "bin" / f".{component.name}-{os.getpid()}"
    workshop.mkdir(parents=True)
    try:
        for packages in _portions(component):
            _go(
                component.folder,
                *("build", *_FLAGS, "-ldflags", component.linker_flags),
                *("-o", f"{workshop}/", *packages),
            )
        workshop.rename(component.built)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    _say(f"built {component.name} {component.version} in {time.monotonic() - started:.0f} s")


def _portions(component: Component) -> list[list[str]]:
    """Split what takes minutes into steps; a component without tools is its own program."""
    tools = _go(component.folder, "list", "-f", "{{.ImportPath}}", "tool").split()
    return [[tool] for tool in tools] or [["."]]


@contextlib.contextmanager
def _only_one_builder() -> Iterator[None]:
    folder = paths.cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another build to end ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        ["go", *arguments],
        cwd=folder,
        env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = "\n".join(ended.stderr.strip().splitlines()[-20:])
        raise BuildError(f"`go {' '.join(arguments)}` in {folder} failed:\n{last}")
    return ended.stdout


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        build_missing()
    except BuildError as error:
        sys.exit(f"error: {error}")
