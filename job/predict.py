"""`python -m job.predict`: classify images, each exactly once, and say why where that fails.

The images are listed once (`job/listing.py`) and cut into parts; a task classifies its parts
(`job/predict_pipeline.py`) and commits them one by one (`job/prediction_parts.py`). Started again,
with any number of tasks, it does the parts that are missing. The task that finds all parts there
writes summary.json.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from job import entry, layout, listing_sources, storage
from job.config import PredictConfig
from job.errors import ConfigError, PreemptedError
from job.image_reader import ImageReader
from job.listing import Entry, Listing, NamesReader, drop_other_attempts, freeze
from job.predict_model import (
    ModelFacts,
    PredictModel,
    Scores,
    local_model,
    read_facts,
    resolve_precision,
)
from job.predict_pipeline import Pipeline, Prepared
from job.prediction_gallery import write_gallery
from job.prediction_parts import Counts, PartRows, PartStore, summary_of
from job.stop_request import StopRequest
from job.storage_interface import NotFoundError, PreconditionError
from job.work_progress import WorkProgress

PLAN_FORMAT = 1
_PROBABILITY_DIGITS = 6
_EMBEDDING_DIGITS = 6
_MOST_REJECTS = 64
_log = logging.getLogger(__name__)


def predict(config: PredictConfig) -> None:
    """Do the missing parts of one task.

    Raises:
        ConfigError: The output holds something else, or predictions of other images or options.
        InputMissingError: No model, or no images.
        PreemptedError: SIGTERM; what was finished is committed.
    """
    facts = read_facts(config.model)
    if config.top_k > len(facts.classes):
        raise ConfigError(f"top_k {config.top_k} must be at most {len(facts.classes)}, the classes")
    _check_output(config.output)
    listing = freeze(config.output, config.images, listing_sources.find, config.num_tasks)
    plan = _agree_on_plan(config, facts)
    store = PartStore(listing, config.format)
    if storage.exists(layout.summary_file(config.output)):
        _log.info("complete already: %s", layout.summary_file(config.output))
        return
    mine = listing.parts_of_task(config.task_index, config.num_tasks)
    finished = store.finished(mine)
    missing = [part for part in mine if part not in finished]
    _log.info("%s", _plan_text(config, listing, mine, missing))
    with StopRequest() as stop:
        if missing:
            with (
                local_model(config.model, facts) as folder,
                ImageReader(listing) as reader,
            ):
                model = PredictModel(folder, facts, config.tta, resolve_precision(config.precision))
                _Task(config, facts, listing, store, model, stop).run(reader, missing)
        _finish_if_last(config, listing, store, plan)


class _Task:
    """The work of one task: parts in, committed parts out."""

    def __init__(
        self,
        config: PredictConfig,
        facts: ModelFacts,
        listing: Listing,
        store: PartStore,
        model: PredictModel,
        stop: StopRequest,
    ) -> None:
        self._config = config
        self._facts = facts
        self._listing = listing
        self._store = store
        self._model = model
        self._stop = stop
        self._rows: dict[int, PartRows] = {}

    def run(self, reader: ImageReader, missing: Sequence[int]) -> None:
        """Classify the images of some parts and commit each part once it is whole."""
        images = sum(len(self._listing.part_range(part)) for part in missing)
        size = self._config.batch_size or self._model.fastest_batch_size(images)
        _log.info("%s images in batches of %d, %s", f"{images:,}", size, self._model.precision)
        pipeline = Pipeline(
            reader.read, self._model.decode, concurrency=self._config.concurrency, ahead=2 * size
        )
        with pipeline, WorkProgress("predicting", "predicted", images, "images") as progress:
            batch: list[Prepared] = []
            good = 0
            for prepared in pipeline.run(self._entries(missing)):
                if self._stop.requested:
                    raise PreemptedError("asked to stop; finished parts are committed")
                batch.append(prepared)
                good += prepared.pixels is not None
                # Only good images make a batch full; a long row of bad ones must not pile up.
                if good == size or len(batch) >= _MOST_REJECTS * size:
                    self._score(batch)
                    progress.advance(len(batch))
                    batch, good = [], 0
            self._score(batch)
            progress.advance(len(batch))

    def _entries(self, parts: Sequence[int]) -> Iterator[tuple[int, Entry]]:
        names = NamesReader(self._listing)
        for part in parts:
            for one in names.entries(part):
                yield part, one

    def _score(self, batch: Sequence[Prepared]) -> None:
        """Score a batch, rejects among it, and commit the parts that it completes."""
        pixels = [one.pixels for one in batch if one.pixels is not None]
        scores = self._model.score(np.stack(pixels)) if pixels else None
        place = 0
        for one in batch:
            rows = self._rows.setdefault(one.part, PartRows())
            if one.rejected is not None:
                reason, detail = one.rejected.reason, one.rejected.detail
                rows.rejects.append(_reject(one.entry, reason, detail))
                continue
            assert scores is not None
            row = self._prediction(one.entry, scores, place)
            place += 1
            if row is None:
                detail = "the model gave no finite probabilities"
                rows.rejects.append(_reject(one.entry, "not_finite", detail))
            else:
                rows.predictions.append(row)
        for part in sorted({one.part for one in batch}):
            self._commit_if_whole(part)

    def _commit_if_whole(self, part: int) -> None:
        rows = self._rows[part]
        if rows.seen < len(self._listing.part_range(part)):
            return
        del self._rows[part]
        if not self._store.commit(part, rows):
            _log.info("part %d was committed by another attempt; its rows stay", part)

    def _prediction(self, image: Entry, scores: Scores, place: int) -> dict[str, Any] | None:
        probabilities = scores.probabilities[place]
        if not np.isfinite(probabilities).all():
            return None
        best = np.argsort(-probabilities, kind="stable")[: self._config.top_k]
        row: dict[str, Any] = {
            "image": image.name,
            "generation": image.generation,
            "top": [
                {
                    "class": self._facts.classes[label],
                    "label": int(label),
                    "probability": round(float(probabilities[label]), _PROBABILITY_DIGITS),
                }
                for label in best
            ],
            "model": self._facts.version,
        }
        if self._config.embedding:
            row["embedding"] = [
                round(value, _EMBEDDING_DIGITS) for value in scores.embedding[place].tolist()
            ]
        return row


def _reject(image: Entry, reason: str, detail: str) -> dict[str, Any]:
    return {
        "image": image.name,
        "generation": image.generation,
        "reason": reason,
        "detail": detail,
    }


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


def _agree_on_plan(config: PredictConfig, facts: ModelFacts) -> Mapping[str, Any]:
    """Note what the parts are made with, or check that it is what they were begun with."""
    plan: dict[str, Any] = {
        "format": PLAN_FORMAT,
        "model": config.model,
        "model_version": facts.version,
        "model_step": facts.step,
        "file_format": config.format,
        "top_k": config.top_k,
        "embedding": config.embedding,
        "tta": config.tta,
        "precision": config.precision,
    }
    path = layout.predictions_file(config.output)
    try:
        storage.write_bytes(path, json.dumps(plan, indent=1).encode(), if_absent=True)
    except PreconditionError:
        there = json.loads(storage.read_bytes(path))
        for name in plan:
            # The same model may lie elsewhere now.
            if name != "model" and there.get(name) != plan[name]:
                raise ConfigError(
                    f"{config.output} was begun with {name} {there.get(name)}, not {plan[name]}; "
                    "choose another --output"
                ) from None
    return plan


def _finish_if_last(
    config: PredictConfig, listing: Listing, store: PartStore, plan: Mapping[str, Any]
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
    store.write_summary(summary_of(listing, counts, plan))
    drop_other_attempts(listing)
    for line in _totals(config, counts):
        _log.info("%s", line)


def _plan_text(config: PredictConfig, listing: Listing, mine: range, missing: Sequence[int]) -> str:
    size = f", {listing.bytes / 1e6:,.1f} MB" if listing.bytes else ""
    text = f"{config.images} ({listing.kind}): {listing.count:,} images{size}"
    task = f", task {config.task_index} of {config.num_tasks}" if config.num_tasks > 1 else ""
    there = (
        f", {len(mine) - len(missing)} of its parts are there" if len(missing) < len(mine) else ""
    )
    return f"{text} in {listing.parts} parts{task}{there}"


def _totals(config: PredictConfig, counts: Counts) -> Iterator[str]:
    yield f"{counts.seen:,} images: {counts.predicted:,} predicted, {counts.rejected:,} rejected"
    for reason, number in counts.reasons.items():
        yield f"  {reason}: {number:,}"
    if config.gallery:
        yield f"gallery: {layout.gallery_file(config.output)}"
    yield f"complete: {layout.summary_file(config.output)}"


if __name__ == "__main__":
    sys.exit(
        entry.run(
            predict,
            PredictConfig,
            program="python -m job.predict",
            description="Classify images with an exported model. What one image lacks never stops "
            "the others. Started again, it does what is missing.",
        )
    )
