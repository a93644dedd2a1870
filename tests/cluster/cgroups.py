"""One control group per cluster, so that its kubelet takes care of its own pods alone."""

import contextlib
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")


def name_of(folder: Path) -> str:
    """Name the control group of the cluster in a folder."""
    return f"food101-{folder.name}"


def create(name: str) -> None:
    """Make the group in every hierarchy: many with cgroup v1, one with v2."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        _copy_cpuset(hierarchy, hierarchy / name)
    if _is_v2():
        offered = (_ROOT / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{each}" for each in _CONTROLLERS if each in offered)
        for group in (_ROOT, _ROOT / name):
            (group / "cgroup.subtree_control").write_text(wanted)


def remove(name: str) -> None:
    """Remove the group and all groups in it; they are empty, since their processes are gone."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _is_v2() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if _is_v2():
        return [_ROOT]
    return [path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink()]


def _copy_cpuset(parent: Path, child: Path) -> None:
    """A new v1 cpuset has no CPUs until it is given some."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not _is_v2() and (parent / file).exists():
            (child / file).write_text((parent / file).read_text())
