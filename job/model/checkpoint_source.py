"""Where initial weights come from: a file, prefix, folder, archive or run becomes a local prefix.

TensorFlow reads checkpoints by a prefix and sees only local files here; this module finds the
prefix and brings the files.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator

from job import storage
from job.contract import layout
from job.contract.errors import ConfigError, InputMissingError
from job.images import archives, tar_members
from job.run import checkpoints, directory
from job.storage.local import errors_of

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_V2_FILE = re.compile(r"(?P<prefix>.+)\.(index|data-\d{5}-of-\d{5})")
_V1_FILE = re.compile(r".+\.ckpt(-\d+)?")
_STATE_FILE = "checkpoint"
_STATE_NEWEST = re.compile(rb'^model_checkpoint_path: "([^"]+)"', re.MULTILINE)


@contextlib.contextmanager
def local_prefix(path: str) -> Iterator[str]:
    """Give the prefix under which TensorFlow can read a checkpoint, for as long as it is needed.

    Args:
        path: local or gs://: a V1 file; a V2 prefix or one of its files; a folder with one
            checkpoint, or with several and TensorFlow's own `checkpoint` file; a .tar.gz of any
            of these; one of our run directories (its newest whole checkpoint is taken) or one
            checkpoint of it.

    Raises:
        InputMissingError: there is nothing at `path`, or no checkpoint in it.
        ConfigError: a folder has several checkpoints.
        DataError: an archive or one of our own checkpoints is damaged.
    """
    with contextlib.ExitStack() as stack:
        if path.endswith(_ARCHIVES):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="checkpoint-"))
            _unpack(path, folder)
            yield _prefix_in_folder(folder, shown_as=path)
            return
        own = None if storage.exists(path) else _own_checkpoint(path.rstrip("/"))
        if own is not None:
            yield stack.enter_context(checkpoints.local_copy(own))
            return
        prefix = _find_prefix(path)
        if storage.is_remote(prefix):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="checkpoint-"))
            prefix = _download(prefix, folder)
        yield prefix


def classes_of(path: str) -> tuple[str, ...]:
    """Name the classes that one of our own runs was trained on; none for any other checkpoint."""
    run, _ = _run_and_step(path.rstrip("/"))
    try:
        return directory.load_run(run).classes
    except InputMissingError:
        return ()


def _run_and_step(path: str) -> tuple[str, int | None]:
    """Split the path of a run's checkpoint; any other path could be a run itself."""
    parent, name = os.path.split(path)
    step = layout.checkpoint_step(name)
    run = os.path.dirname(parent)
    if step is not None and layout.checkpoint_dir(run, step) == path:
        return run, step
    return path, None


def _own_checkpoint(path: str) -> checkpoints.CheckpointDir | None:
    """Find the checkpoint meant by a run directory, or by a checkpoint's folder in one."""
    run, step = _run_and_step(path)
    if step is not None:
        return checkpoints.read_checkpoint(run, step)
    return checkpoints.newest_whole(run)


def _find_prefix(path: str) -> str:
    if storage.exists(path):
        part = _V2_FILE.fullmatch(path)
        return part["prefix"] if part else path
    if storage.exists(f"{path}.index"):
        return path
    return _prefix_in_folder(path.rstrip("/"), shown_as=path)


def _prefix_in_folder(folder: str, *, shown_as: str) -> str:
    names = [
        stat.path.rsplit("/", 1)[-1]
        for stat in storage.list_files(folder)
        if stat.path.rsplit("/", 1)[0] == folder
    ]
    found = {match["prefix"] for name in names if (match := _V2_FILE.fullmatch(name))}
    found |= {name for name in names if _V1_FILE.fullmatch(name)}
    if not found:
        raise InputMissingError(
            f"{shown_as} is no checkpoint: neither a file, nor the prefix of an .index file, nor "
            "a folder or archive that holds one"
        )
    if len(found) > 1 and _STATE_FILE in names:
        newest = _STATE_NEWEST.search(storage.read_bytes(storage.join(folder, _STATE_FILE)))
        named = os.path.basename(newest[1].decode()) if newest else ""
        found = {named} if named in found else found
    if len(found) > 1:
        raise ConfigError(
            f"{shown_as} holds {len(found)} checkpoints; give the path of one of them: "
            f"{', '.join(sorted(found))}"
        )
    return storage.join(folder, found.pop())


def _download(prefix: str, folder: str) -> str:
    """Copy a remote checkpoint's files; the prefix of the copy is returned."""
    parent, name = prefix.rsplit("/", 1)
    if storage.exists(prefix):
        storage.download(prefix, os.path.join(folder, name))
    else:
        for stat in storage.list_files(parent):
            part = _V2_FILE.fullmatch(stat.path)
            if part and part["prefix"] == prefix:
                storage.download(stat.path, os.path.join(folder, os.path.basename(stat.path)))
    return os.path.join(folder, name)


def _unpack(archive: str, folder: str) -> None:
    """Copy an archive's checkpoint files into `folder`, whatever folders they claim to be in."""
    with archives.opened(archive) as stream:
        for member in tar_members.files(stream, archive):
            name = os.path.basename(member.name)
            if _V1_FILE.fullmatch(name) or _V2_FILE.fullmatch(name):
                target = os.path.join(folder, name)
                with errors_of(target), open(target, "wb") as file:
                    while piece := member.read(1 << 20):
                        file.write(piece)
