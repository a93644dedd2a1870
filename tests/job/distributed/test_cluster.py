"""Who a process is among the workers, and finding the others."""

import concurrent.futures
import json
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
import yaml

from job.contract.errors import ClusterNotFormedError, ConfigError
from job.distributed.cluster import SINGLE, Cluster, read_cluster
from job.distributed.rendezvous import exclude_from_proxy, host_and_port, wait_for_peers
from tests.multiprocess import ROOT, free_ports

HOSTS = [f"food-worker-{index}.food101.svc:2222" for index in range(3)]
JOBSET = {
    "JOBSET_NAME": "food",
    "REPLICATED_JOB_NAME": "worker",
    "NUM_WORKERS": "3",
    "JOB_COMPLETION_INDEX": "2",
}


def from_tf_config(cluster: Any, kind: str, index: int) -> Cluster:
    content = {"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"}
    return read_cluster({"TF_CONFIG": json.dumps(content)})


def test_workers_only() -> None:
    """The first worker is the chief, as TensorFlow has it."""
    first = from_tf_config({"worker": HOSTS}, "worker", 0)
    last = from_tf_config({"worker": HOSTS}, "worker", 2)
    assert (first.worker, first.is_chief, first.num_workers) == (0, True, 3)
    assert (last.worker, last.is_chief, last.addresses) == (2, False, tuple(HOSTS))
    assert last.peers == (0, 1)


@pytest.mark.parametrize("name", ["chief", "master"])
def test_a_chief_and_workers(name: str) -> None:
    """The chief is worker 0 and the operator's worker 0 is worker 1."""
    cluster = {name: ["food-chief-0.food101.svc:2222"], "worker": HOSTS[:2]}
    chief = from_tf_config(cluster, name, 0)
    worker = from_tf_config(cluster, "worker", 0)
    assert (chief.worker, chief.is_chief) == (0, True)
    assert (worker.worker, worker.is_chief, worker.num_workers) == (1, False, 3)
    assert worker.addresses[0] == "food-chief-0.food101.svc:2222"


def test_an_evaluator_beside_the_workers_does_not_count() -> None:
    """The operator lists it in `cluster`; it takes no part in the exchange."""
    cluster = from_tf_config({"worker": HOSTS, "evaluator": ["e:2222"]}, "worker", 1)
    assert cluster.addresses == tuple(HOSTS)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TF_CONFIG": " "},
        {"JOB_COMPLETION_INDEX": "0"},
        {"WORLD_SIZE": "1"},
        {"NUM_WORKERS": "", "JOBSET_NAME": ""},
    ],
)
def test_where_nothing_speaks_of_others_there_is_one_process(environ: dict[str, str]) -> None:
    """The operator sets no TF_CONFIG for one replica; a variable without content is not set."""
    assert read_cluster(environ) == SINGLE


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"JOB_COMPLETION_INDEX": "3"}, "JOB_COMPLETION_INDEX is 3.*neither TF_CONFIG nor JOBSET"),
        ({"NUM_WORKERS": "4"}, "JOBSET_NAME, REPLICATED_JOB_NAME must be set"),
        ({"REPLICATED_JOB_NAME": "worker"}, "JOBSET_NAME, NUM_WORKERS must be set"),
        ({"WORLD_SIZE": "8", "RANK": "2"}, "WORLD_SIZE is 8.*unset WORLD_SIZE"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE is 2"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "SLURM_STEP_NUM_TASKS is 2"),
    ],
)
def test_one_of_several_that_do_not_know_each_other_is_refused(
    environ: dict[str, str], message: str
) -> None:
    """Each would train alone, as the chief of the same directory."""
    with pytest.raises(ConfigError, match=message):
        read_cluster(environ)


def test_a_cluster_of_one_is_one_process() -> None:
    """Nothing waits, and no port is opened."""
    assert from_tf_config({"chief": HOSTS[:1]}, "chief", 0) == SINGLE
    assert read_cluster(JOBSET | {"NUM_WORKERS": "1", "JOB_COMPLETION_INDEX": "0"}) == SINGLE


def test_a_jobset() -> None:
    """Workers have the stable names that JobSet gives to pods."""
    cluster = read_cluster(JOBSET)
    assert (cluster.worker, cluster.is_chief, cluster.source) == (2, False, "JobSet")
    assert cluster.addresses[1] == "food-worker-0-1.food:2222"


