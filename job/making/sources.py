"""What --source names: a list, an archive, or a folder of one kind or another."""

from job import storage
from job.contract.errors import DataError, InputMissingError
from job.images import archives, lists
from job.making.containers import Folder, open_archive
from job.making.layout_table import LAYOUTS
from job.making.list_source import ListSource
from job.making.listed import Source, SourceOptions
from job.making.tree_source import TreeSource

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
    return TreeSource(Folder(path), path, options)


def _open_file(path: str, options: SourceOptions) -> Source:
    archive = open_archive(path)
    if archive is not None:
        return TreeSource(archive, path, options)
    lower = path.lower()
    if lower.endswith(lists.ENDINGS):
        return ListSource(path, options)
    if lower.endswith(_OTHER_ARCHIVES):
        raise DataError(
            f"{path}: this kind of archive cannot be read; unpack it and give the folder, or pack "
            f"it as one of {', '.join(archives.ENDINGS)}"
        )
    raise DataError(f"{path} is a file that lists no images; give {_forms()}")


def _forms() -> str:
    return f"a folder, an archive or a list in one of these layouts: {', '.join(LAYOUTS)}"
