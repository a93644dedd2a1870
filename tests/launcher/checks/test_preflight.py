"""Preflight: each thing that would go wrong is named, with a way out."""

import datetime
import io
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from job.contract.configs import RecordsConfig
from launcher import commands, kinds
from launcher.api.connection import Cluster
from launcher.checks import kinds as kinds_check
from launcher.checks import preflight
from launcher.checks.result import Result
from launcher.cli import command_parser
from launcher.describe.spec import JobSpec
from launcher.errors import DeniedError, LauncherError, UsageError
from launcher.kinds import ClusterKind
from launcher.manifests import labels
from launcher.manifests.render import render
from launcher.output import Output
from tests.launcher import shapes
from tests.launcher.cluster_fixtures import connect
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.spec_examples import task, train

Object = dict[str, Any]
IN_STORAGE = ("data", "run", "writer")


@pytest.fixture
def ready(server: FakeApiServer, cluster: Cluster) -> Cluster:
    """A cluster in which a job of 16 GPUs could run at once."""
    cluster.namespace = "vision"
    for item in (
        named("Namespace", "vision"),
        named("ServiceAccount", "trainer"),
        deployment("training-operator", "kubeflow/training-operator:v1.9.3"),
        deployment("jobset-controller-manager", "registry.k8s.io/jobset/jobset:v0.12.0"),
        *(shapes.node(f"node-{letter}", gpus=8) for letter in "ab"),
    ):
        server.put(item)
    return cluster


def named(kind: str, name: str, **more: Any) -> Object:
    metadata = {"name": name} | ({} if kind == "Namespace" else {"namespace": "vision"})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def deployment(name: str, image: str, ready: int = 1, *, down_s: float = 0) -> Object:
    down = {"type": "Available", "status": "False", "lastTransitionTime": now_ago(down_s)}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "kubeflow"},
        "spec": {"template": {"spec": {"containers": [{"name": "manager", "image": image}]}}},
        "status": {"readyReplicas": ready, "conditions": [] if ready else [down]},
    }  # fmt: skip


def now_ago(seconds: float) -> str:
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return then.isoformat()


def a_job(backend: ClusterKind = kinds.TFJOB, **more: Any) -> JobSpec:
    return train(backend, **({"gpus": 16, "service_account": "trainer"} | more))


def results(cluster: Cluster, spec: JobSpec) -> dict[str, tuple[Result, ...]]:
    subject = preflight.subject_of(cluster, spec, render(spec)[0])
    return {each.name: each.results for each in preflight.run_checks(subject, skip=IN_STORAGE)}


def problem(cluster: Cluster, spec: JobSpec, check: str) -> tuple[str, str]:
    """Give level and text of the one check that is not content."""
    found = results(cluster, spec)
    bad = {name: each for name, each in found.items() if any(r.level != "ok" for r in each)}
    assert list(bad) == [check]
    (result,) = bad[check]
    assert result.mend or result.level == "unknown"
    return result.level, f"{result.what} | {result.mend}"


@pytest.mark.parametrize("backend", kinds.TRAINING)
def test_a_job_that_can_run_passes_every_check(ready: Cluster, backend: ClusterKind) -> None:
    found = results(ready, a_job(backend))
    assert set(found) == set(preflight.checks()) - set(IN_STORAGE)
    assert {result.level for each in found.values() for result in each} == {"ok"}


def test_an_operator_that_is_missing_names_the_alternative(tmp_path: Path) -> None:
    with FakeApiServer(absent=("kubeflow.org",)) as server:
        cluster = connect(server, tmp_path)
        found = results(cluster, a_job())
    (result,) = found["operator"]
    assert result.level == "failed"
    assert "--backend jobset" in result.mend


def test_an_operator_that_does_not_run_is_told(ready: Cluster, server: FakeApiServer) -> None:
    image = "kubeflow/training-operator:v1.9.3"
    server.put(deployment("training-operator", image, ready=0, down_s=3600))
    level, text = problem(ready, a_job(), "operator")
    assert level == "failed"
    assert "v1.9.3 does not run" in text


