"""Where initial weights come from: a file, prefix, folder, archive or run becomes a local prefix.

TensorFlow reads checkpoints by a prefix and sees only local files here; this module finds the
prefix and brings the files.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator

from job import storage
from job.contract import layout
from job.contract.errors import ConfigError, DataError, InputMissingError, JobError
from job.images import archives, tar_members
from job.run import checkpoints, directory
from job.storage.local import errors_of

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_V2_FILE = re.compile(r"(?P<prefix>.+)\.(index|data-\d{5}-of-\d{5})")
_GRAPH_FILE = re.compile(r"(?P<prefix>.+)\.meta")
_FOREIGN_FILE = re.compile(r".+\.(h5|hdf5|keras|pth|pt|safetensors)", re.IGNORECASE)
_V1_FILE = re.compile(r".+\.ckpt(-\d+)?")
_STATE_FILE = "checkpoint"
_STATE_NEWEST = re.compile(rb'^model_checkpoint_path: "((?:[^"\\]|\\.)+)"', re.MULTILINE)
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_MOST_STATE_BYTES = 1 << 20
_SAVED_MODEL = "saved_model.pb"


@contextlib.contextmanager
def local_prefix(path: str) -> Iterator[str]:
    """Give the prefix under which TensorFlow can read a checkpoint, for as long as it is needed.

    Args:
        path: local or gs://: a V1 file; a V2 prefix or one of its files; a file of Keras or
            PyTorch; a folder with one of these, or with several and TensorFlow's own `checkpoint`
            file, or that file; a .tar.gz of any of these; one of our run directories (its newest
            whole checkpoint is taken) or one checkpoint of it.

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
    folder, _, name = path.rpartition("/")
    if name == _STATE_FILE and storage.exists(path):
        return _prefix_in_folder(folder or ".", shown_as=path)
    if storage.exists(path):
        part = _V2_FILE.fullmatch(path) or _GRAPH_FILE.fullmatch(path)
        return part["prefix"] if part else path
    if storage.exists(f"{path}.index"):
        return path
    return _prefix_in_folder(path.rstrip("/"), shown_as=path)


def _prefix_in_folder(folder: str, *, shown_as: str) -> str:
    names = {
        stat.path.removeprefix(f"{folder.rstrip('/')}/") for stat in storage.list_files(folder)
    }
    found = {match["prefix"] for name in names if (match := _V2_FILE.fullmatch(name))}
    found |= {name for name in names if _V1_FILE.fullmatch(name) or _FOREIGN_FILE.fullmatch(name)}
    found = {name for name in found if "/" not in name}
    if not found:
        raise _no_checkpoint(names, shown_as)
    if len(found) == 1:
        return storage.join(folder, found.pop())
    named = _named_by_state(folder) if _STATE_FILE in names else ""
    if named in found:
        return storage.join(folder, named)
    state = f"its file `{_STATE_FILE}` names {named!r}, which is not there; " if named else ""
    raise ConfigError(
        f"{shown_as} holds {len(found)} checkpoints; {state}give the path of one of them: "
        f"{', '.join(sorted(found))}"
    )


def _no_checkpoint(names: Collection[str], shown_as: str) -> JobError:
    if _SAVED_MODEL in names:
        return DataError(
            f"{shown_as} is a SavedModel, whose variables do not say which layer they belong to; "
            "give the run directory that it was exported from, or a file of weights"
        )
    return InputMissingError(
        f"{shown_as} is no checkpoint: neither a file, nor the prefix of an .index file, nor "
        "a folder or archive that holds one"
    )


def _named_by_state(folder: str) -> str:
    """Give the name of the newest checkpoint by TensorFlow's own note; empty if it has none.

    The note is text as protobuf writes it, maybe from another machine, with its folders.
    """
    path = storage.join(folder, _STATE_FILE)
    newest = _STATE_NEWEST.search(storage.read_bytes(path, 0, _MOST_STATE_BYTES))
    if newest is None:
        return ""
    octal = len("000")
    raw = _ESCAPE.sub(
        lambda match: bytes([int(match[1], 8) & 0xFF]) if len(match[1]) == octal else match[1],
        newest[1],
    )
    return re.split(r"[/\\]", raw.decode("utf-8", "replace"))[-1]


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
            if any(form.fullmatch(name) for form in (_V1_FILE, _V2_FILE, _FOREIGN_FILE)):
                target = os.path.join(folder, name)
                with errors_of(target), open(target, "wb") as file:
                    while piece := member.read(1 << 20):
                        file.write(piece)
