"""A source that is a tree of files: a folder or an archive, in one of the layouts."""

import posixpath
from collections.abc import Callable, Iterator, Mapping

from job.contract.errors import DataError
from job.contract.wording import many, shown_name
from job.images.file_kinds import (
    CONTENT_BYTES,
    FileKind,
    is_image_content,
    kind_of,
    name_fault,
    why_undecoded,
)
from job.making import food101, layouts, metadata
from job.making.catalogue import ImageCatalogue, PlannedImage, Reject, SourceImage
from job.making.containers import Container, Member, Progress
from job.making.layouts import Place
from job.making.listed import Listed, SourceOptions
from job.making.placement import split_of
from job.making.source_tree import SourceTree, TreeFile

_MAX_TEXT_BYTES = 256 << 20
_NO_IMAGE = "no image"
_NO_CLASS = "image in no folder of a class"

Placing = Callable[[TreeFile], Place | str]
"""Gives a file its place, or says why it is passed over."""


class TreeSource:
    """A container whose files are arranged in folders, or beside their metadata.

    Args:
        container: Holds the files.
        path: What --source named, for messages.
        options: How it is read.
    """

    def __init__(self, container: Container, path: str, options: SourceOptions) -> None:
        self._container = container
        self._path = path
        self._options = options
        self.size_bytes = container.size_bytes
        self.streamed = container.streamed

    def list_into(self, catalogue: ImageCatalogue, progress: Progress = lambda _: None) -> Listed:
        """Fill the catalogue in one pass over the container; see `Source`."""
        with SourceTree() as tree:
            for ordinal, member in enumerate(self._container.members(progress)):
                catalogue.saw(member.name)
                self._take_in(ordinal, member, tree, catalogue)
            return self._understand(tree, catalogue)

    def read_images(
        self, wanted: Iterator[PlannedImage], max_bytes: int
    ) -> Iterator[tuple[PlannedImage, bytes]]:
        """Read images in a second pass; see `Source`."""
        image = next(wanted, None)
        for ordinal, member in enumerate(self._container.members()):
            if image is None:
                return
            if ordinal == image.ordinal:
                if member.name != image.location:
                    break
                yield image, member.read(max_bytes)
                image = next(wanted, None)
        if image is not None:
            raise DataError(f"{self._path} has changed while it was read; start again")

    def _take_in(
        self, ordinal: int, member: Member, tree: SourceTree, catalogue: ImageCatalogue
    ) -> None:
        name = member.name
        kind = kind_of(name)
        if kind is not FileKind.COMPANION and (fault := name_fault(name)):
            catalogue.reject(Reject(shown_name(name), shown_name(name), fault))
            return
        if name.startswith("/") or ".." in name.split("/"):
            catalogue.pass_over(name, "its name climbs out of the source")
            return
        if kind is FileKind.UNKNOWN:
            is_image = is_image_content(member.read(CONTENT_BYTES))
            kind = FileKind.IMAGE if is_image else FileKind.COMPANION
        if not name_fault(name):
            tree.add(TreeFile(ordinal, name, member.size, member.location, kind))
            if _may_say_labels(name) and member.size <= _MAX_TEXT_BYTES:
                tree.texts.setdefault(name, member.read(member.size))
        else:
            catalogue.pass_over(shown_name(name), _NO_IMAGE)

    def _understand(self, tree: SourceTree, catalogue: ImageCatalogue) -> Listed:
        """Recognise the layout and add every file to the catalogue."""
        meta = food101.find_meta(tree.texts, set(tree.folders))
        if meta is not None:
            self._add_all(tree, catalogue, lambda file: meta.place(file.name) or _NO_CLASS)
            classes = food101.apply_meta(catalogue, meta.texts, self._path)
            return Listed("Food-101", classes, meta.describe(len(classes)))
        labelled, wrong = metadata.labelled_files(tree.texts, self._options.columns)
        if labelled:
            return self._by_metadata(tree, catalogue, labelled)
        try:
            layout = layouts.recognise(tree, self._path, self._options.nested)
        except DataError:
            if wrong is not None and tree.folders[""].below:
                raise wrong from None  # There is metadata, which only lacks a label.
            raise
        self._add_all(tree, catalogue, lambda file: layout.place(file.name) or _NO_CLASS)
        classes = catalogue.class_names()
        return Listed(layout.kind, classes, layout.describe(len(classes)))

    def _add_all(self, tree: SourceTree, catalogue: ImageCatalogue, placing: Placing) -> None:
        for file in tree.files():
            if file.kind is FileKind.COMPANION:
                catalogue.pass_over(file.name, _NO_IMAGE)
                continue
            place = placing(file)
            if isinstance(place, str):
                catalogue.pass_over(file.name, place)
            elif (why := why_undecoded(file.name)) is not None:
                catalogue.reject(Reject(place.source_id, place.source_id, why))
            else:
                catalogue.add(self._image(file, place))

    def _by_metadata(
        self, tree: SourceTree, catalogue: ImageCatalogue, texts: Mapping[str, bytes]
    ) -> Listed:
        """Add the images that metadata files label."""
        for name, row, split in metadata.rows(texts, self._options.columns):
            file = None if row.fault else tree.find(name)
            if file is None or not tree.take(file):
                catalogue.saw(name)  # An entry without a file of its own.
            if file is None:
                why = row.fault or "named in the metadata, but not there"
                catalogue.reject(Reject(shown_name(name), shown_name(name), why))
            elif (why_not := why_undecoded(name)) is not None:
                catalogue.reject(Reject(name, name, why_not))
            else:
                catalogue.add(self._image(file, Place(name, name, row.label, split or "")))
        for file in tree.left():
            is_companion = file.kind is FileKind.COMPANION
            catalogue.pass_over(file.name, _NO_IMAGE if is_companion else "not in the metadata")
        classes = catalogue.class_names()
        named = shown_name(next(iter(texts))) + (" and others" if len(texts) > 1 else "")
        said = f"{many(len(classes), 'class', 'classes')} by {named}, as Hugging Face imagefolder"
        return Listed("Hugging Face imagefolder", classes, said)

    def _image(self, file: TreeFile, place: Place) -> SourceImage:
        split = place.split
        if split == "":
            split = split_of(place.source_id, self._options.seed, self._options.test_fraction)
        return SourceImage(
            source_id=place.source_id,
            filename=place.filename,
            location=file.location,
            class_text=place.class_text,
            split=split,
            bytes=file.size,
            ordinal=file.ordinal,
        )


def _may_say_labels(name: str) -> bool:
    """Whether a file's content may be needed to understand the source."""
    folder, base = posixpath.split(name.lower())
    in_meta = posixpath.basename(folder) == "meta" and base in food101.META_FILES
    return in_meta or base in metadata.NAMES
