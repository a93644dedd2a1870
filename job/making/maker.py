"""Images -> shuffled TFRecord shards and dataset.json.

The source is listed and every image gets its place (`job/making/preparation.py`), worker
processes make records (`job/making/outcomes.py`), shards are written in order and committed one
by one (`job/making/shards.py`), and dataset.json comes last (`job/making/finish.py`).
"""

import logging
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from typing import Self

from job import storage
from job.contract import layout
from job.contract.configs import RecordsConfig
from job.contract.errors import PreemptedError
from job.contract.wording import many, shown_name
from job.dataset.description import SPLITS, Dataset
from job.making.catalogue import ImageCatalogue
from job.making.finish import drop_notes, finish, passed_over, write_rejects
from job.making.outcomes import Workshop, missing_images, outcomes_of_files, outcomes_of_stream
from job.making.placement import PlannedShard
from job.making.preparation import Preparation, find_complete, prepare_records
from job.making.shards import (
    RejectLimit,
    TooManyRejectsError,
    WrittenShard,
    commit_shard,
    finished_shards,
    write_shard,
)
from job.making.spool import RecordSpool
from job.making.workers import ImageOptions, Outcome
from job.process.cores import available_cores
from job.process.progress_bar import WorkProgress
from job.process.stop_request import LEAVE_WITHIN_S, StopRequest
from job.storage.interface import NotFoundError

_log = logging.getLogger(__name__)

CheckStop = Callable[[], None]


def make_tfrecords(config: RecordsConfig) -> None:
    """Make a dataset, or this task's share of it; go on where an interrupted run ended.

    Raises:
        InputMissingError: The source is not there.
        DataError: The source is damaged, or too many of its images are.
        ConfigError: The output holds another dataset.
        PreemptedError: SIGTERM came; finished shards are kept.
    """
    with StopRequest(LEAVE_WITHIN_S) as stop, ImageCatalogue() as catalogue:

        def check_stop() -> None:
            if stop.requested:
                raise PreemptedError(
                    "stopped on request; what is finished is kept: start the same command again"
                )

        preparation = prepare_records(config, catalogue, check_stop)
        _log.info("%s", _plan_text(config, preparation))
        if find_complete(config.output, preparation) is not None:
            _log.info("%s is complete already", config.output)
            return
        try:
            _make_missing(config, preparation, check_stop)
            _finish_if_last(config, preparation)
        except TooManyRejectsError as error:
            write_rejects(config.output, error.rejects)
            raise


def _make_missing(config: RecordsConfig, preparation: Preparation, check_stop: CheckStop) -> None:
    """Make those of this task's shards that are not finished."""
    mine = preparation.shards[config.task_index :: config.num_tasks]
    limit = _limit(config, preparation)
    finished = finished_shards(config.output, mine)
    for note in finished.values():
        limit.add(note.rejects)
    if finished:
        _log.info("%d of %d shards are finished already", len(finished), len(mine))
    todo = [shard for shard in mine if shard.file not in finished]
    if not todo:
        return
    with ExitStack() as stack:
        outcomes = stack.enter_context(
            closing(_outcomes(config, preparation, todo, stack, check_stop))
        )
        committer = stack.enter_context(_Committer(config.output))
        for shard in todo:
            images = preparation.catalogue.planned(shard.first, shard.last)
            own_outcomes = islice(outcomes, shard.last - shard.first)
            committer.commit(write_shard(config.output, shard, images, own_outcomes, limit))


