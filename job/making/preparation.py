"""Before the first image is decoded: what the source holds, where all of it goes, what is there."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from job import storage
from job.contract import layout
from job.contract.configs import RecordsConfig
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.contract.schema import Open, Scalar, Word
from job.dataset.description import SPLITS, Dataset, load_dataset
from job.images import archives, lists
from job.images.lists import Columns
from job.making.catalogue import ImageCatalogue
from job.making.classes import check_classes
from job.making.finish import Description
from job.making.listed import Listed, Source, SourceOptions
from job.making.placement import PlannedShard, expected_bytes, plan_shards
from job.making.sources import open_source
from job.process.progress_bar import WorkProgress
from job.storage import documents
from job.storage.interface import NotFoundError, PreconditionError

_log = logging.getLogger(__name__)

_SHAPING_OPTIONS = (
    "name",
    "test_fraction",
    "seed",
    "shorter_side",
    "jpeg_quality",
    "shard_size_mb",
    "max_pixels",
)
"""The settings that a dataset's bytes depend on; all others only say how it is made."""

_SAMPLED_SIZES = 256
_NAMED_CLASSES = 10


@dataclass(frozen=True, slots=True)
class Preparation:
    """A source whose images all have their place."""

    source: Source
    catalogue: ImageCatalogue
    shards: tuple[PlannedShard, ...]
    description: Description

    @property
    def digest(self) -> str:
        """Hash of everything that the dataset's bytes depend on."""
        return str(self.description.source["digest"])


@dataclass(frozen=True, slots=True)
class _Plan:
    """The note of what is being made in a folder: see `Description`."""

    options: Mapping[Word, Scalar]
    source: Open


def prepare_records(
    config: RecordsConfig, catalogue: ImageCatalogue, check_stop: Callable[[], None]
) -> Preparation:
    """List the source into an empty catalogue and place every image.

    Args:
        config: Of the command.
        catalogue: Is filled and arranged.
        check_stop: Called now and then; may raise to end the work.

    Raises:
        InputMissingError: The source is not there.
        DataError: It holds no images, or is damaged.
    """
    source = open_source(config.source, _source_options(config))
    listed = _list(source, catalogue, check_stop)
    catalogue.arrange(listed.classes, config.seed)
    if not sum(catalogue.count(split) for split in SPLITS):
        raise _no_images(config.source, listed, catalogue)
    check_classes(listed.classes, config.source)
    _log.info("%s: %s", config.source, listed.said)
    for line in _warnings(catalogue):
        _log.warning("%s", line)
    shards = _plan(config, catalogue)
    options = {name: getattr(config, name) for name in _SHAPING_OPTIONS}
    options["name"] = config.name or _name_of(config.source)
    content = json.dumps([options, listed.classes, catalogue.digest(), len(shards)])
    described = {
        "path": config.source,
        "kind": listed.kind,
        "taken_for": listed.said,
        "images": catalogue.considered,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
        "seen": dict(sorted(catalogue.seen.items())),
        "passed_over": {
            why: dict(sorted(endings.items()))
            for why, endings in sorted(catalogue.passed_over.items())
        },
    }
    description = Description(options["name"], tuple(listed.classes), described, options)
    return Preparation(source, catalogue, shards, description)


def _source_options(config: RecordsConfig) -> SourceOptions:
    return SourceOptions(
        seed=config.seed,
        test_fraction=config.test_fraction,
        nested=config.nested,
        columns=Columns(config.path_column, config.label_column, config.split_column),
    )


def _no_images(source: str, listed: Listed, catalogue: ImageCatalogue) -> DataError:
    """Say why a source of which the layout is clear has no image to use."""
    reasons = Counter(reject.reason.partition(":")[0] for reject in catalogue.rejects())
    named = "; ".join(f"{number:,}: {reason}" for reason, number in reasons.most_common(3))
    return DataError(
        f"{source} ({listed.kind}) has no images that could be used{f' ({named})' if named else ''}"
    )


