"""What --source names: a list, an archive, or a folder of one kind or another."""

from job import storage
from job.contract.errors import DataError, InputMissingError
from job.images import archives, lists
from job.images.file_kinds import FileKind, kind_of
from job.making import label_names
from job.making.containers import Folder, open_archive
from job.making.layout_table import LAYOUTS
from job.making.list_source import ListSource
from job.making.listed import Source, SourceOptions
from job.making.parquet import Parquet
from job.making.shard_source import ShardSource, shard_files
from job.making.tree_source import TreeSource

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
    shards: list[tuple[str, int]] = []
    others: list[str] = []
    for found in storage.list_files(path):
        name = found.path[len(path) :].lstrip("/")
        kind = kind_of(name)
        if kind in (FileKind.IMAGE, FileKind.UNDECODED):
            return None
        hidden = any(part.startswith(".") for part in name.split("/"))
        if name.lower().endswith(PARQUET_ENDING) and not hidden:
            shards.append((found.path, found.size))
        elif len(others) < _MOST_OTHERS:
            others.append(found.path)
        else:
            return None
    return _open_parquet(path, shards, others, options) if shards else None


def _open_parquet(
    path: str, shards: list[tuple[str, int]], others: list[str], options: SourceOptions
) -> Source:
    files = shard_files(path, shards)
    descriptions = [one for one in others if one.endswith(label_names.FEATURE_FILES)]
    form = Parquet(files, options.columns, descriptions)
    names = [one[len(path) :].lstrip("/") for one in others]
    return ShardSource(files, names, form, path, options)


def _forms() -> str:
    return f"a folder, an archive or a list in one of these layouts: {', '.join(LAYOUTS)}"
