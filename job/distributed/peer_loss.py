"""Recognising that another worker is gone, and saying which one.

What TensorFlow 2.21 raises on the survivors, seen with two to four processes over RING:

    a peer was killed or left     UnavailableError "Connection reset by peer", "Socket closed", at
                                  once, with the peer's task in the text
    a peer was stopped            UnavailableError "unhealthy (stopped sending heartbeats)" with
                                  its task; if it was worker 0, DeadlineExceededError of a
                                  "CoordinationService/Heartbeat" without one
    a peer is alive but stuck     DeadlineExceededError "Collective has timed out"
    an earlier loss               any of them, or AbortedError and CancelledError, with
                                  "Collective ops is aborted by"
"""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from job.contract.errors import PeerLostError
from job.distributed import private_api
from job.distributed.cluster import Cluster

_LOSS_CLASSES = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
_LOSS_SIGNS = (
    "Collective",
    "CoordinationService",
    "heartbeat",
    "WorkerService",
    "Socket closed",
    "Connection reset",
    "failed to connect to all addresses",
    "NCCL",
)
_TASK = re.compile(r"/job:worker(?:/replica:\d+)?/task:(\d+)")
_HEARTBEAT_TO_CHIEF = "CoordinationService/Heartbeat"
_STUCK = "Collective has timed out"
_PASSED_ON = "Collective ops is aborted by: "
_HEALTH_CHECK_S = 2.0


def is_peer_loss(error: BaseException) -> bool:
    """Whether an error of a step means that another worker died, left or stalled."""
    if not isinstance(error, _LOSS_CLASSES):
        return False
    return any(sign in error.message for sign in _LOSS_SIGNS)


@contextlib.contextmanager
def naming_lost_peers(cluster: Cluster) -> Iterator[None]:
    """Turn what TensorFlow raises about a lost worker into a PeerLostError that names it.

    Raises:
        PeerLostError: Another worker died, left or stalled; other errors pass as they are.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if cluster.num_workers == 1 or not is_peer_loss(error):
            raise
        raise PeerLostError(describe_loss(error, cluster)) from error


def describe_loss(error: tf.errors.OpError, cluster: Cluster) -> str:
    """Say which worker is lost, from the error's own text and by asking all of them."""
    silent = [
        worker for worker in cluster.peers if not private_api.answers(worker, _HEALTH_CHECK_S)
    ]
    named = _named(error.message, cluster)
    if named is None and silent:
        named = silent[0]
    if named is not None:
        # Others may have left for the same reason, or were lost with it.
        others = [cluster.name(worker) for worker in silent if worker != named]
        too = f"; {' and '.join(others)} did not answer either" if others else ""
        return f"lost {cluster.name(named)}: {_reason(error)}{too}"
    return (
        f"a worker stalled: all {len(cluster.peers)} others answer, but one of them did not take "
        f"part in a step within the time that --peer_timeout_s allows ({_reason(error)})"
    )


def _named(text: str, cluster: Cluster) -> int | None:
    """Give the worker where the trouble began: errors that were passed on name it first."""
    for task in _TASK.findall(text):
        if int(task) in cluster.peers:
            return int(task)
    return 0 if _HEARTBEAT_TO_CHIEF in text else None


def _reason(error: tf.errors.OpError) -> str:
    """Give the one line of TensorFlow's long text that says what happened."""
    text: str = error.message
    if "stopped sending heartbeats" in text or _HEARTBEAT_TO_CHIEF in text:
        return "it stopped sending heartbeats"
    if _STUCK in text:
        return "a collective has timed out"
    _, aborted, cause = text.partition(_PASSED_ON)
    return (cause if aborted else text).replace(_PASSED_ON, "").strip().splitlines()[0]
