"""Manifests: golden files, the real schemas, and the promises that all pods keep."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import k8s
from job.contract import attempts
from job.contract.environment import WORKER_PORT
from job.contract.errors import FIRST_RETRYABLE, ExitCode, restart_may_help
from launcher import kinds
from launcher.manifests import labels, skeleton, yaml_text
from launcher.manifests.render import render
from launcher.manifests.tensorboard import render_tensorboard
from tests.launcher.manifest_schemas import validate
from tests.launcher.spec_examples import EXAMPLES, IMAGE, train

GOLDEN = Path(__file__).parents[1] / "golden"
JOBS = ("tfjob", "jobset", "make_tfrecords", "predict", "evaluate", "tensorboard")


ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
"""Kinds that Pod Security's `restricted` allows."""


def tensorboard() -> dict[str, Any]:
    owner = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": "nightly", "uid": "1234"},
    }
    return render_tensorboard(
        "nightly",
        namespace="vision",
        logdir="gs://bucket/runs/nightly/logs",
        image=IMAGE,
        owner=owner,
    )


def rendered() -> dict[str, list[dict[str, Any]]]:
    return {name: render(spec) for name, spec in EXAMPLES.items()} | {
        "tensorboard": [tensorboard()]
    }


ALL = rendered()
RENDERED = {name: manifests[0] for name, manifests in ALL.items()}


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest["spec"]
    if manifest["kind"] == "TFJob":
        spec = spec["tfReplicaSpecs"]["Worker"]
    elif manifest["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return spec["template"]


@pytest.mark.parametrize("name", RENDERED)
def test_golden(name: str) -> None:
    """What is rendered changes only on purpose: UPDATE_GOLDEN=1 writes the files anew."""
    text = yaml_text.dump_all(ALL[name])
    path = GOLDEN / f"{name}.yaml"
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(text)
    assert path.read_text() == text


def test_golden_files_are_all_used() -> None:
    """No golden file outlives its spec."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(RENDERED)


@pytest.mark.parametrize("name", RENDERED)
def test_schema(name: str) -> None:
    """Every rendered manifest fits the real CRD or OpenAPI schema, without unknown fields."""
    for manifest in ALL[name]:
        validate(manifest)


@pytest.mark.parametrize("name", [*JOBS, "disruption_budget", "network_policy"])
def test_skeletons_are_manifests_as_they_stand(name: str) -> None:
    """A skeleton can be applied with kubectl without the launcher."""
    validate(skeleton.load(f"jobs/{name}.yaml"))


@pytest.mark.parametrize("path", k8s.namespace_files())
def test_namespace_objects(path: str) -> None:
    """What a namespace needs once is valid too."""
    validate(yaml.safe_load(k8s.read(path)))


@pytest.mark.parametrize("name", RENDERED)
def test_pods_are_restricted(name: str) -> None:
    """Every pod passes Pod Security's `restricted` and can write only to its own volumes."""
    pod = pod_of(RENDERED[name])["spec"]
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["command"][:2] == ["python", "-m"]
    assert all(set(volume) - {"name"} <= ALLOWED_VOLUMES for volume in pod["volumes"])
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume)


@pytest.mark.parametrize("name", JOBS)
def test_skeletons_share_their_pod(name: str) -> None:
    """What all pods must have alike is alike in every skeleton."""
    pods = [pod_of(skeleton.load(f"jobs/{other}.yaml"))["spec"] for other in ("tfjob", name)]
    for key in ("securityContext", "enableServiceLinks", "automountServiceAccountToken"):
        assert pods[0][key] == pods[1][key]
    one, two = (pod["containers"][0] for pod in pods)
    for key in ("securityContext", "terminationMessagePolicy"):
        assert one[key] == two[key]


def failure_rules(name: str) -> list[dict[str, Any]]:
    """Give what a skeleton says of exit codes, without the rule about disruptions before it."""
    job = skeleton.load(f"jobs/{name}.yaml")["spec"]
    if name == "jobset":
        job = job["replicatedJobs"][0]["template"]["spec"]
    disrupted, *rules = job["podFailurePolicy"]["rules"]
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert disrupted["action"] == ("FailJob" if name == "jobset" else "Ignore")
    return rules