def test_an_operator_whose_pod_is_being_replaced_stops_nobody(
    ready: Cluster, server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for a moment; after that the job is sent, and starts once it is back."""
    image = "kubeflow/training-operator:v1.9.3"
    server.put(deployment("training-operator", image, ready=0))
    back = threading.Timer(1.5, server.put, [deployment("training-operator", image)])
    back.start()
    assert {result.level for result in results(ready, a_job())["operator"]} == {"ok"}
    back.join()
    monkeypatch.setattr(kinds_check, "READY_WITHIN_S", 0.5)
    server.put(deployment("training-operator", image, ready=0))
    level, text = problem(ready, a_job(), "operator")
    assert level == "warning"
    assert "is not ready at this moment" in text


def _queue(server: FakeApiServer, frameworks: str | None) -> None:
    queue = shapes.local_queue()
    queue["metadata"]["namespace"] = "vision"
    server.put(queue)
    if frameworks is not None:
        text = f"integrations:\n  frameworks: [{frameworks}]\n"
        config = named("ConfigMap", "kueue-manager-config")
        config["metadata"]["namespace"] = "kueue-system"
        config["data"] = {"controller_manager_config.yaml": text}
        server.put(config)


def test_a_queue_that_ignores_tfjobs_is_found_before_submission(
    ready: Cluster, server: FakeApiServer
) -> None:
    """Kueue's default configuration leaves TFJobs suspended for ever, without a word."""
    _queue(server, "batch/job, jobset.x-k8s.io/jobset")
    level, text = problem(ready, a_job(queue="research"), "queue")
    assert level == "failed"
    assert "kubeflow.org/tfjob is switched off" in text
    assert "--backend jobset" in text
    assert results(ready, a_job(kinds.JOBSET, queue="research"))["queue"][0].level == "ok"


def test_a_queue_whose_configuration_is_hidden_is_a_warning(
    ready: Cluster, server: FakeApiServer
) -> None:
    _queue(server, None)
    level, text = problem(ready, a_job(queue="research"), "queue")
    assert level == "warning"
    assert "cannot be seen whether Kueue handles TFJobs" in text


def test_a_queue_that_does_not_exist_names_those_that_do(
    ready: Cluster, server: FakeApiServer
) -> None:
    _queue(server, "jobset.x-k8s.io/jobset")
    _, text = problem(ready, a_job(kinds.JOBSET, queue="reserch"), "queue")
    assert "there is research" in text


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"service_account": "ghost"}, "service-account", "'ghost' does not exist"),
        ({"secret_env": {"KEY": "wandb/key"}}, "secrets", "secret 'wandb' (--secret-env)"),
        ({"image_pull_secret": "hub"}, "secrets", "secret 'hub' (--image-pull-secret)"),
        ({"priority": "urgent"}, "priority", "no priority class 'urgent'"),
        ({"image": "registry.example/food101:latest"}, "image", "another one at every restart"),
        (
            {"image": f"registry.example/food101:0123456789ab-cpu@sha256:{'5' * 64}"},
            "image",
            "was built for CPUs, and the job asks for 16 GPUs",
        ),
        ({"gpus": 32}, "room", "can never fit: 2 of 4 workers"),
        ({"accelerator": "nvidia-h100-80gb"}, "room", "gke-accelerator=nvidia-h100-80gb"),
    ],
)
def test_what_the_job_names_must_be_there(
    ready: Cluster, change: dict[str, Any], check: str, words: str
) -> None:
    _, text = problem(ready, a_job(**change), check)
    assert words in text


def test_without_any_gpu_the_way_out_is_named(ready: Cluster, server: FakeApiServer) -> None:
    for letter in "ab":
        server.put(shapes.node(f"node-{letter}", gpus=0))
    level, text = problem(ready, a_job(), "room")
    assert level == "failed"
    assert "no node has a GPU" in text
    assert "--gpus 0" in text


def test_a_tasks_command_is_told_of_flags_that_it_has(ready: Cluster) -> None:
    """Only training spreads GPUs over workers."""
    config = RecordsConfig(source="gs://b/images", output="gs://b/data")
    spec = task("make-tfrecords", config, config.output, cpus="900", service_account="trainer")
    _, text = problem(ready, spec, "room")
    named = set(re.findall(r"--[a-z-]+", text))
    assert {"--cpus", "--memory"} <= named
    parser = command_parser(commands.load("make-tfrecords"))
    assert named <= set(parser._option_string_actions)


