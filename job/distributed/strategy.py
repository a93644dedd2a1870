"""Connects the workers, and gives the strategy over all that they compute on."""

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext

import tensorflow as tf

from job import storage
from job.contract.configs import TrainConfig
from job.contract.errors import ClusterNotFormedError, ConfigError, ExitCode
from job.contract.wording import many
from job.distributed import private_api
from job.distributed.cluster import Cluster
from job.distributed.rendezvous import exclude_from_proxy, wait_for_peers
from job.process.cores import available_cores
from job.process.hard_deadline import exit_after

_log = logging.getLogger(__name__)

_HEARTBEAT_SHARE = 0.5
_COLLECTIVE_SHARE = 0.9
"""Shares of the peer timeout after which a silent peer, and one that is alive but does not take
part, count as lost: below 1, so that this process has left within that time."""
_INTER_OP_THREADS = 16
"""Kernels and all-reduces that TensorFlow may have under way at once, at least. By default it is
the number of cores; where those are few, the backward pass holds all threads, and no all-reduce
begins before its end. Over 1 Gbit/s, 2 hid a tenth of a dense exchange and nothing of a planned
one, 16 a third and a half."""
_INTER_OP_VARIABLE = "TF_NUM_INTEROP_THREADS"
_LOST_MEANWHILE = "the workers found each other, but one was lost before all were connected"
_DEVICES_KEY = "food101/devices/{}"


def connect(
    cluster: Cluster, config: TrainConfig, devices: Sequence[str]
) -> tf.distribute.Strategy:
    """Connect the workers and give the strategy over all their GPUs, or CPUs.

    One process without several GPUs gets TensorFlow's default strategy: `strategy.run` and the
    replica context's reductions work there as on many replicas, so training has one code path,
    and nothing opens a port.

    Args:
        cluster: All workers, and which of them this is.
        config: Of the run: how long to wait.
        devices: What this worker computes on, as `job.distributed.devices.prepare` gives it.

    Raises:
        ClusterNotFormedError: A worker did not come within `config.cluster_timeout_s`.
        ConfigError: This worker's own port is taken, or workers differ in what they compute on.
    """
    if cluster.num_workers == 1:
        several = len(devices) > 1
        return tf.distribute.MirroredStrategy(devices) if several else tf.distribute.get_strategy()
    exclude_from_proxy(cluster.addresses, os.environ)
    others = ", ".join(cluster.name(worker) for worker in cluster.peers)
    _log.info("waiting at most %g s for %s", config.cluster_timeout_s, others)
    wait_for_peers(cluster.addresses, cluster.worker, config.cluster_timeout_s)
    try:
        with exit_after(
            config.cluster_timeout_s,
            ExitCode.CLUSTER_NOT_FORMED,
            f"error: {_LOST_MEANWHILE} within {config.cluster_timeout_s:g} s",
        ):
            strategy = _multi_worker_strategy(cluster, config, devices)
            _check_alike(cluster, devices, config.cluster_timeout_s)
            return strategy
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0]
        raise ClusterNotFormedError(f"{_LOST_MEANWHILE}: {reason}") from error


def _multi_worker_strategy(
    cluster: Cluster, config: TrainConfig, devices: Sequence[str]
) -> tf.distribute.Strategy:
    if _INTER_OP_VARIABLE not in os.environ:
        tf.config.threading.set_inter_op_parallelism_threads(
            max(_INTER_OP_THREADS, available_cores())
        )
    private_api.configure_coordination(
        cluster.num_workers,
        register_timeout_s=config.cluster_timeout_s,
        heartbeat_timeout_s=config.peer_timeout_s * _HEARTBEAT_SHARE,
    )
    # A worker that waits for a bucket to come back still sends heartbeats: it is not lost.
    waits_s = config.storage_deadline_s if _uses_buckets(config) else 0.0
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.worker,
        rpc_layer="grpc",
    )
    several = len(devices) > 1 and devices[0].startswith("CPU")
    with private_api.several_cpu_devices(len(devices)) if several else nullcontext():
        return tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=resolver,
            communication_options=tf.distribute.experimental.CommunicationOptions(
                timeout_seconds=config.peer_timeout_s * _COLLECTIVE_SHARE + waits_s
            ),
        )


def _check_alike(cluster: Cluster, devices: Sequence[str], within_s: float) -> None:
    """Refuse workers that differ in their devices, before a collective would wait for ever.

    Raises:
        ConfigError: It names a worker, what it has, and what the first one has.
    """
    private_api.tell_workers(_DEVICES_KEY.format(cluster.worker), _in_words(devices))
    texts = [
        private_api.told_by_worker(_DEVICES_KEY.format(worker), within_s)
        for worker in range(cluster.num_workers)
    ]
    for worker, text in enumerate(texts):
        if text != texts[0]:
            raise ConfigError(
                f"{cluster.name(worker)} computes on {text}, {cluster.name(0)} on {texts[0]}: "
                "all workers need the same; look at that worker's node, and at its image"
            )


def _in_words(devices: Sequence[str]) -> str:
    kind = devices[0].partition(":")[0]
    return "the CPU" if kind == "CPU" and len(devices) == 1 else many(len(devices), kind)


def _uses_buckets(config: TrainConfig) -> bool:
    return any(storage.is_remote(path) for path in (config.data, config.run))
