"""What `launcher setup` and a job's companions mean to the real API server."""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from launcher.manifests.render import render
from tests.cluster import node, training
from tests.cluster.api import Cluster, KubectlError
from tests.cluster.command import Launcher
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.waiting import await_condition
from tests.launcher.spec_examples import EXAMPLES

Object = dict[str, Any]
USER = "jane"
RUN = "gs://food101-nowhere/run"


@pytest.fixture
def held(idle_launcher: Launcher, api: Cluster) -> Launcher:
    """A namespace that was set up: for one user, one account, one registry and one secret."""
    where = idle_launcher.namespace
    idle_launcher(
        *("setup", "--user", USER, "--job-service-account", "trainer", "--secret", "hub"),
        *("--registry", "localhost/", "--gpu-quota", "64"),
    )
    api.kubectl("create", "serviceaccount", "boss", "-n", where)
    await_condition(
        "the API server knows the policies",
        lambda: "pods here may use" in refusal(api, pod(where, secret="other")),
        timeout_s=60,
        every_s=0.5,
    )
    return idle_launcher


def pod(where: str, *, account: str = "", image: str = "localhost/a:1", secret: str = "") -> Object:
    container: Object = {
        "name": "tensorflow", "image": image,
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"},
        },
    }  # fmt: skip
    if secret:
        container["env"] = [
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": "x"}}}
        ]
    spec: Object = {"containers": [container], "restartPolicy": "Never"}
    if account:
        spec["serviceAccountName"] = account
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "probe", "namespace": where}, "spec": spec,
    }  # fmt: skip


def job(where: str, **of_pod: Any) -> Object:
    template = {"spec": pod(where, **of_pod)["spec"]}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "probe", "namespace": where}, "spec": {"template": template},
    }  # fmt: skip


def jobset(where: str, **of_pod: Any) -> Object:
    child = {"name": "worker", "template": {"spec": job(where, **of_pod)["spec"]}}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": "probe", "namespace": where}, "spec": {"replicatedJobs": [child]},
    }  # fmt: skip


def tfjob(where: str, **of_pod: Any) -> Object:
    spec = {key: v for key, v in pod(where, **of_pod)["spec"].items() if key != "restartPolicy"}
    worker = {"replicas": 1, "template": {"spec": spec}}
    return {
        "apiVersion": "kubeflow.org/v1", "kind": "TFJob",
        "metadata": {"name": "probe", "namespace": where},
        "spec": {"tfReplicaSpecs": {"Worker": worker}},
    }  # fmt: skip


def refusal(api: Cluster, item: Mapping[str, Any], *, user: str = "") -> str:
    """Say why the API server refuses an object; nothing if it takes it."""
    identity = [f"--as={user}"] if user else []
    try:
        api.kubectl(*("create", "--dry-run=server", "-f", "-", *identity), stdin=json.dumps(item))
    except KubectlError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("make", [pod, job, jobset, tfjob])
def test_pods_may_name_what_is_listed_and_nothing_else(
    make: Any, held: Launcher, api: Cluster
) -> None:
    """The same for a pod and for every kind of job: account, image, secret."""
    where = held.namespace
    assert "pods here may run as trainer, default only" in refusal(api, make(where, account="boss"))
    assert "images here must begin with localhost/" in refusal(
        api, make(where, image="docker.io/evil:1")
    )
    assert "the secrets hub only" in refusal(api, make(where, secret="other"))
    assert refusal(api, make(where, account="trainer", secret="hub")) == ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_controllers_themselves_accept_what_is_rendered(name: str, api: Cluster) -> None:
    """Their webhooks know rules that no schema tells."""
    for manifest in render(EXAMPLES[name]):
        manifest["metadata"]["namespace"] = "default"
        assert refusal(api, manifest) == ""


def test_an_init_container_and_a_volume_are_looked_at_too(held: Launcher, api: Cluster) -> None:
    item = pod(held.namespace)
    item["spec"]["initContainers"] = pod(held.namespace, image="evil/a:1")["spec"]["containers"]
    item["spec"]["initContainers"][0]["name"] = "init"
    assert "images here must begin with" in refusal(api, item)
    for source in (
        {"secret": {"secretName": "other"}},
        {"projected": {"sources": [{"secret": {"name": "other"}}]}},
    ):
        item = pod(held.namespace)
        item["spec"]["volumes"] = [{"name": "v", **source}]
        assert "the secrets hub only" in refusal(api, item)
    item = pod(held.namespace)
    item["spec"]["imagePullSecrets"] = [{"name": "other"}]
    assert "the secrets hub only" in refusal(api, item)