class _Committer:
    """Commits shards in the background, one at a time; leaving the context waits for the last."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        self._wait()

    def commit(self, written: WrittenShard) -> None:
        """Commit a shard as soon as the one before it is committed; raises what that one did."""
        self._wait()
        self._pending = self._thread.submit(commit_shard, self._output, written)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


def _outcomes(
    config: RecordsConfig,
    preparation: Preparation,
    todo: Sequence[PlannedShard],
    stack: ExitStack,
    check_stop: CheckStop,
) -> Generator[Outcome]:
    """Yield the records of some shards in their order, with progress shown."""
    catalogue, source = preparation.catalogue, preparation.source
    options = ImageOptions(config.shorter_side, config.jpeg_quality, config.max_pixels)
    num_processes = config.num_processes or available_cores()
    spool: RecordSpool | None = None
    images = sum(shard.last - shard.first for shard in todo)
    if source.streamed:
        spool = stack.enter_context(_open_spool(config, preparation.digest))
        images = sum(1 for _ in missing_images(catalogue, todo, spool))
    progress = stack.enter_context(WorkProgress("encoding", "encoded", images, "images"))

    def on_outcome(_: Outcome) -> None:
        progress.advance()
        check_stop()

    workshop = Workshop(options, num_processes, on_outcome)
    if spool is None:
        yield from outcomes_of_files(catalogue, todo, workshop)
    else:
        yield from outcomes_of_stream(source, catalogue, todo, spool, workshop)
        spool.delete()


def _open_spool(config: RecordsConfig, digest: str) -> RecordSpool:
    folder = config.scratch_dir
    if not folder and storage.is_remote(config.output):
        folder = os.path.join(tempfile.gettempdir(), "food101-vgg19")
    name = f"{digest[:16]}-{config.task_index}-of-{config.num_tasks}"
    return RecordSpool(folder or layout.building_dir(config.output), name)


def _limit(config: RecordsConfig, preparation: Preparation) -> RejectLimit:
    limit = RejectLimit(preparation.description.source["images"], config.max_reject_fraction)
    limit.add(preparation.catalogue.rejects())
    return limit


def _finish_if_last(config: RecordsConfig, preparation: Preparation) -> None:
    try:
        dataset = finish(
            config.output,
            preparation.shards,
            preparation.description,
            _limit(config, preparation),
        )
    except NotFoundError:
        # A note is missing: either other tasks are still at work, or one of them saw all notes
        # too, finished the dataset and removed them.
        finished = len(finished_shards(config.output, preparation.shards))
        if storage.exists(layout.dataset_file(config.output)):
            drop_notes(config.output)
        else:
            missing = len(preparation.shards) - finished
            _log.info("done; %d shards of other tasks are still missing", missing)
        return
    for line in _summary(dataset):
        _log.info("%s", line)


def _plan_text(config: RecordsConfig, preparation: Preparation) -> str:
    catalogue = preparation.catalogue
    counts = ", ".join(f"{catalogue.count(split):,} {split}" for split in SPLITS)
    task = f", task {config.task_index} of {config.num_tasks}" if config.num_tasks > 1 else ""
    return (
        f"{config.source} ({preparation.description.source['kind']}): {counts} images of "
        f"{len(preparation.description.classes)} classes -> {len(preparation.shards)} shards{task}"
    )


def _counted(dataset: Dataset) -> Iterable[str]:
    """Say what became of every file, and by ending what was passed over."""
    for why, endings in dataset.source["passed_over"].items():
        kinds = ", ".join(
            f"{number:,} {shown_name(ending) or 'without ending'}"
            for ending, number in sorted(endings.items(), key=lambda one: (-one[1], one[0]))
        )
        yield f"passed over, {why}: {kinds}"
    examples = sum(split.examples for split in dataset.splits.values())
    rejects, left = dataset.rejects["images"], passed_over(dataset)
    yield (
        f"{many(sum(dataset.source['seen'].values()), 'file')} seen: {many(examples, 'example')}, "
        f"{rejects:,} rejected, {left:,} passed over"
    )


def _summary(dataset: Dataset) -> Iterable[str]:
    for name, split in dataset.splits.items():
        yield (
            f"{name}: {split.examples:,} examples in {len(split.shards)} shards, "
            f"{split.bytes / 1e6:,.1f} MB"
        )
    if dataset.rejects["images"]:
        yield f"rejected: {dataset.rejects['images']:,}, see {layout.rejects_file(dataset.path)}"
    yield from _counted(dataset)
    if not dataset.splits["test"].examples:
        yield (
            "warning: there are no test images, on which job.train evaluates; make it again with "
            "--test_fraction above 0"
        )
    if leaked := dataset.leakage["test_examples_in_train"]:
        pairs = dataset.leakage["first_pairs"][:3]
        named = ", ".join(f"{pair['test']} = {pair['train']}" for pair in pairs)
        yield f"warning: {leaked:,} test images are in the training split too, as {named}"
    yield f"complete: {layout.dataset_file(dataset.path)}"
