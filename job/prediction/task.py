"""The work of one task of a prediction: parts in, committed parts out."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from job.contract.configs import PredictConfig
from job.contract.errors import PreemptedError
from job.images.upright import memory_needed
from job.prediction.image_reader import ImageReader
from job.prediction.listing import Entry, Listing, NamesReader
from job.prediction.model import PredictModel, Scores
from job.prediction.parts import PartRows, PartStore, PredictionRow, RejectRow
from job.prediction.pipeline import Pipeline, Prepared
from job.process.progress_bar import WorkProgress
from job.process.stop_request import StopRequest
from job.serving.model_files import ModelFacts

_PROBABILITY_DIGITS = 6
_EMBEDDING_DIGITS = 6
_MOST_REJECTS = 64
_log = logging.getLogger(__name__)


class PredictTask:
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
        _log.info("%s images in batches of %d, %s", f"{images:,}", size, self._model.arithmetic)
        pipeline = Pipeline(
            reader.read,
            self._model.decode,
            memory_needed=memory_needed,
            concurrency=self._config.concurrency,
            ahead=2 * size,
        )
        with (
            _pillow_silent(),
            pipeline,
            WorkProgress("predicting", "predicted", images, "images") as progress,
        ):
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

    def _prediction(self, image: Entry, scores: Scores, place: int) -> PredictionRow | None:
        probabilities = scores.probabilities[place]
        if not np.isfinite(probabilities).all():
            return None
        best = np.argsort(-probabilities, kind="stable")[: self._config.top_k]
        row: PredictionRow = {
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


@contextmanager
def _pillow_silent() -> Iterator[None]:
    """Keep Pillow's remarks on odd files off the terminal, in all threads that decode."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _reject(image: Entry, reason: str, detail: str) -> RejectRow:
    return {
        "image": image.name,
        "generation": image.generation,
        "reason": reason,
        "detail": detail,
    }
