"""A list of images with their labels as a source: CSV and its relatives, or lines of JSON."""

import unicodedata
from collections.abc import Iterable, Iterator

from job import storage
from job.contract.errors import DataError
from job.contract.wording import many, shown_name
from job.images.file_kinds import why_undecoded
from job.images.lists import Row, location_of, read_list
from job.making.catalogue import ImageCatalogue, PlannedImage, Reject, SourceImage
from job.making.containers import Progress
from job.making.listed import Listed, SourceOptions
from job.making.placement import split_of


class ListSource:
    """A list of path, label and maybe split.

    Paths are absolute, gs:// or relative to the folder of the list.
    """

    streamed = False

    def __init__(self, path: str, options: SourceOptions) -> None:
        self._path = path
        self._options = options
        self.size_bytes = storage.stat(path).size

    def list_into(self, catalogue: ImageCatalogue, progress: Progress = lambda _: None) -> Listed:
        """Fill the catalogue; see `Source`.

        Raises:
            DataError: Which columns to take cannot be told, or no row is there.
        """
        splits: set[str | None] = set()
        for row in read_list(self._path, self._options.columns, labelled=True):
            catalogue.saw(row.path)
            if row.fault or (why_undecoded(row.path) is not None):
                name = shown_name(row.path)
                reason = row.fault or str(why_undecoded(row.path))
                catalogue.reject(Reject(name, name, reason))
                continue
            splits.add(row.split)
            catalogue.add(self._image(row))
        progress(self.size_bytes)
        classes = catalogue.class_names()
        if not classes and not catalogue.considered:
            raise DataError(f"{self._path} lists no images")
        counted = many(len(classes), "class", "classes")
        how = "" if splits <= {None} else ", with a column for the split"
        return Listed("list", classes, f"{counted} in a list{how}")

    def read_images(
        self, wanted: Iterator[PlannedImage], max_bytes: int
    ) -> Iterable[tuple[PlannedImage, bytes]]:
        """Never needed: listed files can be opened in any order."""
        raise NotImplementedError

    def _image(self, row: Row) -> SourceImage:
        # The same file may be listed in two Unicode forms.
        name = unicodedata.normalize("NFC", row.path)
        split = row.split or split_of(name, self._options.seed, self._options.test_fraction)
        location = location_of(self._path, row.path)
        return SourceImage(name, name, location, row.label, split, None)
