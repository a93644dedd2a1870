"""Images of many requests as batches of the model: as large as what waits, never held up for long.

An idle model takes what is there at once; while it computes, the next batch gathers. So latency is
that of one batch when little comes, and the rate is that of full batches when much does
("Clipper", Crankshaw et al., 2017, section 4.3, without a delay to tune).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt

from job.online.protocol import RequestError

Pixels = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]
_Waiting = tuple[Pixels, "asyncio.Future[Probabilities]"]


class Batcher:
    """Scores images of all requests, one batch at a time; an asynchronous context manager.

    Args:
        score: uint8 [batch, side, side, 3] to float32 [batch, classes]; called from one thread.
        max_batch: Images scored at once.
        max_waiting: Images that wait at most; more are refused, so that memory is bounded and
            nobody waits for what comes too late.
    """

    def __init__(
        self, score: Callable[[Pixels], Probabilities], *, max_batch: int, max_waiting: int
    ) -> None:
        self._score = score
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop

    def check_room(self, images: int) -> None:
        """Refuse what would have to wait for too long.

        Raises:
            RequestError: 503: too many images wait already.
        """
        if len(self._waiting) + images > self._max_waiting:
            raise RequestError(
                503, f"{len(self._waiting)} images wait already; ask again in a second"
            )

    async def score(self, pixels: Pixels) -> Probabilities:
        """Score one image, [side, side, 3]; float32 [classes]."""
        self.check_room(1)
        answer: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        self._waiting.append((pixels, answer))
        self._arrived.set()
        return await answer

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue
            try:
                scores = await asyncio.to_thread(
                    self._score, np.stack([pixels for pixels, _ in batch])
                )
            except Exception as error:  # noqa: BLE001 - each request gets it, and the server lives
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), row in zip(batch, scores, strict=True):
                if not answer.done():
                    answer.set_result(row)

    def _next_batch(self) -> list[_Waiting]:
        """Take what waits, without the images of requests that have gone away."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            one = self._waiting.popleft()
            if not one[1].cancelled():
                batch.append(one)
        return batch