def test_gpus_that_others_hold_are_a_warning(ready: Cluster, server: FakeApiServer) -> None:
    server.put(shapes.pod(0, job="big-run", node="node-a", state=shapes.running()))
    level, text = problem(ready, a_job(), "room")
    assert level == "warning"
    assert "1 of 2 workers fit now" in text
    assert "team/big-run 8" in text


def test_nodes_that_may_come_are_a_warning(ready: Cluster, server: FakeApiServer) -> None:
    for letter in "ab":
        pool = {"cloud.google.com/gke-nodepool": "cpu"}
        server.put(shapes.node(f"node-{letter}", gpus=0, own_labels=pool))
    level, text = problem(ready, a_job(), "room")
    assert level == "warning"
    assert "autoscaler" in text


@pytest.mark.parametrize(
    ("hard", "used", "level"), [("8", "0", "failed"), ("16", "8", "warning"), ("16", "0", "ok")]
)
def test_the_quota_is_counted_over_all_workers(
    ready: Cluster, server: FakeApiServer, hard: str, used: str, level: str
) -> None:
    key = f"requests.{labels.GPU}"
    server.put(named("ResourceQuota", "gpus", status={"hard": {key: hard}, "used": {key: used}}))
    (result,) = results(ready, a_job())["quota"]
    assert result.level == level


def test_a_limit_range_is_applied_to_one_worker(ready: Cluster, server: FakeApiServer) -> None:
    limits = [{"type": "Container", "max": {"memory": "4Gi"}}]
    server.put(named("LimitRange", "small", spec={"limits": limits}))
    level, text = problem(ready, a_job(), "limits")
    assert level == "failed"
    assert "more than the namespace's LimitRange allows (4 GiB memory)" in text


def test_admission_is_asked_by_a_dry_run(ready: Cluster, server: FakeApiServer) -> None:
    def refuse_pods(item: Object) -> Object | None:
        message = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot'
        refused = {"code": 403, "reason": "Forbidden", "message": message}
        return refused if item["kind"] == "Pod" else None

    server.admission = refuse_pods
    level, text = problem(ready, a_job(), "admission")
    assert level == "failed"
    assert "runAsNonRoot" in text
    assert not [request for request in server.requests if "POST" in request and "dryRun" not in
                request and "/selfsubjectaccessreviews" not in request]  # fmt: skip


def test_another_job_of_the_name_is_told_with_the_difference(
    ready: Cluster, server: FakeApiServer
) -> None:
    server.put(render(a_job(gpus=8))[0])
    level, text = problem(ready, a_job(), "name")
    assert level == "failed"
    assert "Worker.replicas: 1 -> 2" in text
    server.put(render(a_job())[0])
    assert results(ready, a_job())["name"][0].what.endswith("the same spec")


def test_a_job_of_another_kind_with_the_name_is_told(ready: Cluster, server: FakeApiServer) -> None:
    server.put(render(a_job(kinds.JOBSET))[0])
    _, text = problem(ready, a_job(), "name")
    assert "there is a JobSet called 'nightly' already" in text


def test_missing_permissions_are_listed(ready: Cluster, server: FakeApiServer) -> None:
    server.deny("create", "tfjobs")
    server.deny("get", "pods/log")
    (result,) = results(ready, a_job())["permissions"]
    assert result.level == "failed"
    assert "create tfjobs, get pods/log in namespace 'vision'" in result.what


def test_what_may_not_be_seen_stops_nothing(ready: Cluster, server: FakeApiServer) -> None:
    for verb, plural in (("list", "nodes"), ("get", "namespaces"), ("list", "resourcequotas"),
                         ("get", "serviceaccounts"), ("list", "deployments")):  # fmt: skip
        server.deny(verb, plural)
    found = results(ready, a_job())
    levels = {name: {result.level for result in each} for name, each in found.items()}
    unknown = {name for name, level in levels.items() if level == {"unknown"}}
    assert unknown == {"namespace", "service-account", "quota", "nodes", "room"}
    assert not any("failed" in level for level in levels.values())