def test_users_may_open_a_job_to_itself_and_nothing_else(held: Launcher, api: Cluster) -> None:
    """Network policies add up: one of a user's must not undo the administrator's."""
    rendered = held(*rendered_job("mine")).out
    (ours,) = [m for m in yaml.safe_load_all(rendered) if m["kind"] == "NetworkPolicy"]
    assert refusal(api, ours, user=USER) == ""
    everybody = {**ours, "spec": {**ours["spec"], "ingress": [{}]}}
    assert "may only open the pods of one job" in refusal(api, everybody, user=USER)
    outside = {**ours, "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}}
    assert "may only open the pods of one job" in refusal(api, outside, user=USER)
    assert refusal(api, outside) == "", "an administrator may"


def rendered_job(name: str) -> list[str]:
    _, *rest = training.submit("jobset", name, "gs://food101-nowhere/data", RUN)
    return ["render", *rest]


def test_a_user_may_make_the_companions_and_read_no_other_pods(
    held: Launcher, api: Cluster
) -> None:
    def may(verb: str, what: str, *where: str) -> str:
        return api.kubectl("auth", "can-i", verb, what, f"--as={USER}", *where, check=False).strip()

    here = ("-n", held.namespace)
    assert may("patch", "poddisruptionbudgets.policy", *here) == "yes"
    assert may("patch", "networkpolicies.networking.k8s.io", *here) == "yes"
    assert may("list", "pods", *here) == "yes"
    assert may("list", "pods", "--all-namespaces") == "no"
    assert may("list", "nodes") == "yes"
    assert may("patch", "configmaps", *here) == "no"


def test_a_quota_has_room_for_the_gpus_that_it_names(held: Launcher, digits: str) -> None:
    """64 H100s with the CPUs and the memory beside them."""
    found = held(
        *("check", "-o", "json", "--backend", "jobset", "--gpus", "64", "--name", "big"),
        *("--accelerator", "nvidia-h100-80gb", "--data", digits, "--run", RUN),
        *("--cpus", "24", "--memory", "200Gi", "--", "--global_batch_size=512"),
        code=None,
    ).data
    quota = next(each for each in found if each["check"] == "quota")
    assert [each["level"] for each in quota["results"]] == ["ok"]


def is_gone(api: Cluster, kind: str, *where: str) -> bool:
    return not api.list(kind, *where)


def test_companions_belong_to_their_job(idle_launcher: Launcher, api: Cluster, digits: str) -> None:
    """They are there as long as the job."""
    where = ("-n", idle_launcher.namespace)
    idle_launcher(*training.submit("tfjob", "owner", digits, RUN, "--skip-checks", "all"))
    for kind in ("pdb", "networkpolicy"):
        (item,) = api.list(kind, *where)
        (owner,) = item["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("TFJob", "owner")
    idle_launcher("delete", "owner", "--wait")
    for kind in ("pdb", "networkpolicy"):
        await_condition(
            f"the {kind} is gone", functools.partial(is_gone, api, kind, *where), timeout_s=60
        )


@pytest.fixture
def schedulable(own_cluster: OwnCluster) -> Iterator[None]:
    yield
    own_cluster.kubectl("uncordon", node.NAME)


def test_a_drain_waits_for_a_training_job(
    idle_launcher: Launcher, own_cluster: OwnCluster, schedulable: None
) -> None:
    """Until somebody takes the budget away, or the job with it."""
    where = idle_launcher.namespace
    rendered = idle_launcher(*rendered_job("busy")).out
    manifests = list(yaml.safe_load_all(rendered))
    (budget,) = [m for m in manifests if m["kind"] == "PodDisruptionBudget"]
    labels = budget["spec"]["selector"]["matchLabels"]
    for index in range(2):
        worker = pod(where, image=node.PAUSE_IMAGE)
        worker["metadata"] |= {"name": f"busy-{index}", "labels": labels}
        worker["spec"]["containers"][0]["imagePullPolicy"] = "Never"
        worker["spec"]["containers"][0]["securityContext"]["runAsUser"] = 1000
        worker["spec"]["terminationGracePeriodSeconds"] = 0
        own_cluster.apply(worker)
    own_cluster.apply(budget)
    await_condition(
        "the budget counts both",
        lambda: own_cluster.get("pdb", "busy", "-n", where)["status"].get("currentHealthy") == 2,
        timeout_s=120,
    )
    drain = (
        *("drain", node.NAME, "--ignore-daemonsets", "--force", "--timeout=10s"),
        "--pod-selector=food101/job=busy",
    )
    with pytest.raises(KubectlError) as refused:
        own_cluster.kubectl(*drain)
    print(refused.value)
    assert "violate the pod's disruption budget" in str(refused.value)
    assert len(own_cluster.list("pods", "-n", where)) == 2
    own_cluster.kubectl("delete", "pdb", "busy", "-n", where)
    own_cluster.kubectl(*drain[:-2], "--timeout=60s", drain[-1])
    assert own_cluster.list("pods", "-n", where) == []
