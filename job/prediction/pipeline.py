"""Download, decode and model at the same time: entries in, full batches of pixels out.

Images are fetched by many threads and decoded by one thread a core while the model works. They
come out in the order of the listing. What waits is bounded: by number, and by bytes.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from job.images.rejected import RejectedError
from job.prediction.listing import Entry
from job.prediction.views import Pixels
from job.process.cores import available_cores

_BYTES_IN_FLIGHT = 256 << 20
_DECODED_BYTES = 128 << 20
"""Of images that are decoded at once; one that takes more is decoded alone."""
_UNKNOWN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready for the model, or why it is not; exactly one of the two is there."""

    part: int
    entry: Entry
    pixels: Pixels | None
    rejected: RejectedError | None


class Pipeline:
    """Prepares images; a context manager that stops its threads.

    Args:
        read: Gives an entry's encoded image; called from `concurrency` threads.
        decode: Gives its pixels; called from one thread for each core.
        memory_needed: Estimates in bytes what decoding an image takes.
        concurrency: Images fetched at once.
        ahead: Images prepared before they are asked for.
    """

    def __init__(
        self,
        read: Callable[[Entry], bytes],
        decode: Callable[[bytes], Pixels],
        *,
        memory_needed: Callable[[bytes], int],
        concurrency: int,
        ahead: int,
    ) -> None:
        self._read = read
        self._decode = decode
        self._window = concurrency + ahead
        self._budget = _ByteBudget(_BYTES_IN_FLIGHT)
        self._memory = _ByteBudget(_DECODED_BYTES)
        self._memory_needed = memory_needed
        self._fetchers = ThreadPoolExecutor(concurrency, thread_name_prefix="fetch")
        self._decoders = ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fetchers.shutdown(wait=True, cancel_futures=True)
        self._decoders.shutdown(wait=True, cancel_futures=True)

    def run(self, entries: Iterator[tuple[int, Entry]]) -> Iterator[Prepared]:
        """Yield every entry, with the number of its part, in the order given.

        Raises:
            Whatever `read` raises for more than a single image.
        """
        waiting: deque[tuple[int, Entry, Future[Future[Pixels]]]] = deque()
        for part, entry in entries:
            waiting.append((part, entry, self._fetchers.submit(self._fetch, entry)))
            if len(waiting) >= self._window:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())

    def _fetch(self, entry: Entry) -> Future[Pixels]:
        taken = self._budget.take(_UNKNOWN_BYTES if entry.size is None else entry.size)
        try:
            encoded = self._read(entry)
            decoding = self._decoders.submit(self._decoded, encoded)
        except BaseException:
            self._budget.give_back(taken)
            raise
        # The encoded image is needed until it is decoded.
        decoding.add_done_callback(lambda _: self._budget.give_back(taken))
        return decoding

    def _decoded(self, encoded: bytes) -> Pixels:
        taken = self._memory.take(self._memory_needed(encoded))
        try:
            return self._decode(encoded)
        finally:
            self._memory.give_back(taken)


def _result(part: int, entry: Entry, fetching: Future[Future[Pixels]]) -> Prepared:
    try:
        return Prepared(part, entry, fetching.result().result(), None)
    except RejectedError as rejected:
        return Prepared(part, entry, None, rejected)


class _ByteBudget:
    """Lets threads wait while too many bytes are in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, amount: int) -> int:
        """Wait for room; more than everything counts as everything."""
        amount = min(amount, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + amount <= self._limit)
            self._taken += amount
        return amount

    def give_back(self, amount: int) -> None:
        with self._changed:
            self._taken -= amount
            self._changed.notify_all()
