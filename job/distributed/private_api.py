"""All that is used of TensorFlow's private interface, in one place; TensorFlow 2.21.

The coordination service beneath MultiWorkerMirroredStrategy has no public interface in Python: its
time-outs, the health of a peer, and its key-value store, which works without any collective.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.distribute import collective_all_reduce_strategy
from tensorflow.python.eager import context

_TASK = "/job:worker/replica:0/task:{}"


def configure_coordination(
    num_workers: int, *, register_timeout_s: float, heartbeat_timeout_s: float
) -> None:
    """Set the time-outs of the workers' coordination; call it before the strategy is made.

    The strategy sets the service up itself, without any time-out, unless somebody did before.
    """
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=_TASK.format(0),
        cluster_register_timeout_in_ms=int(register_timeout_s * 1000),
        heartbeat_timeout_in_ms=int(heartbeat_timeout_s * 1000),
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=num_workers)
        ],
    )


def answers(worker: int, within_s: float) -> bool:
    """Whether another worker's server answers."""
    try:
        context.context().check_collective_ops_peer_health(
            _TASK.format(worker), timeout_in_ms=int(within_s * 1000)
        )
    except tf.errors.OpError:
        return False
    return True


def tell_workers(key: str, value: str) -> None:
    """Keep a value for all workers, under a key that nobody has used before."""
    context.context().set_config_key_value(key, value)


def told_by_worker(key: str, within_s: float) -> str:
    """Wait for a value that a worker keeps for all.

    Raises:
        tf.errors.OpError: It does not come in time, or that worker is lost.
    """
    value: str = context.context().get_config_key_value(key, timeout_in_ms=int(within_s * 1000))
    return value


@contextlib.contextmanager
def several_cpu_devices(count: int) -> Iterator[None]:
    """Have a MultiWorkerMirroredStrategy made within take `count` CPU devices of each worker.

    It takes all GPUs of a worker, but one CPU, however many logical ones there are.
    """
    extended = collective_all_reduce_strategy.CollectiveAllReduceExtended
    before = extended._initialize_local_devices

    def devices(_: Any, __: Any, worker_device: str) -> tuple[tuple[str, ...], str]:
        return tuple(f"{worker_device}/device:CPU:{index}" for index in range(count)), "CPU"

    extended._initialize_local_devices = devices
    try:
        yield
    finally:
        extended._initialize_local_devices = before