def test_room_that_others_may_hold_is_told_with_that_caveat(
    ready: Cluster, server: FakeApiServer
) -> None:
    """The launcher's Role shows the namespace's own pods alone."""
    server.deny_elsewhere("list", "pods")
    theirs = shapes.pod(0, job="theirs", state=shapes.running())
    theirs["metadata"]["namespace"] = "other"
    server.put(theirs)
    (result,) = results(ready, a_job())["room"]
    assert result.level == "ok"
    assert result.what.endswith(
        "if pods of other namespaces, which you may not see, leave the room"
    )
    mine = shapes.pod(0, job="mine", state=shapes.running())
    mine["metadata"]["namespace"] = "vision"
    mine["spec"]["nodeName"] = "node-a"
    server.put(mine)
    (result,) = results(ready, a_job())["room"]
    assert (result.level, result.what[:23]) == ("warning", "1 of 2 workers fit now ")


def _nodes_of(server: FakeApiServer, provider: str, prefix: str = "node") -> None:
    for letter in "ab":
        server.store.objects.pop(("v1", "nodes", "", f"node-{letter}"), None)
        node = shapes.node(f"{prefix}-{letter}", gpus=8)
        node["spec"]["providerID"] = provider
        server.put(node)


def test_labels_of_another_cloud_are_found_before_they_select_nothing(
    ready: Cluster, server: FakeApiServer
) -> None:
    """`--spot` on EKS must not wait for GKE's label for ever."""
    _nodes_of(server, "aws:///eu-west-1a/i-1")
    (result,) = results(ready, a_job(kinds.JOBSET, spot=True))["nodes"]
    assert result.level == "failed"
    assert result.mend == "say so: --cloud eks"
    (result,) = results(ready, a_job(kinds.JOBSET))["nodes"]
    assert result.what == "the nodes are EKS's"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gpus": 8}, "of a named model only"),
        ({"gpus": 32, "gpus_per_worker": 32, "accelerator": "nvidia-l4"}, "GPUs, not 32"),
        ({"gpus": 0, "cache_size": "20Gi"}, "10 GiB storage of disk"),
    ],
)
def test_autopilots_rules_are_known(
    settings: dict[str, Any], words: str, ready: Cluster, server: FakeApiServer
) -> None:
    _nodes_of(server, "gce://p/z/n", prefix="gk3-pool")
    found = results(ready, a_job(kinds.JOBSET, **settings))["nodes"]
    assert words in found[0].what
    assert found[0].level == "failed"


def test_a_check_that_hangs_does_not_hold_up_the_rest(
    ready: Cluster, server: FakeApiServer
) -> None:
    spec = a_job()
    subject = preflight.subject_of(ready, spec, render(spec)[0])
    with server.store.changed:  # every list waits for this lock
        found = {
            each.name: each.results[0]
            for each in preflight.run_checks(subject, skip=IN_STORAGE, within_s=1.0)
        }
    assert found["quota"].what == "no answer within 1 s"
    assert found["image"].level == "ok"


def test_checks_are_skipped_by_name(ready: Cluster) -> None:
    subject = preflight.subject_of(ready, None, None)
    assert not list(preflight.run_checks(subject, skip=("all",)))
    with pytest.raises(UsageError, match="no check 'rom'"):
        list(preflight.run_checks(subject, skip=("rom",)))


def _require(cluster: Cluster, spec: JobSpec, *skip: str) -> str:
    said = io.StringIO()
    output = Output(io.StringIO(), said, {})
    preflight.require(spec, render(spec), cluster, output, skip=(*skip, *IN_STORAGE))
    return said.getvalue()


def test_a_failure_stops_the_submission_and_can_be_skipped(ready: Cluster) -> None:
    spec = a_job(service_account="ghost")
    with pytest.raises(LauncherError, match="--skip-checks service-account"):
        _require(ready, spec)
    assert _require(ready, spec, "service-account") == ""


def test_a_missing_permission_ends_as_denied(ready: Cluster, server: FakeApiServer) -> None:
    server.deny("create", "tfjobs")
    with pytest.raises(DeniedError, match="permissions"):
        _require(ready, a_job(), "admission")


def test_a_cluster_that_does_not_answer_is_told_once(server: FakeApiServer, tmp_path: Path) -> None:
    """Every other check of the cluster would say the same."""
    expired = connect(server, tmp_path, token="old")
    told = preflight.run_checks(preflight.subject_of(expired, None, None))
    assert [(each.name, each.results[0].level) for each in told] == [("cluster", "failed")]
