"""Folders as they are met: huge, deep, tangled by links, full of things that are no files."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from job import storage
from job.contract.errors import DeniedError
from job.storage import walk
from job.storage.interface import NotFoundError


def walked(folder: Path) -> dict[str, bool]:
    """Every path below a folder, and whether it is a regular file, in the order of the walk."""
    found = list(walk.files_below(str(folder)))
    return {os.path.relpath(one.path, folder): one.found is not None for one in found}


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_files_come_in_the_order_of_their_whole_paths(tmp_path: Path) -> None:
    names = ["a/b", "a.jpg", "a/0/z", "a-b/c", "a", "b/a", "ä", "B", "a!/x"]
    names.remove("a")
    for name in names:
        write(tmp_path / name)
    listed = [stat.path for stat in storage.list_files(str(tmp_path))]
    assert listed == sorted(str(tmp_path / name) for name in names)


NAMES = strategies.text(
    strategies.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=3,
).filter(lambda name: name not in (".", "..") and not name.endswith(".partial"))


@given(paths=strategies.lists(strategies.lists(NAMES, min_size=1, max_size=3), max_size=12))
@settings(deadline=None, max_examples=50)
def test_any_tree_comes_in_the_order_of_its_paths(tmp_path_factory, paths) -> None:
    top = tmp_path_factory.mktemp("tree")
    made = set()
    for parts in paths:
        path = top.joinpath(*parts)
        if not any(str(path).startswith(f"{other}/") for other in made) and not path.exists():
            try:
                write(path)
            except (NotADirectoryError, FileExistsError):
                continue
            made.add(str(path))
    assert [one.path for one in walk.files_below(str(top))] == sorted(made)


def test_links_in_circles_end(tmp_path: Path) -> None:
    """Two links to their own folder describe 2^n paths of n steps."""
    write(tmp_path / "in/0.jpg")
    for name in ("one", "two"):
        (tmp_path / "in" / name).symlink_to(".")
    (tmp_path / "in/up").symlink_to("..")
    (tmp_path / "in/self").symlink_to("self")
    assert walked(tmp_path) == {
        "in/0.jpg": True, "in/one": False, "in/self": False, "in/two": False, "in/up": False,
    }  # fmt: skip


def test_links_that_fan_out_end(tmp_path: Path) -> None:
    """Without a circle, too: each of 30 folders holds two links to the next one."""
    for number in range(30):
        folder = tmp_path / f"pool/{number:02d}"
        folder.mkdir(parents=True)
        for name in "ab":
            (folder / name).symlink_to(f"../{number + 1:02d}")
    write(tmp_path / "pool/30/last.jpg")
    found = walked(tmp_path)
    assert "pool/30/last.jpg" in found
    assert len(found) < 5000


def test_folders_may_be_links(tmp_path: Path) -> None:
    """As people arrange splits: the same class folders, linked into train and test."""
    for name in ("pizza", "soup"):
        write(tmp_path / f"pool/{name}/0.jpg")
        for split in ("train", "test"):
            (tmp_path / "data" / split).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / split / name).symlink_to(f"../../pool/{name}")
    assert list(walked(tmp_path / "data")) == [
        "test/pizza/0.jpg", "test/soup/0.jpg", "train/pizza/0.jpg", "train/soup/0.jpg",
    ]  # fmt: skip


def test_what_is_no_file_is_listed_but_never_opened(tmp_path: Path) -> None:
    write(tmp_path / "file.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    (tmp_path / "nothing.jpg").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket.jpg"))
    assert walked(tmp_path) == {
        "endless.jpg": False, "file.jpg": True, "nothing.jpg": False,
        "pipe.jpg": False, "socket.jpg": False,
    }  # fmt: skip
    for name in ("endless.jpg", "nothing.jpg", "pipe.jpg", "socket.jpg"):
        path = str(tmp_path / name)
        for use in (
            storage.stat,
            storage.read_bytes,
            storage.open_for_reading,
            lambda path: storage.upload(path, str(tmp_path / "copy")),
        ):
            with pytest.raises(NotFoundError):
                use(path)
    kinds = {os.path.basename(s.path): s.generation for s in storage.list_files(str(tmp_path))}
    assert [name for name, generation in kinds.items() if generation is not None] == ["file.jpg"]


@pytest.mark.parametrize(
    "name", ["x" * 300, "a\0b", "\ud800", "/".join(["deep"] * 2000), "x" * 70_000]
)
def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    assert not storage.exists(path)
    for use in (storage.stat, storage.read_bytes, storage.open_for_reading):
        with pytest.raises(NotFoundError) as error:
            use(path)
        assert len(str(error.value)) < 500


def test_folders_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("leaf", os.O_CREAT, dir_fd=here))
    os.close(here)
    try:
        (found,) = walk.files_below(str(tmp_path))
        assert found.path.endswith("d/d/leaf")
    finally:
        # pytest deletes old folders by recursion, which this one is too deep for.
        subprocess.run(["rm", "-rf", f"{tmp_path}/d"], check=True)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "open/0.jpg")
    write(tmp_path / "shut/1.jpg")
    code = (
        "import os, sys\n"
        "from job import storage\n"
        "os.setuid(65534)\n"
        "try: print([s.path for s in storage.list_files(sys.argv[1])])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    (tmp_path / "shut").chmod(0)
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    (tmp_path / "shut").chmod(0o755)
    assert answer.stdout.startswith(f"{DeniedError.__name__} {tmp_path}/shut: permission denied")


def test_a_large_folder_is_sorted_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_SORTED", 7)
    names = [f"{number * 7919 % 1000:03d}\n{'é' * (number % 5)}" for number in range(100)]
    for name in names:
        write(tmp_path / "in" / name)
    write(tmp_path / "last")
    assert list(walked(tmp_path)) == [*sorted(f"in/{name}" for name in names), "last"]


@pytest.mark.slow
def test_a_million_files_in_one_folder_take_little_memory(tmp_path: Path) -> None:
    write(tmp_path / "seed")
    folder = tmp_path / "in"
    folder.mkdir()
    sources = [tmp_path / "seed"]
    for number in range(1_000_000):
        if number % 60_000 == 59_999:  # ext4 has at most 65,000 links to a file.
            sources.append(tmp_path / f"seed{number}")
            write(sources[-1])
        os.link(sources[-1], folder / f"{number * 7919 % 1_000_000:07d}-a-name-as-photographs.jpg")
    code = (
        "import resource, sys\n"
        "from job import storage\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count = sum(1 for _ in storage.list_files(sys.argv[1]))\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    count, grown_kib = map(int, answer.stdout.split())
    assert count == 1_000_000
    assert grown_kib < 64 << 10