@pytest.mark.parametrize("name", ["jobset", "evaluate"])
def test_every_permanent_exit_code_ends_the_job(name: str) -> None:
    """The exit-code contract: no restart below 128."""
    _, rule = failure_rules(name)
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == list(range(1, FIRST_RETRYABLE))


@pytest.mark.parametrize("name", ["make_tfrecords", "predict"])
def test_every_permanent_exit_code_ends_an_index_or_the_job(name: str) -> None:
    """Together the rules of indexed jobs name every exit code below 128, each once."""
    _, *rules = failure_rules(name)
    codes = [code for rule in rules for code in rule["onExitCodes"]["values"]]
    assert sorted(codes) == list(range(1, FIRST_RETRYABLE))


@pytest.mark.parametrize("name", ["make_tfrecords", "predict", "evaluate"])
def test_a_task_that_was_asked_to_leave_is_replaced_and_not_counted(name: str) -> None:
    leaving = failure_rules(name)[0]
    assert leaving["action"] == "Ignore"
    assert leaving["onExitCodes"]["values"] == [ExitCode.PREEMPTED]


def test_a_jobset_counts_what_the_job_itself_would_count() -> None:
    """The first rule that fits decides, from the message that Kubernetes writes of a failed Job."""
    jobset = skeleton.load("jobs/jobset.yaml")["spec"]["failurePolicy"]["rules"]
    # What JobSet's own webhook asks of a rule's name.
    assert all(re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", r["name"]) for r in jobset)
    named = failure_rules("jobset")[0]["onExitCodes"]["values"]
    assert sorted(named) == sorted(attempts.NOT_COUNTED)

    def action(message: str) -> str:
        for rule in jobset:
            patterns = rule.get("onJobFailureMessagePatterns", [""])
            if any(re.search(pattern, message) for pattern in patterns):
                return str(rule["action"])
        return "none"

    words = "Container tensorflow for pod vision/x failed with exit code {} matching FailJob rule"
    for code in range(1, 256):
        if restart_may_help(code) and code not in named:
            continue  # Ends for want of retries, which no rule is about: it counts.
        expected = "RestartJobSetAndIgnoreMaxRestarts" if code in named else "FailJobSet"
        assert action(words.format(code)) == expected
    evicted = "Pod vision/x has condition DisruptionTarget matching FailJob rule at index 0"
    assert action(evicted) == "RestartJobSetAndIgnoreMaxRestarts"


@pytest.mark.parametrize("name", ["tfjob", "jobset"])
def test_workers_meet_at_the_port_that_the_job_opens(name: str) -> None:
    (container,) = pod_of(skeleton.load(f"jobs/{name}.yaml"))["spec"]["containers"]
    assert container["ports"] == [{"name": "tfjob-port", "containerPort": WORKER_PORT}]


def test_who_keeps_which_budget_is_told_to_the_job() -> None:
    """The operator counts no restarts; a JobSet's deadline begins anew with each attempt."""
    told = environment(RENDERED["tfjob-1-gpu"])
    assert told["MAX_RESTARTS"] == "20"
    assert "MAX_DURATION_S" not in told
    told = environment(RENDERED["jobset-everything"])
    assert told["MAX_DURATION_S"] == str(12 * 3600)
    assert "MAX_RESTARTS" not in told


def test_worker_count_reaches_every_place() -> None:
    """Replicas, gang size and the trainer's environment agree."""
    tfjob = RENDERED["tfjob-16-l4-queue"]["spec"]
    assert tfjob["tfReplicaSpecs"]["Worker"]["replicas"] == 2
    assert tfjob["runPolicy"]["schedulingPolicy"]["minAvailable"] == 2
    assert tfjob["runPolicy"]["suspend"] is True
    child = RENDERED["jobset-16-h100-spot"]["spec"]["replicatedJobs"][0]["template"]["spec"]
    environment = {
        e["name"]: e.get("value")
        for e in pod_of(RENDERED["jobset-16-h100-spot"])["spec"]["containers"][0]["env"]
    }
    assert child["completions"] == child["parallelism"] == 2
    assert environment["NUM_WORKERS"] == "2"


def test_spot_and_accelerator_select_nodes() -> None:
    """GPUs, spot and the model become tolerations and selectors."""
    pod = pod_of(RENDERED["jobset-16-h100-spot"])["spec"]
    assert pod["nodeSelector"] == {labels.ACCELERATOR: "nvidia-h100-80gb", labels.SPOT: "true"}
    assert {t["key"] for t in pod["tolerations"]} == {labels.GPU, labels.SPOT}
    assert pod["containers"][0]["resources"]["limits"][labels.GPU] == "8"


def environment(manifest: dict[str, Any]) -> dict[str, str]:
    (container,) = pod_of(manifest)["spec"]["containers"]
    return {e["name"]: e["value"] for e in container["env"] if "value" in e}


def test_a_worker_is_told_of_its_gpus() -> None:
    """The trainer compares what it sees with it; NCCL tells of its errors unless told not to."""
    told = environment(RENDERED["jobset-16-h100-spot"])
    assert (told["GPUS_PER_WORKER"], told["NCCL_DEBUG"]) == ("8", "WARN")
    spec = train(kinds.TFJOB, gpus=2, env={"NCCL_DEBUG": "INFO", "NCCL_SOCKET_IFNAME": "eth1"})
    told = environment(render(spec)[0])
    assert (told["NCCL_DEBUG"], told["NCCL_SOCKET_IFNAME"]) == ("INFO", "eth1")
    without = environment(RENDERED["tfjob-2-cpu-workers"])
    assert not {"GPUS_PER_WORKER", "NCCL_DEBUG"} & set(without)


@pytest.mark.parametrize("name", ["tfjob-1-gpu", "jobset-16-h100-spot"])
def test_training_pods_are_not_moved_by_the_autoscaler(name: str) -> None:
    """A graceful eviction would fail the whole TFJob, and set a JobSet back to its checkpoint."""
    template = pod_of(RENDERED[name])
    assert template["metadata"]["annotations"][labels.SAFE_TO_EVICT] == "false"


@pytest.mark.parametrize("name", RENDERED)
def test_no_pod_has_a_proxy_beside_it(name: str) -> None:
    """A service mesh's container never ends, so that a job with one would never be over."""
    assert pod_of(RENDERED[name])["metadata"]["labels"][labels.NO_SIDECAR] == "false"


def test_a_training_job_has_a_disruption_budget_and_its_workers_a_firewall() -> None:
    """Both select the workers alone: a TensorBoard beside them has the job's label too."""
    _, budget, firewall = ALL["tfjob-16-l4-queue"]
    workers = {labels.JOB: "nightly", labels.COMPONENT: "train"}
    assert budget["spec"]["minAvailable"] == 2
    assert budget["spec"]["selector"]["matchLabels"] == workers
    assert firewall["spec"]["podSelector"]["matchLabels"] == workers
    assert firewall["spec"]["ingress"] == [{"from": [{"podSelector": {"matchLabels": workers}}]}]
    assert firewall["spec"]["policyTypes"] == ["Ingress"]
    assert workers.items() <= pod_of(ALL["tfjob-16-l4-queue"][0])["metadata"]["labels"].items()
    assert RENDERED["tensorboard"]["metadata"]["labels"][labels.COMPONENT] != "train"


def test_who_has_no_peers_has_no_ports_to_guard() -> None:
    """One worker opens no port; tasks do not know each other and may be moved."""
    assert [each["kind"] for each in ALL["tfjob-1-gpu"]] == ["TFJob", "PodDisruptionBudget"]
    assert [each["kind"] for each in ALL["predict-8-spot-tasks"]] == ["Job"]


def test_secrets_are_references_only() -> None:
    """A secret variable names its secret and holds no value."""
    container = pod_of(RENDERED["jobset-everything"])["spec"]["containers"][0]
    (token,) = [e for e in container["env"] if e["name"] == "TOKEN"]
    assert token == {
        "name": "TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}},
    }


def test_volumes_stay_within_the_requests() -> None:
    """The disks' sizes are part of the ephemeral-storage request, /dev/shm of the memory."""
    pod = pod_of(RENDERED["jobset-everything"])["spec"]
    sizes = {v["name"]: v["emptyDir"]["sizeLimit"] for v in pod["volumes"]}
    assert sizes == {"scratch": "20Gi", "cache": "8Gi", "shm": "3Gi"}
    assert pod["containers"][0]["resources"]["limits"]["ephemeral-storage"] == "29Gi"
    (shm,) = [v for v in pod["volumes"] if v["name"] == "shm"]
    assert shm["emptyDir"]["medium"] == "Memory"
