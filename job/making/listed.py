"""What listing a source finds: its kind, its classes, and what it was taken for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from job.images.lists import Columns
from job.making.catalogue import ImageCatalogue, PlannedImage
from job.making.containers import Progress


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read; see the fields of the same names in `RecordsConfig`."""

    seed: int = 0
    test_fraction: float = 0.1
    nested: str = "refuse"
    columns: Columns = field(default_factory=Columns)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a source is: `kind` for dataset.json, classes in label order, and a line that says it.

    `said` is empty where the kind says all.
    """

    kind: str
    classes: list[str]
    said: str


class Source(Protocol):
    """Anything that can list its images."""

    size_bytes: int
    """Size of what must be read for that, for its progress; 0 if it is not known."""
    streamed: bool
    """Whether `read_images` must be used: locations cannot be opened in any order."""

    def list_into(self, catalogue: ImageCatalogue, progress: Progress) -> Listed:
        """Fill the catalogue.

        Raises:
            DataError: What the source holds cannot be told, or it is damaged.
        """
        ...

    def read_images(
        self, wanted: Iterator[PlannedImage], max_bytes: int
    ) -> Iterable[tuple[PlannedImage, bytes]]:
        """Read images in a second pass, at most `max_bytes` of each.

        Args:
            wanted: In the order in which the first pass listed them.
            max_bytes: More are never taken into memory.

        Raises:
            DataError: The source is not the one of the first pass any more.
        """
        ...
