"""The stream of finished records in the order of the shards, whatever the source's own order."""

import bisect
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

from job.making.catalogue import ImageCatalogue, PlannedImage
from job.making.listed import Source
from job.making.placement import PlannedShard
from job.making.spool import RecordSpool
from job.making.worker_pool import map_in_order
from job.making.workers import (
    MAX_FILE_BYTES,
    ImageOptions,
    Outcome,
    Task,
    chunks,
    do_chunk,
    prepare,
)

OnOutcome = Callable[[Outcome], None]
"""Told of each outcome as soon as a worker has it."""


class Workshop:
    """Turns tasks into outcomes, in their order, in several processes."""

    def __init__(self, options: ImageOptions, num_processes: int, on_outcome: OnOutcome) -> None:
        self._do = functools.partial(do_chunk, options=options)
        self._num_processes = num_processes
        self._on_outcome = on_outcome

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield the outcomes of tasks."""
        results = map_in_order(self._do, chunks(tasks), self._num_processes, prepare)
        with closing(results):
            for chunk in results:
                for outcome in chunk:
                    self._on_outcome(outcome)
                    yield outcome


def outcomes_of_files(
    catalogue: ImageCatalogue, shards: Iterable[PlannedShard], workshop: Workshop
) -> Iterator[Outcome]:
    """Yield the outcomes of images that can be opened in any order: simply that of the shards."""
    return workshop.outcomes(
        Task(image) for shard in shards for image in catalogue.planned(shard.first, shard.last)
    )


def outcomes_of_stream(
    source: Source,
    catalogue: ImageCatalogue,
    shards: Sequence[PlannedShard],
    spool: RecordSpool,
    workshop: Workshop,
) -> Iterator[Outcome]:
    """Yield the outcomes of images that come in the source's order: all go to the spool first."""
    wanted = missing_images(catalogue, shards, spool)
    tasks = (Task(image, data) for image, data in source.read_images(wanted, MAX_FILE_BYTES + 1))
    for outcome in workshop.outcomes(tasks):
        spool.add(outcome)
    for shard in shards:
        yield from spool.read(shard.first, shard.last)


def missing_images(
    catalogue: ImageCatalogue, shards: Iterable[PlannedShard], spool: RecordSpool
) -> Iterator[PlannedImage]:
    """Yield what is not in the spool of the images of some shards, as the source lists them."""
    ranges = sorted((shard.first, shard.last) for shard in shards)
    for image in catalogue.planned_as_listed():
        if _lies_in(image.position, ranges) and image.position not in spool:
            yield image


def _lies_in(position: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether one of the sorted ranges [first, last) holds a position."""
    index = bisect.bisect_right(ranges, position, key=lambda one: one[0]) - 1
    return index >= 0 and position < ranges[index][1]
