"""The commands as a user types them, against an API server over HTTP."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from job.contract import layout
from launcher.api import resources
from launcher.manifests import labels
from tests.launcher import shapes
from tests.launcher.commands.conftest import Launcher
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.situations_ending import TRACEBACK
from tests.launcher.situations_scheduling import NO_GPU

Object = dict[str, Any]


def put_job(server: FakeApiServer, item: Object, run_dir: Path) -> Object:
    item["metadata"]["annotations"][labels.RUN] = str(run_dir)
    return server.put(item)


def put_running(server: FakeApiServer, run_dir: Path) -> Object:
    job = put_job(server, shapes.tfjob(shapes.CREATED, shapes.RUNNING), run_dir)
    for index in (0, 1):
        server.put(shapes.pod(index, state=shapes.running()))
    return job


def test_list_tells_every_kind(launcher: Launcher, server: FakeApiServer, run_dir: Path) -> None:
    put_running(server, run_dir)
    waiting = shapes.jobset(queue="research", suspend=True)
    waiting["metadata"] |= {"name": "queued", "uid": "other"}
    server.put(waiting)
    code, out, _ = launcher("list")
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["mnist"][1:4] == ["Running", "2/2", "16"]
    assert rows["queued"][1] == "Queued"
    assert launcher("list", "-o", "name")[1].split() == [
        "jobset.jobset.x-k8s.io/queued", "tfjob.kubeflow.org/mnist",
    ] or "tfjob.kubeflow.org/mnist" in launcher("list", "-o", "name")[1]  # fmt: skip
    assert {job["status"] for job in json.loads(launcher("list", "-o", "json")[1])} == {
        "Running", "Queued",
    }  # fmt: skip
    assert "registry.example/food101:0.1.0" in launcher("list", "-o", "wide")[1]


def test_list_counts_a_jobs_workers_whoever_made_it_and_nothing_else(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    """The pod of a job's TensorBoard is no worker; pods of a job made by hand are."""
    put_running(server, run_dir)
    curves = shapes.pod(7, state=shapes.running())
    curves["metadata"] |= {"name": "mnist-tensorboard-x", "uid": "curves"}
    curves["metadata"]["labels"] = {labels.JOB: "mnist", labels.COMPONENT: "tensorboard"}
    server.put(curves)
    foreign = shapes.tfjob(shapes.CREATED, shapes.RUNNING, workers=1)
    foreign["metadata"] |= {"name": "foreign", "uid": "foreign", "labels": {}, "annotations": {}}
    server.put(foreign)
    pod = shapes.pod(0, state=shapes.running(), job="foreign")
    del pod["metadata"]["labels"][labels.JOB]
    server.put(pod)
    rows = {line.split()[0]: line.split() for line in launcher("list")[1].splitlines()}
    assert rows["mnist"][1:3] == ["Running", "2/2"]
    assert rows["foreign"][1:3] == ["Running", "1/1"]


