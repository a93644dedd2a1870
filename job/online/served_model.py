"""A model that answers, and its successor: loaded beside it, warm before it takes over."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Self

import numpy as np

from job.contract.configs import ServeConfig
from job.contract.errors import JobError
from job.images.rejected import RejectedError
from job.online.batcher import Batcher, Pixels, Probabilities
from job.online.protocol import Answer, RequestError, answer
from job.prediction import runtime
from job.prediction.image_reader import MAX_IMAGE_BYTES
from job.prediction.model import PredictModel
from job.process.cores import available_cores
from job.serving.model_files import ModelFacts, local_model, read_facts

_log = logging.getLogger(__name__)


class ServedModel:
    """One version of a model: decodes on all cores, scores in batches."""

    def __init__(self, config: ServeConfig, facts: ModelFacts, model: PredictModel) -> None:
        self.facts = facts
        self._model = model
        self._decoders = ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")
        self._batcher = Batcher(
            self._probabilities, max_batch=config.max_batch, max_waiting=config.max_waiting
        )

    @classmethod
    def load(cls, config: ServeConfig, facts: ModelFacts) -> Self:
        """Load a model and run it once on every batch size that compiles anything.

        Raises:
            InputMissingError, DataError: A file of the model is missing or damaged.
            ConfigError: The runtime that was asked for cannot run this model here.
        """
        with local_model(config.model, facts) as folder:
            model = runtime.choose(folder, facts, config)
        side = model.side_px
        for size in {1, config.max_batch}:
            model.score(np.zeros((size, side, side, 3), np.uint8))
        _log.info("model %s, step %d, %s", facts.version, facts.step, model.arithmetic)
        return cls(config, facts, model)

    async def __aenter__(self) -> Self:
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._batcher.__aexit__(*error)
        self._decoders.shutdown(wait=False)

    async def classify(self, images: Sequence[bytes]) -> list[Answer]:
        """Classify encoded images.

        Raises:
            RequestError: One of them is none that the model takes, or too many wait already.
        """
        self._batcher.check_room(len(images))
        tasks = [
            asyncio.create_task(self._one(encoded, place)) for place, encoded in enumerate(images)
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, encoded: bytes, place: int) -> Answer:
        pixels = await asyncio.get_running_loop().run_in_executor(
            self._decoders, self._decode, encoded, place
        )
        return answer(await self._batcher.score(pixels), self.facts.classes)

    def _decode(self, encoded: bytes, place: int) -> Pixels:
        if not encoded:
            raise RequestError(400, f"image {place} has no bytes")
        if len(encoded) > MAX_IMAGE_BYTES:
            raise RequestError(413, f"image {place} has more than {MAX_IMAGE_BYTES >> 20} MiB")
        try:
            return self._model.decode(encoded)
        except RejectedError as rejected:
            raise RequestError(400, f"image {place} is {rejected}") from rejected

    def _probabilities(self, pixels: Pixels) -> Probabilities:
        return self._model.score(pixels).probabilities


class CurrentModel:
    """The version that answers now; an asynchronous context manager.

    Where the model directory is replaced, the new version is loaded beside the old one and takes
    over between two requests: each request is decoded and scored by one version.
    """

    def __init__(self, config: ServeConfig, first: ServedModel) -> None:
        self._config = config
        self.now = first
        self._models = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._models.enter_async_context(self.now)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._models.__aexit__(None, None, None)

    async def follow(self) -> None:
        """Look for a new version now and then, for ever."""
        while True:
            await asyncio.sleep(self._config.look_every_s)
            await self.look()

    async def look(self) -> None:
        """Take over a new version if there is one; keep the old one if that cannot be loaded."""
        try:
            facts = await asyncio.to_thread(read_facts, self._config.model)
            if facts.version == self.now.facts.version:
                return
            new = await asyncio.to_thread(ServedModel.load, self._config, facts)
        except (JobError, OSError) as error:
            _log.warning("model %s stays: %s", self.now.facts.version, error)
            return
        # The old one keeps its batcher until the server ends, for the requests that it still has.
        await self._models.enter_async_context(new)
        self.now = new
