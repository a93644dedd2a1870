"""Prediction: classify images, each exactly once, and say why where that fails.

The images are listed once (`job/prediction/listing.py`) and cut into parts; a task classifies its
parts (`job/prediction/pipeline.py`) and commits them one by one (`job/prediction/parts.py`).
Started again, with any number of tasks, it does the parts that are missing. The task that finds all
parts there writes summary.json.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from job import storage
from job.contract import layout, part_ranges
from job.contract.configs import PredictConfig
from job.contract.errors import ConfigError, DataError
from job.contract.schema import Scalar
from job.contract.wording import many
from job.distributed import devices
from job.prediction import listing_sources, runtime
from job.prediction.gallery import write_gallery
from job.prediction.image_reader import ImageReader
from job.prediction.listing import (
    Found,
    Listing,
    drop_other_attempts,
    freeze,
    in_words,
    new_entries,
)
from job.prediction.parts import PartStore, Summary, read_summary, summary_of
from job.prediction.task import PredictTask
from job.process.stop_request import LEAVE_WITHIN_S, StopRequest
from job.serving.model_files import ModelFacts, local_model, read_facts
from job.storage import documents
from job.storage.interface import NotFoundError, PreconditionError

PLAN_FORMAT = 1
_RELISTED = 1_000_000
"""Up to so many images are listed again to look for new ones."""
_log = logging.getLogger(__name__)


def predict(config: PredictConfig) -> None:
    """Do the missing parts of one task.

    Raises:
        ConfigError: The output holds something else, or predictions of other images or options.
        InputMissingError: No model, or no images.
        PreemptedError: SIGTERM; what was finished is committed.
    """
    devices.prepare(os.environ)
    facts = read_facts(config.model)
    _check_output(config.output)
    find = functools.partial(listing_sources.find, path_column=config.path_column)
    listing = freeze(config.output, config.images, find, config.num_tasks)
    plan = _agree_on_plan(config, facts)
    store = PartStore(listing, config.format)
    if storage.exists(layout.summary_file(config.output)):
        _log.info("complete already: %s", layout.summary_file(config.output))
        _say_new_images(config, listing, find)
        _refuse_nothing(config, read_summary(config.output))
        return
    shared = _shared_parts(config, listing)
    mine = listing.parts_of_task(config.task_index, config.num_tasks, shared)
    finished = store.finished(mine)
    missing = [part for part in mine if part not in finished]
    _log.info("%s", _plan_text(config, listing, mine, missing))
    with StopRequest(LEAVE_WITHIN_S) as stop:
        if missing:
            with (
                local_model(config.model, facts) as folder,
                ImageReader(listing) as reader,
            ):
                model = runtime.load(folder, facts, config)
                PredictTask(config, facts, listing, store, model, stop).run(reader, missing)
        _finish_if_last(config, listing, store, plan)


def _check_output(output: str) -> None:
    """Refuse a folder with other things in it; one that was begun is gone on with."""
    if storage.exists(layout.listing_file(output)):
        return
    prefix = output.rstrip("/") + "/"
    for stat in storage.list_files(output):
        if not layout.is_predictions_part(name := stat.path.removeprefix(prefix)):
            raise ConfigError(
                f"{output} holds {name}, which is no part of a prediction; choose another --output"
            )


def _shared_parts(config: PredictConfig, listing: Listing) -> Sequence[int]:
    """Give the parts that all tasks together are to do."""
    if not config.parts:
        return range(listing.parts)
    parts = part_ranges.parse(config.parts)
    if parts[-1] >= listing.parts:
        raise ConfigError(f"parts {config.parts}: there is no part {parts[-1]} of {listing.parts}")
    return parts


def _agree_on_plan(config: PredictConfig, facts: ModelFacts) -> Mapping[str, Scalar]:
    """Note what the parts are made with, or check that it is what they were begun with."""
    plan: dict[str, Scalar] = {
        "format": PLAN_FORMAT,
        "model": config.model,
        "model_version": facts.version,
        "model_step": facts.step,
        "file_format": config.format,
        "top_k": config.top_k,
        "embedding": config.embedding,
        "tta": config.tta,
        "precision": config.precision,
        "runtime": config.runtime,
    }
    path = layout.predictions_file(config.output)
    try:
        documents.write(path, plan, if_absent=True)
    except PreconditionError:
        there = {"runtime": "auto"} | documents.read(path, dict[str, Scalar])
        for name in plan:
            # The same model may lie elsewhere now.
            if name != "model" and there.get(name) != plan[name]:
                raise ConfigError(
                    f"{config.output} was begun with {name} {there.get(name)}, not {plan[name]}; "
                    "choose another --output"
                ) from None
    return plan


def _finish_if_last(
    config: PredictConfig, listing: Listing, store: PartStore, plan: Mapping[str, Scalar]
) -> None:
    left = listing.parts - len(store.finished(range(listing.parts)))
    if left:
        _log.info("done; %d of %d parts of other tasks are still missing", left, listing.parts)
        return
    try:
        counts = store.total()
        if config.gallery:
            write_gallery(config, listing, store, counts)
    except NotFoundError:
        if storage.exists(layout.summary_file(config.output)):
            return  # Another task was last too, and has cleared the counts away.
        raise
    made_with = {**plan, **runtime.described(config.output)}
    summary = summary_of(listing, counts, made_with)
    store.write_summary(summary)
    drop_other_attempts(listing)
    for line in _totals(config, summary):
        _log.info("%s", line)
    _refuse_nothing(config, summary)


def _say_new_images(config: PredictConfig, listing: Listing, find: Callable[[str], Found]) -> None:
    """Say how many images came after the listing was frozen, where listing again is cheap."""
    if config.task_index or listing.kind not in ("folder", "glob") or listing.count > _RELISTED:
        return
    if new := new_entries(listing, find(config.images).entries):
        _log.info(
            "%s %s not in this listing; another --output predicts %s",
            many(new, "new image"),
            *(("is", "it") if new == 1 else ("are", "them")),
        )


def _refuse_nothing(config: PredictConfig, summary: Summary) -> None:
    """End with an error where no image at all could be used."""
    if summary.seen and not summary.predicted:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in summary.reasons.items())
        raise DataError(
            f"none of the {many(summary.seen, 'image')} in {config.images} could be used "
            f"({reasons}); the details are in rejects-*.jsonl of {config.output}"
        )


def _plan_text(
    config: PredictConfig, listing: Listing, mine: Sequence[int], missing: Sequence[int]
) -> str:
    size = f", {listing.bytes / 1e6:,.1f} MB" if listing.bytes else ""
    text = f"{config.images} ({listing.kind}): {many(listing.count, 'image')}{size}"
    task = f", task {config.task_index} of {config.num_tasks}" if config.num_tasks > 1 else ""
    there = (
        f", {len(mine) - len(missing)} of its parts are there" if len(missing) < len(mine) else ""
    )
    return f"{text} in {many(listing.parts, 'part')}{task}{there}"


def _totals(config: PredictConfig, summary: Summary) -> Iterator[str]:
    images = many(summary.seen, "image")
    yield f"{images}: {summary.predicted:,} predicted, {summary.rejected:,} rejected"
    for reason, number in summary.reasons.items():
        yield f"  {reason}: {number:,}"
    if passed := sum(summary.passed_over.values()):
        yield f"{many(passed, 'file')} passed over as no images: {in_words(summary.passed_over)}"
        yield f"{many(summary.seen + passed, 'file')} seen"
    if config.gallery:
        yield f"gallery: {layout.gallery_file(config.output)}"
    yield f"complete: {layout.summary_file(config.output)}"
