"""Hugging Face's imagefolder: `metadata.csv` or `.jsonl` with `file_name` and a label column.

The file lies beside its images or above them, one for all or one in each split's folder.
"""

import io
import posixpath
from collections.abc import Iterator, Mapping

from job.contract.errors import DataError
from job.images.lists import Columns, Row, rows_of, split_named

NAMES = ("metadata.csv", "metadata.jsonl")


def labelled_files(
    texts: Mapping[str, bytes], columns: Columns
) -> tuple[dict[str, bytes], DataError | None]:
    """Choose the metadata files that label images.

    Returns:
        Those that do, by name; and what is wrong with the first one that does not, as captions.
    """
    good: dict[str, bytes] = {}
    wrong: DataError | None = None
    for name in sorted(texts):
        if posixpath.basename(name).lower() in NAMES:
            try:
                next(iter(_rows(name, texts[name], columns)), None)
                good[name] = texts[name]
            except DataError as error:
                wrong = wrong or error
    return good, wrong


def rows(texts: Mapping[str, bytes], columns: Columns) -> Iterator[tuple[str, Row, str | None]]:
    """Yield (name within the source, row, split) of each labelled image.

    The split is the row's own, else that of the folder which the metadata lies in.
    """
    for name, content in texts.items():
        folder = posixpath.dirname(name)
        of_folder = split_named(posixpath.basename(folder))
        for row in _rows(name, content, columns):
            path = row.path if row.fault else posixpath.normpath(posixpath.join(folder, row.path))
            yield path, row, row.split or of_folder


def _rows(name: str, content: bytes, columns: Columns) -> Iterator[Row]:
    return rows_of(io.BytesIO(content), name, columns, labelled=True)
