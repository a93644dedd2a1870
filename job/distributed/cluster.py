"""Who this process is among the workers: from the environment, which only this module reads.

    TF_CONFIG                   set by the TFJob operator where there are several replicas
    JOB_COMPLETION_INDEX, ...   set by Kubernetes and by our own manifest in a JobSet
    none of them                one process

All replicas are workers here, the chief is the first of them, whatever the operator calls them.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from job import storage
from job.contract.configs import TrainConfig
from job.contract.errors import ClusterNotFormedError, ConfigError
from job.contract.exit_codes import ExitCode
from job.distributed.rendezvous import exclude_from_proxy, host_and_port, wait_for_peers
from job.process.cores import available_cores
from job.process.hard_deadline import exit_after

if TYPE_CHECKING:
    import tensorflow as tf

_log = logging.getLogger(__name__)

PORT = 2222
"""The port of a worker in a JobSet; TF_CONFIG brings its own."""
_CHIEFS = ("chief", "master")
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
_JOBSET_VARIABLES = ("JOBSET_NAME", "REPLICATED_JOB_NAME", "NUM_WORKERS")


@dataclass(frozen=True)
class Cluster:
    """The workers of a run and which of them this process is.

    Attributes:
        worker: This process's index, from 0.
        num_workers: Number of workers.
        addresses: host:port of each worker, by index; empty for a single one.
        is_chief: Whether this worker writes what only one may write; it is worker 0.
        source: Where this was read: "TF_CONFIG", "JobSet" or "single".
    """

    worker: int
    num_workers: int
    addresses: tuple[str, ...]
    is_chief: bool
    source: str

    @property
    def peers(self) -> tuple[int, ...]:
        """Indexes of all other workers."""
        return tuple(index for index in range(self.num_workers) if index != self.worker)

    def name(self, worker: int) -> str:
        """Name a worker for a message, with its address."""
        return f"worker {worker} ({self.addresses[worker]})"


SINGLE = Cluster(worker=0, num_workers=1, addresses=(), is_chief=True, source="single")


def read_cluster(environ: Mapping[str, str]) -> Cluster:
    """Read the cluster from TF_CONFIG, else from a JobSet's variables, else give SINGLE.

    Raises:
        ConfigError: The variables contradict themselves or ask for what this job cannot be.
    """
    if environ.get("TF_CONFIG", "").strip():
        return _from_tf_config(environ["TF_CONFIG"])
    if "JOBSET_NAME" in environ:
        return _from_jobset(environ)
    return SINGLE


def _from_tf_config(text: str) -> Cluster:
    try:
        content = json.loads(text)
        jobs = dict(content.get("cluster", {}))
        task = dict(content.get("task", {}))
        kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
        chiefs = [str(address) for name in _CHIEFS for address in jobs.get(name, ())]
        workers = [str(address) for address in jobs.get("worker", ())]
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"TF_CONFIG is not what an operator writes: {error}: {text}") from error
    _check_jobs(jobs, kind)
    if len(chiefs) > 1:
        raise ConfigError(f"TF_CONFIG names {len(chiefs)} chiefs; a cluster has one")
    if not chiefs and not workers:
        return SINGLE
    members = chiefs if kind in _CHIEFS else workers
    if not 0 <= index < len(members):
        raise ConfigError(
            f"TF_CONFIG says this is {kind} {index}, but its cluster has {len(members)} of them"
        )
    worker = index if kind in _CHIEFS else len(chiefs) + index
    return _cluster(worker, (*chiefs, *workers), "TF_CONFIG")


def _check_jobs(jobs: Mapping[str, Any], kind: str) -> None:
    if kind not in (*_CHIEFS, "worker"):
        raise ConfigError(
            f"TF_CONFIG gives this process the type {kind!r}; this job has a chief and workers "
            "only, and evaluates while it trains: remove that replica type"
        )
    if jobs.get("ps"):
        raise ConfigError(
            "TF_CONFIG names parameter servers; this job reduces gradients between its workers: "
            "remove the replica type PS"
        )


def _from_jobset(environ: Mapping[str, str]) -> Cluster:
    missing = [name for name in _JOBSET_VARIABLES if not environ.get(name)]
    if missing:
        raise ConfigError(f"in a JobSet, {', '.join(missing)} must be set as well")
    num_workers = _number(environ, "NUM_WORKERS")
    worker = _number(environ, "JOB_COMPLETION_INDEX", default="0")
    if worker >= num_workers:
        raise ConfigError(
            f"JOB_COMPLETION_INDEX {worker} must be below NUM_WORKERS {num_workers}; the Job's "
            "completions and NUM_WORKERS must be equal"
        )
    jobset, job = environ["JOBSET_NAME"], environ["REPLICATED_JOB_NAME"]
    # <jobset>-<job>-<job index>-<pod index>.<subdomain>, the subdomain being the JobSet's name.
    hosts = (f"{jobset}-{job}-0-{index}.{jobset}" for index in range(num_workers))
    return _cluster(worker, tuple(f"{host}:{PORT}" for host in hosts), "JobSet")


def _number(environ: Mapping[str, str], name: str, default: str = "") -> int:
    text = environ.get(name, default)
    if not text.isdecimal():
        raise ConfigError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def _cluster(worker: int, addresses: tuple[str, ...], source: str) -> Cluster:
    if len(addresses) < 2:
        return SINGLE
    for address in addresses:
        host_and_port(address)
    if len(set(addresses)) < len(addresses):
        raise ConfigError(f"two workers have the same address: {', '.join(addresses)}")
    return Cluster(
        worker=worker,
        num_workers=len(addresses),
        addresses=addresses,
        is_chief=worker == 0,
        source=source,
    )


def connect(cluster: Cluster, config: TrainConfig) -> "tf.distribute.Strategy":
    """Connect the workers and give the strategy over all their GPUs, or CPUs.

    One process without several GPUs gets TensorFlow's default strategy: `strategy.run` and the
    replica context's reductions work there as on many replicas, so training has one code path,
    and nothing opens a port.

    Raises:
        ClusterNotFormedError: A worker did not come within `config.cluster_timeout_s`.
        ConfigError: This worker's own port is taken.
    """
    # Imported late: reading a cluster needs no TensorFlow. Imported before the peers are waited
    # for: a worker that has answered should not take seconds more to be there.
    import tensorflow as tf

    if cluster.num_workers == 1:
        several = len(tf.config.list_physical_devices("GPU")) > 1
        return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
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
            return _multi_worker_strategy(cluster, config)
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0]
        raise ClusterNotFormedError(f"{_LOST_MEANWHILE}: {reason}") from error


def _multi_worker_strategy(cluster: Cluster, config: TrainConfig) -> "tf.distribute.Strategy":
    import tensorflow as tf
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
    from tensorflow.python.eager import context

    if _INTER_OP_VARIABLE not in os.environ:
        tf.config.threading.set_inter_op_parallelism_threads(
            max(_INTER_OP_THREADS, available_cores())
        )
    # The strategy sets this up itself, without any timeout, unless somebody did before.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=int(config.cluster_timeout_s * 1000),
        heartbeat_timeout_in_ms=int(config.peer_timeout_s * _HEARTBEAT_SHARE * 1000),
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=cluster.num_workers)
        ],
    )
    # A worker that waits for a bucket to come back still sends heartbeats: it is not lost.
    waits_s = config.storage_deadline_s if _uses_buckets(config) else 0.0
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.worker,
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(
        cluster_resolver=resolver,
        communication_options=tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=config.peer_timeout_s * _COLLECTIVE_SHARE + waits_s
        ),
    )


def _uses_buckets(config: TrainConfig) -> bool:
    return any(storage.is_remote(path) for path in (config.data, config.run))