def test_the_jobset_of_this_repository_sets_what_is_read() -> None:
    """Kubernetes fills in the labels that JobSet gives to a pod, and its index in the Job."""
    manifest = yaml.safe_load((ROOT / "k8s" / "jobs" / "jobset.yaml").read_text())
    (job,) = manifest["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    labels = {
        "metadata.labels['jobset.sigs.k8s.io/jobset-name']": "food",
        "metadata.labels['jobset.sigs.k8s.io/replicatedjob-name']": job["name"],
        "metadata.labels['jobset.sigs.k8s.io/restart-attempt']": "0",
        "metadata.annotations['batch.kubernetes.io/job-completion-index']": "1",
    }
    environ = {
        one["name"]: one["value"]
        if "value" in one
        else labels[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container["env"]
    }
    cluster = read_cluster(environ | {"JOB_COMPLETION_INDEX": "1"})
    assert (cluster.source, cluster.worker) == ("JobSet", 1)
    assert cluster.num_workers == job["template"]["spec"]["completions"]
    assert cluster.addresses[0] == f"food-{job['name']}-0-0.food:2222"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"NUM_WORKERS": "2"}, "must be below NUM_WORKERS 2"),
        ({"NUM_WORKERS": "many"}, "whole number, not 'many'"),
        ({"REPLICATED_JOB_NAME": ""}, "REPLICATED_JOB_NAME must be set"),
        ({"JOBSET_NAME": ""}, "JOBSET_NAME must be set"),
        ({"NUM_WORKERS": ""}, "NUM_WORKERS must be set"),
        ({"JOB_COMPLETION_INDEX": ""}, "each would be the first.*completionMode: Indexed"),
        ({"JOB_COMPLETION_INDEX": "-1"}, "JOB_COMPLETION_INDEX must be a whole number"),
    ],
)
def test_a_jobset_that_cannot_be_is_refused(changed: dict[str, str], message: str) -> None:
    """The message names the variable."""
    with pytest.raises(ConfigError, match=message):
        read_cluster(JOBSET | changed)


def test_addresses_may_be_ipv6() -> None:
    """Brackets belong to the address, not to the host."""
    assert host_and_port("[fd00::1]:2222") == ("fd00::1", 2222)


def test_peers_are_kept_from_the_proxy() -> None:
    """gRPC would ask the proxy in https_proxy for them; what was excluded before stays."""
    environ = {"https_proxy": "http://proxy:3128", "no_proxy": "localhost"}
    exclude_from_proxy(HOSTS[:2], environ)
    exclude_from_proxy(HOSTS[:2], environ)
    expected = "food-worker-0.food101.svc,food-worker-1.food101.svc"
    assert environ["no_proxy"] == f"localhost,{expected}"
    assert environ["NO_PROXY"] == expected
    assert "no_grpc_proxy" not in environ


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_workers_that_are_there_find_each_other(host: str) -> None:
    """Each listens while it asks, so none has to be first; then the port is TensorFlow's."""
    addresses = [f"{host}:{port}" for port in free_ports(4)]
    all_found = threading.Barrier(len(addresses), timeout=60)

    def find_the_others(worker: int) -> None:
        wait_for_peers(addresses, worker, 60)
        port = host_and_port(addresses[worker])[1]
        with socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True):
            all_found.wait()

    with concurrent.futures.ThreadPoolExecutor(len(addresses)) as pool:
        list(pool.map(find_the_others, range(len(addresses))))
    assert all_found.broken is False


def test_a_missing_worker_is_named_with_the_reason() -> None:
    """Who does not come, and whether the name or the port is missing."""
    own, other = free_ports(2)
    addresses = [f"127.0.0.1:{own}", f"127.0.0.1:{other}", "no-such-host.invalid:2222"]
    with pytest.raises(ClusterNotFormedError) as error:
        wait_for_peers(addresses, 0, 0.5)
    message = str(error.value)
    assert message.startswith("2 of 3 workers did not come within 0.5 s")
    assert f"worker 1 (127.0.0.1:{other}): connection refused" in message
    assert "worker 2 (no-such-host.invalid:2222): its name does not resolve" in message


def test_a_port_that_is_taken_is_named() -> None:
    """Another process of an earlier attempt may still hold it."""
    own, other = free_ports(2)
    with (
        socket.create_server(("", own)),
        pytest.raises(ConfigError, match=f"worker 0 cannot listen on its port {own}"),
    ):
        wait_for_peers([f"127.0.0.1:{own}", f"127.0.0.1:{other}"], 0, 5)


def test_a_deadline_holds_while_a_c_call_keeps_the_interpreter() -> None:
    """The process ends with the code it was given, after the message."""
    program = (
        "import ctypes\n"
        "from job.process.hard_deadline import exit_after\n"
        "with exit_after(60, 1, 'never'): pass\n"
        "with exit_after(0.2, 145, 'error: 100% of them are lost'):\n"
        "    ctypes.PyDLL(None).sleep(60)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, timeout=30, check=False
    )
    assert ended.returncode == 145
    assert b"error: 100% of them are lost" in ended.stderr
