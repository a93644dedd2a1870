"""What --source names: a list, an archive, or a folder of one kind or another."""

from collections.abc import Callable, Mapping, Sequence

from job import storage
from job.contract.errors import DataError, InputMissingError
from job.contract.wording import shown_name
from job.images import archives, lists
from job.images.file_kinds import FileKind, kind_of
from job.making import label_names, tfds, webdataset
from job.making.containers import Folder, open_archive
from job.making.layout_table import LAYOUTS
from job.making.list_source import ListSource
from job.making.listed import Source, SourceOptions
from job.making.parquet import Parquet
from job.making.shard_source import ShardSource, shard_files
from job.making.tfds import TfdsRecords
from job.making.tree_source import TreeSource
from job.making.webdataset import WebDataset

PARQUET_ENDING = ".parquet"
_MOST_OTHERS = 10_000
"""Files beside shards; where there are more, shards are not what a folder is about."""
_OTHER_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".cab", ".iso", ".dmg")


def open_source(path: str, options: SourceOptions) -> Source:
    """Recognise a source by its name and by what is there.

    Raises:
        InputMissingError: There is nothing at that path.
        DataError: It is a file of a kind that no images can be listed from.
    """
    if storage.exists(path):
        return _open_file(path, options)
    if next(storage.list_files(path), None) is None:
        raise InputMissingError(f"source {path} is not there or empty; give {_forms()}")
    return _open_shards(path, options) or TreeSource(Folder(path), path, options)


def _open_file(path: str, options: SourceOptions) -> Source:
    archive = open_archive(path)
    if _opener_of(path) == "tar":
        samples = _open_webdataset(path, [(path, storage.stat(path).size)], [], options)
        if samples is not None:
            return samples
    if archive is not None:
        return TreeSource(archive, path, options)
    lower = path.lower()
    if lower.endswith(lists.ENDINGS):
        return ListSource(path, options)
    if lower.endswith(PARQUET_ENDING):
        return _open_parquet(path, [(path, storage.stat(path).size)], [], options)
    if lower.endswith(_OTHER_ARCHIVES):
        raise DataError(
            f"{path}: this kind of archive cannot be read; unpack it and give the folder, or pack "
            f"it as one of {', '.join(archives.ENDINGS)}"
        )
    raise DataError(f"{path} is a file that lists no images; give {_forms()}")


def _open_shards(path: str, options: SourceOptions) -> Source | None:
    """Recognise a folder of shards; None for one that has images or no shards."""
    shards: dict[str, list[tuple[str, int]]] = {}
    others: list[str] = []
    for found in storage.list_files(path):
        name = found.path[len(path) :].lstrip("/")
        kind = kind_of(name)
        if kind in (FileKind.IMAGE, FileKind.UNDECODED):
            return None
        hidden = any(part.startswith(".") for part in name.split("/"))
        opener = "" if hidden else _opener_of(name)
        if opener:
            shards.setdefault(opener, []).append((found.path, found.size))
        elif len(others) < _MOST_OTHERS:
            others.append(found.path)
        else:
            return None
    if len(shards) > 1:
        firsts = " and ".join(shown_name(files[0][0]) for files in shards.values())
        raise DataError(
            f"{path} holds shards of several kinds, as {firsts}, which may hold the same images; "
            "give --source a folder of one kind"
        )
    for opener, files in shards.items():
        return _OPENERS[opener](path, files, others, options)
    return None


def _opener_of(name: str) -> str:
    lower = name.lower()
    if lower.endswith(PARQUET_ENDING):
        return "parquet"
    if tfds.SHARD_NAME.search(lower):
        return "tfrecord"
    return "tar" if lower.endswith(archives.TAR_ENDINGS) else ""


def _open_parquet(
    path: str, shards: Sequence[tuple[str, int]], others: Sequence[str], options: SourceOptions
) -> Source:
    files = shard_files(path, shards)
    descriptions = [one for one in others if one.endswith(label_names.FEATURE_FILES)]
    form = Parquet(files, options.columns, descriptions)
    return ShardSource(files, _inner(path, others), form, path, options)


def _open_webdataset(
    path: str, shards: Sequence[tuple[str, int]], others: Sequence[str], options: SourceOptions
) -> Source | None:
    if not webdataset.looks_so(shards[0][0]):
        return None
    files = shard_files(path, shards)
    names = [
        label_names.of_lines(one)
        for one in others
        if one.rpartition("/")[2].lower() in webdataset.NAME_FILES
    ]
    form = WebDataset(files, options.columns.label, names[0] if names else None)
    return ShardSource(files, _inner(path, others), form, path, options)


def _open_tfds(
    path: str, shards: Sequence[tuple[str, int]], others: Sequence[str], options: SourceOptions
) -> Source:
    files = shard_files(path, shards)
    names = {
        one.rpartition("/")[2].removesuffix(tfds.NAMES_ENDING): label_names.of_lines(one)
        for one in others
        if one.endswith(tfds.NAMES_ENDING)
    }
    form = TfdsRecords(files, options.columns, names)
    return ShardSource(files, _inner(path, others), form, path, options)


_OPENERS: Mapping[str, Callable[..., Source | None]] = {
    "parquet": _open_parquet,
    "tfrecord": _open_tfds,
    "tar": _open_webdataset,
}


def _inner(path: str, files: Sequence[str]) -> list[str]:
    return [one[len(path) :].lstrip("/") for one in files]


def _forms() -> str:
    return f"a folder, an archive or a list in one of these layouts: {', '.join(LAYOUTS)}"