def _warnings(catalogue: ImageCatalogue) -> Iterator[str]:
    """Say what a dataset lacks that its user will miss later."""
    counts = {split: catalogue.count(split) for split in SPLITS}
    without = {split: set(catalogue.classes_without(split)) for split in SPLITS}
    empty = without["train"] & without["test"]
    for name in sorted(empty):
        yield f"warning: class {name} has no images"
    if not counts["test"]:
        yield (
            "warning: there are no test examples; nothing will be evaluated: give a test/ folder, "
            "a split column or a larger --test_fraction"
        )
    elif counts["train"]:
        for split, other in (("train", "test"), ("test", "train")):
            if alone := sorted(without[split] - empty):
                yield f"warning: {_named(alone)} only in {other}, not in {split}"


def _named(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:_NAMED_CLASSES])
    more = f" and {len(classes) - _NAMED_CLASSES:,} more" if len(classes) > _NAMED_CLASSES else ""
    return f"{'class' if len(classes) == 1 else 'classes'} {shown}{more}: images"


def find_complete(output: str, preparation: Preparation) -> Dataset | None:
    """Return the dataset if `output` holds this very one, complete; None if there is none.

    Raises:
        ConfigError: It holds another one, complete or not; says what differs.
    """
    mine = preparation.description
    try:
        complete = load_dataset(output)
    except InputMissingError:
        _claim(output, mine)
        return None
    _compare(output, mine, complete.options, complete.source, "a dataset")
    return complete


def _claim(output: str, mine: Description) -> None:
    """Note what is being made here; ConfigError if that was something else so far."""
    path = layout.plan_note(output)
    try:
        documents.write(path, _Plan(dict(mine.options), dict(mine.source)), if_absent=True)
    except PreconditionError:
        try:
            theirs = documents.read(path, _Plan)
        except NotFoundError:
            return  # finished by another task between the two requests
        _compare(output, mine, theirs.options, theirs.source, "an unfinished dataset")


def _compare(
    output: str, mine: Description, options: Mapping[str, Any], source: Mapping[str, Any], what: str
) -> None:
    if source.get("digest") == mine.source["digest"]:
        return
    differences = [
        f"{name} {options.get(name)!r}, now {value!r}"
        for name, value in mine.options.items()
        if options.get(name) != value
    ]
    raise ConfigError(
        f"{output} holds {what} made from {source.get('path')} "
        f"({', '.join(differences) or 'whose images have changed'}); "
        "choose another --output, or delete this one"
    )


def _list(source: Source, catalogue: ImageCatalogue, check_stop: Callable[[], None]) -> Listed:
    if not source.size_bytes:
        return source.list_into(catalogue, lambda _: check_stop())
    with WorkProgress("listing", "listed", source.size_bytes, "B") as progress:

        def advance(done: int) -> None:
            progress.advance_to(done)
            check_stop()

        return source.list_into(catalogue, advance)


def _plan(config: RecordsConfig, catalogue: ImageCatalogue) -> tuple[PlannedShard, ...]:
    mean_bytes = _sampled_size(catalogue)
    shards: list[PlannedShard] = []
    first = 0
    for split in SPLITS:
        examples = catalogue.count(split)
        total = sum(
            expected_bytes(
                mean_bytes if image.bytes is None else image.bytes,
                config.shorter_side,
                config.jpeg_quality,
            )
            for image in catalogue.planned(first, first + examples)
        )
        shards += plan_shards(split, first, examples, total, config.shard_size_mb)
        first += examples
    return tuple(shards)


def _sampled_size(catalogue: ImageCatalogue) -> float:
    """Give the mean size of files whose size the source does not know, from some of them."""
    sizes = []
    for image in catalogue.planned(0, _SAMPLED_SIZES):
        if image.bytes is None:
            try:
                sizes.append(storage.stat(image.location).size)
            except NotFoundError:
                continue
    return sum(sizes) / len(sizes) if sizes else 0.0


def _name_of(source: str) -> str:
    name = source.rstrip("/").rpartition("/")[2]
    for ending in (*archives.ENDINGS, *lists.ENDINGS, ".parquet"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return name or "images"
