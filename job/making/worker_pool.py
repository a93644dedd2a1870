"""Processes that work on a stream: results in order, a bounded number on the way."""

import collections
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from job.contract.errors import HelperKilledError

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

_IN_FLIGHT_PER_PROCESS = 3


def map_in_order(
    function: Callable[[InputT], OutputT],
    inputs: Iterable[InputT],
    num_processes: int,
    prepare: Callable[[], None],
) -> Generator[OutputT]:
    """Apply `function` in other processes; yield its results in the order of the inputs.

    Inputs are taken only as fast as results are, so memory does not grow with their number.
    With one process the work is done in this one.

    Args:
        function: A function of a module, or a partial of one.
        inputs: Anything that can be pickled.
        num_processes: How many to start.
        prepare: Called once in each of them.

    Raises:
        HelperKilledError: A process was killed; nearly always for want of memory.
        Exception: Whatever `function` raised.
    """
    if num_processes == 1:
        prepare()
        yield from map(function, inputs)
        return
    # A fork server starts processes fast and, unlike fork, safely beside threads.
    context = multiprocessing.get_context("forkserver")
    start = functools.partial(_start, prepare)
    pool = ProcessPoolExecutor(num_processes, mp_context=context, initializer=start)
    try:
        waiting: collections.deque[Future[OutputT]] = collections.deque()
        for item in inputs:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= num_processes * _IN_FLIGHT_PER_PROCESS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise HelperKilledError(
            "a worker process was killed, probably because memory ran out; start again (finished "
            f"work is kept), with fewer than --num_processes={num_processes} or more memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(prepare: Callable[[], None]) -> None:
    # Ctrl-C reaches the whole group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()


def _end_with_parent() -> None:
    """Leave no orphan behind a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
