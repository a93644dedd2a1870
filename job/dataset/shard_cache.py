"""Shards of a dataset as local files: fetched in parallel and ahead of need, then verified."""

import collections
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from job import storage
from job.contract.errors import DataError, NoSpaceError
from job.dataset.description import Shard
from job.dataset.shard_cache_folder import ContentError, HeldFile, ShardCacheFolder

_LOG = logging.getLogger(__name__)
_PARALLEL_FETCHES = 8

_FOLDER = "food101-vgg19"


class ShardCache:
    """The shards of one split, by number. Safe between threads.

    A local dataset is read where it is. Of a remote one, the shards that were last asked for stay
    in the cache folder (twice `window_shards`, or fewer if the cache is smaller); others may be
    evicted, and are fetched again when needed.

    Args:
        dataset_path: Dataset directory, local or remote.
        shards: Its shards, as in dataset.json.
        cache_dir: Folder for fetched shards; empty takes the user's cache folder.
        cache_size_gb: Largest size of that folder in GB (1e9 bytes); 0 takes what the disk has.
        window_shards: How many shards a reader has open at the same time.
        report_every_s: How often a wait is logged, in seconds.

    Raises:
        NoSpaceError: There cannot be room for two readers of `window_shards` shards each.
    """

    def __init__(
        self,
        dataset_path: str,
        shards: Sequence[Shard],
        cache_dir: str = "",
        *,
        cache_size_gb: float = 0.0,
        window_shards: int = 16,
        report_every_s: float = 5.0,
    ) -> None:
        self._dataset_path = dataset_path
        self._shards = shards
        self._lock = threading.Lock()
        self._held: collections.OrderedDict[int, Future[HeldFile]] = collections.OrderedDict()
        self.fetched_bytes = 0
        """How much was downloaded so far."""
        self._report_every_s = report_every_s
        self._threads = ThreadPoolExecutor(_PARALLEL_FETCHES, "shard-cache")
        if storage.is_remote(dataset_path):
            folder = os.path.join(cache_dir or default_cache_dir(), "shards")
            self._folder = ShardCacheFolder(folder, int(cache_size_gb * 1e9))
            self._at_once = _room(shards, window_shards, self._folder.capacity_bytes(), folder)

    def local_file(self, shard_number: int) -> str:
        """Return the path of a shard that is there and verified; waits until it is.

        Raises:
            DataError: The shard's content is not what dataset.json says.
            InputMissingError, DeniedError, NoSpaceError, StorageUnreachableError: As they say.
        """
        shard = self._shards[shard_number]
        if not storage.is_remote(self._dataset_path):
            path = storage.join(self._dataset_path, shard.file)
            _check_size(path, storage.stat(path).size, shard)
            return path
        while True:
            future = self._request(shard_number)
            try:
                return self._wait(future).path
            except CancelledError:
                continue  # Pushed out by a burst of other requests before it began.
            except BaseException:
                self._forget(shard_number, future)
                raise

    def prefetch(self, shard_numbers: Iterable[int]) -> None:
        """Begin to fetch shards that will be needed, the most urgent first.

        What has no room yet is left for a later call.
        """
        if storage.is_remote(self._dataset_path):
            for number in list(shard_numbers)[: self._at_once]:
                self._request(number)

    def close(self) -> None:
        """Stop fetching, and let others evict what this cache held."""
        self._threads.shutdown(cancel_futures=True)
        with self._lock:
            while self._held:
                _release(self._held.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _request(self, number: int) -> Future[HeldFile]:
        with self._lock:
            future = self._held.get(number)
            if future is None:
                # Released before the new fetch looks for room.
                while len(self._held) >= self._at_once:
                    _release(self._held.popitem(last=False)[1])
                future = self._threads.submit(self._fetch, self._shards[number])
                self._held[number] = future
            self._held.move_to_end(number)
            return future

    def _forget(self, number: int, failed: Future[HeldFile]) -> None:
        """Let the next one to ask try again."""
        with self._lock:
            if self._held.get(number) is failed:
                del self._held[number]

    def _fetch(self, shard: Shard) -> HeldFile:
        source = storage.join(self._dataset_path, shard.file)

        def download(path: str) -> None:
            found = storage.download(source, path)
            with self._lock:
                self.fetched_bytes += found.size

        try:
            return self._folder.hold(shard.sha256, shard.bytes, download)
        except ContentError as error:
            raise DataError(
                f"{source} is not the file that dataset.json describes (its sha256 differs from "
                f"{shard.sha256[:12]}...); write the dataset again"
            ) from error

    def _wait(self, future: Future[HeldFile]) -> HeldFile:
        started, before = time.monotonic(), self.fetched_bytes
        while True:
            try:
                return future.result(timeout=self._report_every_s)
            except TimeoutError:
                if future.done():
                    return future.result()
                waited_s = time.monotonic() - started
                _LOG.info(
                    "waiting for shards of %s: %s",
                    self._dataset_path,
                    self._progress(before, waited_s),
                )

    def _progress(self, before: int, waited_s: float) -> str:
        with self._lock:
            wanted = list(self._held)
            there = sum(future.done() for future in self._held.values())
        size_gb = sum(self._shards[number].bytes for number in wanted) / 1e9
        speed = (self.fetched_bytes - before) / 1e6 / waited_s
        return f"{there} of {len(wanted)} ({size_gb:.2f} GB) are here, {speed:.0f} MB/s"


def default_cache_dir() -> str:
    """Return the folder for caches of the user who runs this process."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, _FOLDER)


def _room(shards: Sequence[Shard], window_shards: int, capacity: int, folder: str) -> int:
    """Return how many of even the largest shards this reader may keep: one window, or two.

    Room for one more window is left to another reader: evaluation shares training's cache.
    """
    largest = sorted((shard.bytes for shard in shards), reverse=True)
    window = sum(largest[:window_shards])
    if 2 * window > capacity:
        raise NoSpaceError(
            f"{folder} can hold {capacity / 1e9:.2f} GB, but training and evaluation each read "
            f"{min(window_shards, len(shards))} shards at a time, {2 * window / 1e9:.2f} GB "
            "together; raise --cache_size_gb, or choose a larger disk by --cache_dir"
        )
    taken = itertools.accumulate(largest[: 2 * window_shards])
    return max(1, sum(size <= capacity - window for size in taken))


def _check_size(path: str, size: int, shard: Shard) -> None:
    if size != shard.bytes:
        raise DataError(f"{path} has {size} bytes, but dataset.json says {shard.bytes}")


def _release(future: Future[HeldFile]) -> None:
    """Release what a fetch holds, now or as soon as it ends."""
    if not future.cancel():
        future.add_done_callback(_release_result)


def _release_result(future: Future[HeldFile]) -> None:
    if future.exception() is None:
        future.result().release()
