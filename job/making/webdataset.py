"""WebDataset: tar archives in which a sample is a run of members that differ after the first dot.

`pie/0001.jpg` and `pie/0001.cls` are one sample, of the key `pie/0001`. The label is the text of
the `.cls`, or a key of the object in the `.json`, as `label` or `cls`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from job.images import archives, tar_members
from job.images.file_kinds import FileKind, ending_of, has_image_ending, kind_of, why_undecoded
from job.images.list_columns import is_label
from job.making import label_names
from job.making.containers import Progress
from job.making.shard_source import Companion, Content, Entry, ShardFile

NAME_FILES = ("classnames.txt", "classes.txt")
"""Beside shards: a line for each class, in the order of the numbers that stand for them."""
_LABEL_ENDINGS = (".cls", ".json")
_MOST_LABEL_BYTES = 1 << 20
_PEEKED_MEMBERS, _PEEKED_BYTES = 64, 64 << 20


@dataclass(slots=True)
class _Sample:
    """The members of a key: images with their ordinals and sizes, other names, label texts."""

    key: str
    images: list[tuple[int, str, int]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)


class WebDataset:
    """Shards of samples.

    Args:
        shards: The archives.
        label: Key of the label in `.json` that was asked for; empty finds it.
        names: Of the classes that numbers stand for; None: numbers name themselves.
    """

    kind = "tars, as WebDataset"

    def __init__(self, shards: Sequence[ShardFile], label: str, names: list[str] | None) -> None:
        self._shards = shards
        self._label = label
        self._names = names
        self._numbers = False

    def entries(self, progress: Progress) -> Iterator[Entry | Companion]:
        """Yield all samples; see `ShardFormat`."""
        first = done = 0
        for shard in self._shards:
            start = done
            with archives.opened(shard.path, lambda read: progress(start + read)) as stream:  # noqa: B023
                sample = _Sample("")
                for member in tar_members.files(stream, shard.path):
                    if (key := _key(member.name)) != sample.key:
                        yield from self._understood(sample, shard)
                        sample = _Sample(key)
                    _take_in(member, first, sample)
                    first += 1
                yield from self._understood(sample, shard)
            done += shard.size

    def contents(self) -> Iterator[Content]:
        """Yield all members once more; see `ShardFormat`."""
        ordinal = 0
        for shard in self._shards:
            with archives.opened(shard.path) as stream:
                for member in tar_members.files(stream, shard.path):
                    yield Content(ordinal, _named(shard, member.name), member.read)
                    ordinal += 1

    def remark(self, classes: Sequence[str]) -> str:
        """Say which names no sample has, and that numbers have none."""
        return label_names.remark(self._names, classes, numbers=self._numbers)

    def _understood(self, sample: _Sample, shard: ShardFile) -> Iterator[Entry | Companion]:
        why = "label of an image" if sample.images else "no image"
        for name in sample.others:
            yield Companion(name, why if name.lower().endswith(_LABEL_ENDINGS) else "no image")
        if not sample.images:
            return
        label, fault = self._label_of(sample)
        if len(sample.images) > 1:
            fault = f"its sample has {len(sample.images)} images, and which is meant is not known"
        for ordinal, name, size in sample.images:
            named = _named(shard, name)
            wrong = why_undecoded(name) or fault
            filename = name.rpartition("/")[2]
            yield Entry(ordinal, named, filename, label, shard.split, size, wrong)

    def _label_of(self, sample: _Sample) -> tuple[str, str]:
        value, fault = label_value(sample.texts, self._label)
        if fault:
            return "", fault
        self._numbers = self._numbers or isinstance(value, int)
        return label_names.label_text(value, self._names)


def label_value(texts: dict[str, bytes], asked: str) -> tuple[Any, str]:
    """Find the label in the texts of a sample, by ending; and what is wrong, empty if nothing."""
    if ".cls" in texts and not asked:
        try:
            text = texts[".cls"].decode().strip()
        except UnicodeDecodeError:
            return None, "its .cls is not UTF-8"
        return (int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text), ""
    if ".json" not in texts:
        return None, "no .cls and no .json beside it in its shard"
    try:
        value = json.loads(texts[".json"])
    except (ValueError, RecursionError):
        return None, "its .json is damaged or too long"
    keys = [key for key in value if _means_label(key, asked)] if isinstance(value, dict) else []
    if len(keys) > 1:
        return None, f"its .json has {len(keys)} labels; say which with --label_column"
    return (value[keys[0]], "") if keys else (None, "its .json has no label")


def looks_so(path: str) -> bool:
    """Tell from the first members of an archive whether it holds samples.

    That is so where an image has a `.cls` of its key, or, unless there are class folders, a
    `.json` with a label.

    Raises:
        DataError: It is damaged or no archive.
    """
    samples: dict[str, _Sample] = {}
    with archives.opened(path) as stream:
        for number, member in enumerate(tar_members.files(stream, path)):
            key = _key(member.name)
            _take_in(member, number, samples.setdefault(key, _Sample(key)))
            if number >= _PEEKED_MEMBERS or member.start + member.size > _PEEKED_BYTES:
                break
    with_images = [sample for sample in samples.values() if sample.images]
    if any(".cls" in sample.texts for sample in with_images):
        return True
    folders = {sample.key.rpartition("/")[0] for sample in with_images}
    return len(folders) == 1 and any(not label_value(sample.texts, "")[1] for sample in with_images)


def _take_in(member: tar_members.TarMember, ordinal: int, sample: _Sample) -> None:
    name = member.name
    if kind_of(name) is not FileKind.COMPANION and has_image_ending(name):
        sample.images.append((ordinal, name, member.size))
        return
    sample.others.append(name)
    ending = ending_of(name)
    if ending in _LABEL_ENDINGS and name == sample.key + name[-len(ending) :]:
        sample.texts[ending] = member.read(_MOST_LABEL_BYTES)


def _means_label(key: str, asked: str) -> bool:
    return key == asked if asked else key == "cls" or is_label(key)


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _named(shard: ShardFile, name: str) -> str:
    return f"{shard.name}/{name.removeprefix('./')}"