def test_a_retried_task_runs_again(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    """Its failed pod stays where it is; waiting for the job to run comes to an end."""
    put_job(server, shapes.indexed_job(tasks=2, failed=1), run_dir)
    server.put(shapes.task(0, "first", phase="Failed", state=shapes.ended(146), age=900))
    server.put(shapes.task(0, "again", state=shapes.running(), age=400))
    server.put(shapes.task(1, state=shapes.running()))
    assert launcher("list")[1].splitlines()[1].split()[1:3] == ["Running", "2/2"]
    assert launcher("wait", "mnist", "--for", "running", "--timeout", "20s")[0] == 0
    assert "All 2 workers of mnist run" in launcher("why", "mnist")[1]


def test_an_empty_list_says_so(launcher: Launcher) -> None:
    code, out, err = launcher("list")
    assert (code, out) == (0, "")
    assert "no jobs in namespace 'team'" in err


def test_a_job_that_does_not_exist_is_not_found(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_running(server, run_dir)
    code, _, err = launcher("status", "minst")
    assert code == 3
    assert "no job 'minst' in namespace 'team'; did you mean 'mnist'?" in err


def test_a_denied_user_gets_one_line(launcher: Launcher, server: FakeApiServer) -> None:
    for plural in ("tfjobs", "jobsets", "jobs"):
        server.deny("get", plural)
        server.deny("list", plural)
    code, _, err = launcher("status", "mnist")
    assert code == 4
    assert err.count("\n") == 1
    assert "user 'jane' may not get tfjobs in namespace 'team'" in err


def test_status_tells_progress_and_replicas(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_running(server, run_dir)
    now = shapes.datetime.datetime.now(shapes.datetime.UTC)
    content = {**shapes.progress(), "time": now.timestamp()}
    Path(layout.progress_file(str(run_dir))).write_text(json.dumps(content), encoding="utf-8")
    manifest = Path(layout.manifest_file(layout.checkpoint_dir(str(run_dir), 1000)))
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}", encoding="utf-8")
    server.put(shapes.event("mnist-worker-0", "Pulled", "pulled image", warning=False))
    code, out, _ = launcher("status", "mnist", "-v")
    assert code == 0
    for words in ("1,200 of 23,671", "checkpoint of step 1,000", "worker-1", "node-a", "Pulled"):
        assert words in out
    data = json.loads(launcher("status", "mnist", "-o", "json")[1])
    assert (data["status"], data["progress"]["step"]) == ("Running", 1200)
    assert data["why"]["situation"] == "training"


def test_why_finds_the_first_crash_over_all_replicas(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.failed_tfjob(), run_dir)
    server.put(shapes.pod(0, phase="Failed", state=shapes.ended(144, at=10)))
    server.put(shapes.pod(1, phase="Failed", state=shapes.ended(1, at=20)))
    server.log("mnist-worker-0", "error: lost worker 1")
    server.log("mnist-worker-1", *TRACEBACK.splitlines())
    code, out, _ = launcher("why", "mnist")
    assert code == 0
    assert "worker-1 of mnist ended with exit code 1" in out.splitlines()[0]
    assert "job/train.py:88" in out


def test_why_tells_who_holds_the_gpus(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.tfjob(shapes.CREATED), run_dir)
    server.put(shapes.node("node-a"))
    server.put(shapes.pending(0, NO_GPU))
    server.put(shapes.pod(0, job="big-run", state=shapes.running()))
    _, out, _ = launcher("why", "mnist")
    assert "team/big-run 8 in 1 pod" in out


def test_why_says_that_the_holders_of_gpus_are_hidden(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.tfjob(shapes.CREATED), run_dir)
    server.put(shapes.pending(0, NO_GPU))
    server.put(shapes.node("node-a", gpus=8))
    server.deny_elsewhere("list", "pods")
    _, out, _ = launcher("why", "mnist")
    assert "less what pods of other namespaces hold, which you may not see" in out
    assert "GPUs are held by whoever else: you may not see pods of other namespaces" in out


def test_why_goes_on_without_the_right_to_see_nodes(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.tfjob(shapes.CREATED), run_dir)
    server.put(shapes.pending(0, NO_GPU))
    server.deny("list", "nodes")
    code, out, err = launcher("why", "mnist")
    assert code == 0
    assert "each needs 8 nvidia.com/gpu" in out
    assert "not known: the nodes: user 'jane' may not list nodes" in err


def test_the_place_in_the_queue_is_told(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.jobset(queue="research", suspend=True), run_dir)
    server.put(shapes.local_queue())
    held = shapes.condition("QuotaReserved", status="False", reason="WaitingForQuota")
    mine = server.put(shapes.workload(held))
    server.views[
        "/apis/visibility.kueue.x-k8s.io/v1beta2/namespaces/team/localqueues/research/pendingworkloads"
    ] = {"items": [{"metadata": {"name": "x"}}, {"metadata": {"name": mine["metadata"]["name"]}}]}
    assert "at position 2 of 2 (1 job before it)" in launcher("why", "mnist")[1]


def test_logs_carry_their_replica_and_no_escapes(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_running(server, run_dir)
    server.log("mnist-worker-0", "step 1 \x1b[31mred")
    server.log("mnist-worker-1", "step 2")
    _, out, _ = launcher("logs", "mnist")
    assert out.splitlines() == [
        r"worker-0 | step 1 \x1b[31mred", "worker-1 | step 2",
    ]  # fmt: skip


def test_logs_of_a_job_without_pods_come_from_the_run_directory(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.tfjob(shapes.condition("Succeeded")), run_dir)
    path = Path(layout.attempt_log(str(run_dir), 0, "worker-0"))
    path.parent.mkdir(parents=True)
    path.write_text("kept\n", encoding="utf-8")
    code, out, err = launcher("logs", "mnist")
    assert (code, out) == (0, "worker-0 | kept\n")
    assert str(run_dir) in err


def test_a_run_directory_tells_its_status_and_logs_without_a_job(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    """Of a run on this machine, or of a job that was removed: by its path, or below run_root."""
    content = {**shapes.progress(state="done"), "time": shapes.NOW.timestamp()}
    Path(layout.progress_file(str(run_dir))).write_text(json.dumps(content), encoding="utf-8")
    log = Path(layout.attempts_dir(str(run_dir)), "1", "worker-0.log")
    log.parent.mkdir(parents=True)
    log.write_text("step 1\n", encoding="utf-8")
    code, out, _ = launcher("status", str(run_dir))
    assert code == 0
    assert "1,200 of 23,671" in out
    assert "done, " in out
    assert json.loads(launcher("status", str(run_dir), "-o", "json")[1])["progress"]["step"] == 1200
    assert launcher("logs", str(run_dir))[:2] == (0, "worker-0 | step 1\n")
    in_root = ("logs", run_dir.name, "--set", f"run_root={run_dir.parent}")
    assert launcher(*in_root)[:2] == (0, "worker-0 | step 1\n")
    assert launcher("logs", str(run_dir), "--follow")[0] == 2


@pytest.mark.parametrize(("code", "expected"), [(65, 65), (137, 137), (0, 0)])
def test_wait_ends_with_the_code_of_the_cause(
    launcher: Launcher, server: FakeApiServer, run_dir: Path, code: int, expected: int
) -> None:
    over = shapes.tfjob(shapes.condition("Succeeded")) if code == 0 else shapes.failed_tfjob()
    put_job(server, over, run_dir)
    phase = "Failed" if code else "Succeeded"
    server.put(shapes.pod(0, phase=phase, state=shapes.ended(code)))
    assert launcher("wait", "mnist")[0] == expected


def test_wait_ends_with_the_code_of_the_sentence(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    """What is told and what a script sees are about the same worker."""
    put_job(server, shapes.failed_tfjob(), run_dir)
    text = (
        "Error pod mnist-worker-1 container tensorflow exitCode: 66 terminated message: "
        "error: gs://bucket/food101 does not exist"
    )
    server.put(shapes.event("mnist", "TFJobFailed", text, kind="TFJob"))
    code, _, err = launcher("wait", "mnist")
    assert code == 66
    assert "worker-1 of mnist ended with exit code 66" in err


def test_a_deadline_is_no_preemption(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    """Workers that are stopped by it save and end with 143, which says that a restart helps."""
    late = "Job was active longer than specified deadline"
    put_job(server, shapes.failed_tfjob(late), run_dir)
    server.put(shapes.pod(0, phase="Failed", state=shapes.ended(143)))
    code, _, err = launcher("wait", "mnist")
    assert code == 1
    assert "reached its longest duration" in err


def test_wait_gives_up_in_time(launcher: Launcher, server: FakeApiServer, run_dir: Path) -> None:
    put_running(server, run_dir)
    code, _, err = launcher("wait", "mnist", "--timeout", "1s")
    assert code == 5
    assert "mnist is not over yet" in err


def test_suspend_and_unsuspend(launcher: Launcher, server: FakeApiServer, run_dir: Path) -> None:
    put_running(server, run_dir)

    def leave() -> None:
        for index in (0, 1):
            server.remove(shapes.pod(index))

    threading.Timer(0.5, leave).start()
    assert launcher("suspend", "mnist")[0] == 0
    job = server.object(resources.TFJOBS, "mnist")
    assert job is not None
    assert job["spec"]["runPolicy"]["suspend"] is True
    assert launcher("unsuspend", "mnist")[0] == 0
    job = server.object(resources.TFJOBS, "mnist")
    assert job is not None
    assert job["spec"]["runPolicy"]["suspend"] is False


def test_a_queued_job_is_suspended_by_its_workload(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    """Kueue would start again a job that was suspended itself."""
    put_job(server, shapes.jobset(queue="research"), run_dir)
    server.put(shapes.local_queue())
    name = server.put(shapes.workload())["metadata"]["name"]
    launcher("suspend", "mnist", "--no-wait")
    workload = server.object(resources.WORKLOADS, name)
    assert workload is not None
    assert workload["spec"]["active"] is False
    job = server.object(resources.JOBSETS, "mnist")
    assert job is not None
    assert job["spec"]["suspend"] is False


def test_cancel_keeps_the_job_and_delete_removes_it(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_job(server, shapes.tfjob(shapes.CREATED), run_dir)
    assert "resume mnist" in launcher("cancel", "mnist")[1]
    assert "Cancelled" in launcher("list")[1]
    assert launcher("wait", "mnist")[0] == 1
    assert launcher("cancel", "mnist")[1].strip().endswith("cancelled already")
    code, _, err = launcher("delete", "mnist")
    assert code == 0
    assert str(run_dir) in err
    assert server.object(resources.TFJOBS, "mnist") is None
    assert launcher("delete", "mnist")[0] == 3
    assert launcher("delete", "mnist", "--ignore-not-found")[0] == 0


def test_top_shows_use_and_limit(launcher: Launcher, server: FakeApiServer, run_dir: Path) -> None:
    put_running(server, run_dir)
    server.put(
        {
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": {
                "name": "mnist-worker-0", "namespace": "team",
                "labels": {"training.kubeflow.org/job-name": "mnist"},
            },
            "containers": [{"name": "tensorflow", "usage": {"cpu": "6", "memory": "32Gi"}}],
        }
    )  # fmt: skip
    _, out, _ = launcher("top", "mnist")
    assert "6.0 of 12 cores (50%)" in out
    assert "32.0 of 64 GiB (50%)" in out


def test_top_shows_limits_without_a_metrics_server(
    launcher: Launcher, server: FakeApiServer, run_dir: Path
) -> None:
    put_running(server, run_dir)
    server.absent = ("metrics.k8s.io",)
    code, out, err = launcher("top", "mnist")
    assert code == 0
    assert "- of 12 cores" in out
    assert "no metrics server" in err


def test_setup_applies_the_namespace_once(launcher: Launcher, server: FakeApiServer) -> None:
    for _ in range(2):
        code, out, _ = launcher("setup", "-n", "vision", "--group", "g", "--gpu-quota", "16")
        assert code == 0
    assert "namespace/vision applied" in out
    quota = server.object(resources.RESOURCE_QUOTAS, "food101", "vision")
    assert quota is not None
    assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == "16"
    binding = server.object(resources.ROLE_BINDINGS, "food101-launcher", "vision")
    assert binding is not None
    assert binding["subjects"][0]["name"] == "g"
    account = server.object(resources.SERVICE_ACCOUNTS, "food101-job", "vision")
    assert account is not None
    assert account["metadata"]["annotations"] == {}


def test_setup_lists_what_pods_may_name(launcher: Launcher, server: FakeApiServer) -> None:
    """Held by the API server itself: accounts, images and secrets, for this namespace."""
    code, _, err = launcher(
        *("setup", "-n", "vision", "--job-service-account", "trainer"),
        *("--registry", "registry.example/team/", "--secret", "hub", "--secret", "wandb"),
    )
    assert code == 0
    assert "may use images of registry.example/team/ and the secrets hub, wandb" in err
    parameters = server.object(resources.CONFIG_MAPS, "food101-jobs", "vision")
    assert parameters is not None
    assert parameters["data"] == {
        "serviceAccounts": "trainer,default",
        "registries": "registry.example/team/",
        "secrets": "hub,wandb",
    }
    binding = server.object(resources.ADMISSION_BINDINGS, "food101-jobs-vision", "")
    assert binding is not None
    selector = binding["spec"]["matchResources"]["namespaceSelector"]
    assert selector["matchLabels"] == {"kubernetes.io/metadata.name": "vision"}


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        ((), False),
        (("--gcp-service-account", "j@p.iam.gserviceaccount.com"), True),
        (("--metadata-server",), True),
        (("--gcp-service-account", "j@p.iam.gserviceaccount.com", "--no-metadata-server"), False),
    ],
)
def test_the_metadata_address_is_closed_unless_it_is_gkes(
    flags: tuple[str, ...], allowed: bool, launcher: Launcher
) -> None:
    """On other clouds it gives pods the credentials of their node."""
    _, out, _ = launcher("setup", "-n", "vision", "--dry-run", "client", *flags)
    opened = [
        block["cidr"]
        for item in yaml.safe_load_all(out)
        if item["kind"] == "NetworkPolicy"
        for rule in item["spec"].get("egress") or []
        for peer in rule["to"]
        if (block := peer.get("ipBlock"))
    ]
    assert ("169.254.169.254/32" in opened) == allowed


def test_setup_on_a_cluster_without_admission_policies(
    launcher: Launcher, server: FakeApiServer
) -> None:
    server.absent = ("admissionregistration.k8s.io",)
    code, out, _ = launcher("setup", "-n", "vision")
    assert code == 0
    assert "food101-jobs left out: admission policies need Kubernetes 1.30 or newer" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--registry", "a,b"), "'a,b' holds a comma"),
        (("--gpu-quota", "-1"), "must not be negative"),
        (("--only", "everything"), "there is no part 'everything'"),
    ],
)
def test_setup_refuses_what_cannot_be(
    flags: tuple[str, ...], message: str, launcher: Launcher
) -> None:
    code, _, err = launcher("setup", "-n", "vision", *flags)
    assert code == 2
    assert message in err


def test_setup_tells_what_it_may_not_do_and_does_the_rest(
    launcher: Launcher, server: FakeApiServer
) -> None:
    server.deny("patch", "clusterroles")
    code, out, err = launcher("setup", "-n", "vision", "--user", "jane")
    assert code == 4
    assert "clusterrole/food101-launcher-view denied" in out
    assert "limitrange/food101 applied" in out
    assert "may not patch clusterroles" in err
