"""Which arrangement of folders a source is: recognised, said in a line, or refused; never guessed.

Pure: folders and their counts in, a layout out. A layout places each file by its name alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from job.contract.errors import DataError
from job.contract.wording import many, shown_name
from job.images.lists import ENDINGS, split_named
from job.making.layout_table import LAYOUTS
from job.making.source_tree import SourceTree

_NAMED = 6


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image belongs.

    Attributes:
        source_id: What names it within the source.
        filename: What its file is called there.
        class_text: Its class.
        split: train or test; empty leaves it to chance, None to official lists.
    """

    source_id: str
    filename: str
    class_text: str
    split: str | None


@dataclass(frozen=True, slots=True)
class ClassRoot:
    """A folder of class folders: its path with a slash at its end (or empty), and its split."""

    prefix: str
    split: str | None


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """Class folders, in one place or once for each split.

    Attributes:
        kind: Its name, for people.
        base: What is left out of the names of images: wrapping folders.
        roots: Where class folders are.
        splits_inside: Whether class folders hold a folder for each split, not the other way round.
        nested: What folders within class folders mean: refuse, join or top.
        empty: Folders that stand where classes do, but have no images.
    """

    kind: str
    base: str
    roots: Sequence[ClassRoot]
    splits_inside: bool
    nested: str
    empty: Sequence[str]

    def place(self, name: str) -> Place | None:
        """Place a file; None for one in no folder of a class."""
        for root in self.roots:
            if not name.startswith(root.prefix):
                continue
            folders = name[len(root.prefix) :].split("/")[:-1]
            split = root.split
            if self.splits_inside and len(folders) > 1:
                split = split_named(folders.pop(1))
            if not folders:
                return None
            class_text = folders[0] if self.nested == "top" else "/".join(folders)
            inner = name[len(self.base) :]
            return Place(inner, inner, class_text, split or "")
        return None

    def describe(self, classes: int) -> str:
        """Say in a line what a source was taken for."""
        counted = many(classes, "class", "classes")
        wrapped = f" in {shown_name(self.base)}" if self.base else ""
        empty = ""
        if self.empty:
            has = "has" if len(self.empty) == 1 else "have"
            empty = f"; {_folders(self.empty)} {has} no images and make no class"
        if self.splits_inside:
            return f"{counted} as folders{wrapped}, each with a folder for each split{empty}"
        names = {
            root.prefix[len(self.base) :].partition("/")[0]: root.split
            for root in self.roots
            if root.split
        }
        if not names:
            return f"{counted} as folders{wrapped}{empty}"
        tests = [name for name, split in names.items() if split == "test"]
        meant = "" if tests in ([], ["test"]) else f" ({_folders(tests)} for testing)"
        return f"{counted} in {_folders(list(names))}{wrapped}{meant}, as ImageFolder{empty}"


def recognise(tree: SourceTree, where: str, nested: str) -> FolderLayout:
    """Find the class folders of a source.

    Args:
        tree: All its files.
        where: Its path, for messages.
        nested: What folders within class folders mean: refuse, join or top.

    Raises:
        DataError: It is not clear what the classes are; says what is there and what could be.
    """
    base = _unwrapped(tree)
    children = tree.filled(base)
    if not children:
        raise refusal(tree, where)
    splits = [one for one in children if split_named(one) and tree.filled(_join(base, one))]
    others = [one for one in children if not split_named(one)]
    if splits and others:
        raise DataError(
            f"{where}: {_folders(splits)} hold class folders as splits do, but "
            f"{_folders(others)} beside them do not; move these away, or give --source one folder"
        )
    prefix = base + "/" if base else ""
    if splits:
        roots = tuple(
            ClassRoot(_inner(tree, prefix + one) + "/", split_named(one)) for one in children
        )
        kind, inside = "ImageFolder", False
    elif not others and len(children) > 1:
        raise refusal(tree, where, f"{_folders(children)} have images but no class folders")
    else:
        roots = (ClassRoot(prefix, None),)
        inside = all(_holds_splits(tree, _join(base, one)) for one in children)
        kind = "class folders"
    empty = sorted({one for root in roots for one in tree.without_images(root.prefix[:-1])})
    layout = FolderLayout(kind, prefix, roots, inside, nested, empty)
    _check_nesting(tree, layout, where)
    return layout


def refusal(tree: SourceTree, where: str, why: str = "") -> DataError:
    """Make the error for a source that is in no layout: what was seen, and what there could be."""
    layouts = "; ".join(f"{name}: {example}" for name, example in LAYOUTS.items())
    return DataError(f"{where}: {why or _seen(tree)}; what is recognised: {layouts}")


def _seen(tree: SourceTree) -> str:
    files = sum(tree.endings.values())
    endings = ", ".join(
        f"{number:,} {shown_name(ending) or 'without ending'}"
        for ending, number in tree.endings.most_common(_NAMED)
    )
    images = tree.folders[""].below
    if not images:
        return f"no images among {many(files, 'file')} ({endings})"
    lists = sorted(name for name in tree.texts if name.lower().endswith(ENDINGS))
    hint = f"; if {shown_name(lists[0])} is their list, give it to --source" if lists else ""
    return f"{many(images, 'image')} in no folder of a class ({endings}){hint}"


def _unwrapped(tree: SourceTree) -> str:
    """Go down through folders that hold one folder and no images, as archives wrap their files."""
    base = ""
    while True:
        children = tree.filled(base)
        if len(children) != 1 or tree.images_in(base):
            return base
        inner = _join(base, children[0])
        if tree.images_in(inner) or split_named(children[0]) == "train":
            return base  # One class alone, or one split.
        base = inner


def _inner(tree: SourceTree, folder: str) -> str:
    """Go down from a split to its class folders, where it holds them in one folder more."""
    while len(children := tree.filled(folder)) == 1 and not tree.images_in(folder):
        inner = _join(folder, children[0])
        if tree.images_in(inner):
            break
        folder = inner
    return folder


def _holds_splits(tree: SourceTree, folder: str) -> bool:
    children = tree.filled(folder)
    return bool(children) and not tree.images_in(folder) and all(map(split_named, children))


def _check_nesting(tree: SourceTree, layout: FolderLayout, where: str) -> None:
    if layout.nested != "refuse":
        return
    deepest = 2 if layout.splits_inside else 1
    nested = sorted(
        folder
        for root in layout.roots
        for folder, count in tree.folders.items()
        if count.images
        and folder.startswith(root.prefix)
        and len(folder[len(root.prefix) :].split("/")) > deepest
    )
    if nested:
        first = nested[0][len(layout.base) :]
        raise DataError(
            f"{where}: class folders hold folders of their own, as {shown_name(first)}/; say "
            "--nested=join for classes named by all folders, or --nested=top for the outermost"
        )


def _join(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def _folders(names: Sequence[str]) -> str:
    """Name some folders: a/, b/ and 3 more."""
    shown = [shown_name(name) + "/" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
