"""Commands that talk to a cluster, through the real client and an API server's recorded shapes."""

import dataclasses
import json
import threading
from pathlib import Path

import pytest
import yaml

from job import storage
from job.contract import flags, layout
from job.contract.configs import TrainConfig
from launcher.api import resources
from launcher.cli import main
from launcher.manifests import labels, skeleton
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer

DATASET = {
    "format": 1,
    "name": "tiny",
    "classes": ["apple_pie", "waffles"],
    "splits": {"train": {"examples": 640, "shards": [{"bytes": 5_000_000_000}]}},
}


@pytest.fixture
def job(bucket: str) -> list[str]:
    """Flags of a job on a dataset that is really in a bucket."""
    storage.write_bytes(f"{bucket}/d/dataset.json", json.dumps(DATASET).encode())
    image = "--image=registry.example/a/b:1"
    return [image, f"--data={bucket}/d", f"--run-root={bucket}/r", "--name=nightly"]


@pytest.fixture(autouse=True)
def user(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person with a kubeconfig, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("KUBECONFIG", server.kubeconfig(tmp_path))


def rendered(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, object]:
    assert main(["render", *argv]) == 0
    manifest = next(iter(yaml.safe_load_all(capsys.readouterr().out)))
    assert isinstance(manifest, dict)
    return manifest


def test_diff_against_a_running_job(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same job has no difference (0), another one names each field (1)."""
    server.put(rendered(capsys, *job, "--gpus=8"))
    assert main(["diff", *job, "--gpus=8"]) == 0
    assert "no difference" in capsys.readouterr().err
    assert main(["diff", "nightly", *job[:-1], "--gpus=16", "--", "--epochs=3"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "tfReplicaSpecs.Worker.replicas: 1 -> 2" in lines
    assert any(line.endswith("with --epochs=3.0") for line in lines)
    assert main(["diff", *job, "--gpus=8", "--backend=jobset"]) == 1
    assert capsys.readouterr().out == "kind: TFJob -> JobSet\n"


def test_diff_against_a_run_whose_job_is_gone(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its run directory still says how it was configured; without one the job is not found."""
    assert main(["diff", *job]) == 3
    assert "there is no job 'nightly' in namespace 'team'" in capsys.readouterr().err
    root = job[2].partition("=")[2]
    config = flags.parse(TrainConfig, [job[1], f"--run={root}/nightly"])
    path = layout.config_file(config.run)
    storage.write_bytes(path, json.dumps(dataclasses.asdict(config)).encode())
    assert main(["diff", *job]) == 0
    assert main(["diff", *job, "--", "--epochs=3"]) == 1
    assert capsys.readouterr().out == "epochs: 20.0 -> 3.0\n"


def test_version_asks_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """Both versions, as text and as JSON."""
    assert main(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["kubernetes"] == "v1.36.3"


def test_tensorboard_in_the_cluster_belongs_to_its_job(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Deployment is owned by the job; one that never becomes ready is named after --timeout."""
    owner = server.put(rendered(capsys, *job))
    argv = ["tensorboard", "nightly", "--in-cluster", "--tensorboard-image=a/tb:1", "--timeout=1s"]
    assert main(argv) == 5
    assert "is not ready after" in capsys.readouterr().err
    made = server.object(resources.DEPLOYMENTS, "nightly-tensorboard")
    assert made is not None
    assert made["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][0] == f"--logdir={job[2].partition('=')[2]}/nightly/logs"


def test_init_offers_what_the_cluster_has(server: FakeApiServer, tmp_path: Path) -> None:
    """Models, queues, service accounts and kinds of jobs come from the cluster."""
    from launcher.api import connection
    from launcher.settings import questions

    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": labels}}
    server.put(node)
    server.put(
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "LocalQueue",
            "metadata": {"name": "team-a", "namespace": "team"},
        }
    )
    server.deny("list", "serviceaccounts")
    there = connection.connect(kubeconfig=server.kubeconfig(tmp_path), namespace="team")
    found = questions.look(there)
    assert found["accelerator"] == ["nvidia-l4"]
    assert found["queue"] == ["team-a"]
    assert found["backend"] == ["tfjob", "jobset"]
    assert "service_account" not in found


def test_logs_of_pods_that_are_gone_come_from_the_run_directory(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, or those that were cleaned up before the others, or of an earlier start."""
    run = f"{job[2].partition('=')[2]}/mnist"
    for attempt, worker, text in ((1, 0, "old 0"), (1, 1, "old 1"), (2, 0, "new 0"), (2, 1, "new")):
        path = layout.attempt_log(run, attempt, f"worker-{worker}")
        storage.write_bytes(path, f"{text}\n".encode())
    ended = shapes.tfjob(shapes.CREATED, shapes.condition("Succeeded"), **{labels.RUN: run})
    server.put(ended)

    assert main(["logs", "mnist"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "worker-0 | new 0\nworker-1 | new\n"
    assert printed.err == f"from {run}:\n"
    assert main(["logs", "mnist", "--previous", "--replica=1"]) == 0
    assert capsys.readouterr().out == "worker-1 | old 1\n"
    assert main(["logs", "mnist", "--attempt=7"]) == 3
    assert "no log of attempt 7 is kept" in capsys.readouterr().err

    server.put(shapes.tfjob(shapes.CREATED, suspend=True, **{labels.RUN: run}))
    assert main(["logs", "mnist", "--replica=1"]) == 0
    assert capsys.readouterr().out == "worker-1 | new\n"
    server.put(ended)

    server.put(shapes.pod(0, phase="Succeeded", state=shapes.ended(0)))
    server.log("mnist-worker-0", "from the pod")
    assert main(["logs", "mnist"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "worker-0 | from the pod\nworker-1 | new\n"
    assert printed.err == f"from {run}, since their pods are gone:\n"
    assert main(["logs", "mnist", "--replica=worker-0"]) == 0
    assert capsys.readouterr().out == "worker-0 | from the pod\n"


def submit(job: list[str], *flags: str) -> int:
    return main(["submit", *job, "--skip-checks=all", *flags])


def test_submit_says_what_it_sends_and_sends_what_render_prints(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan, the object and the next commands on stdout; the object as rendered."""
    manifest = rendered(capsys, *job, "--gpus=16")
    assert submit(job, "--gpus=16") == 0
    out = capsys.readouterr().out
    assert out.startswith("nightly in namespace team of context fake\n")
    for word in (
        "640 training images, from dataset.json",
        "2 workers x 8 GPUs",
        "exchange",
        "memory",
        "steps",
        "assuming",
    ):
        assert word in out
    assert "tfjob.kubeflow.org/nightly created" in out
    assert "launcher logs -f nightly" in out
    made = server.object(resources.TFJOBS, "nightly")
    assert made is not None
    assert made["spec"] != manifest["spec"], "each submission has a name of its own"
    for item in (made, manifest):
        (worker,) = item["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]  # type: ignore[index]
        del skeleton.by_name(worker["env"], "SUBMISSION_ID")["value"]
    assert made["spec"] == manifest["spec"]
    assert made["metadata"]["labels"] == manifest["metadata"]["labels"]  # type: ignore[index]


def test_whoever_waits_may_give_up(
    job: list[str], bucket: str, server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--wait --timeout` ends with 5, for training as for tasks, and the job goes on."""
    wait = ("--wait", "--timeout=1s")
    assert submit(job, "--gpus=8", *wait) == 5
    assert "nightly is not over yet" in capsys.readouterr().err
    source = ("--source", f"{bucket}/images", "--output", f"{bucket}/out", "--name=records")
    assert main(["make-tfrecords", *source, job[0], "--skip-checks=all", *wait]) == 5
    assert server.object(resources.TFJOBS, "nightly") is not None
    assert server.object(resources.JOBS, "records") is not None


def test_submitting_twice_is_safe(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same job is said to be there; another one of that name is refused with the difference."""
    assert submit(job, "--gpus=8") == 0
    capsys.readouterr()
    assert submit(job, "--gpus=8") == 0
    assert "already there with the same spec; nothing was sent" in capsys.readouterr().out
    assert submit(job, "--gpus=16") == 1
    assert "replicas: 1 -> 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("condition", "code", "told"),
    [
        ("Succeeded", 0, "is already there and has succeeded; nothing was sent"),
        ("Failed", 1, "is already there and has failed (launcher why nightly); nothing was sent; "
                      "go on from its checkpoint: launcher resume nightly; to start it again: "
                      "launcher delete nightly first"),
    ],
)  # fmt: skip
def test_submitting_again_says_how_the_job_ended(
    job: list[str],
    server: FakeApiServer,
    capsys: pytest.CaptureFixture[str],
    condition: str,
    code: int,
    told: str,
) -> None:
    """Nobody believes that a job is on its way that has failed an hour ago."""
    assert submit(job, "--gpus=8") == 0
    made = server.object(resources.TFJOBS, "nightly")
    assert made is not None
    server.put({**made, "status": {"conditions": [shapes.condition(condition)]}})
    capsys.readouterr()
    assert submit(job, "--gpus=8") == code
    printed = capsys.readouterr()
    assert told in printed.out + printed.err


def test_a_job_that_is_being_deleted_is_waited_for(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """`delete` and `submit` again is one breath; the object goes when its workers have saved."""
    assert submit(job, "--gpus=8") == 0
    made = server.object(resources.TFJOBS, "nightly")
    assert made is not None
    made["metadata"] = {**made["metadata"], "deletionTimestamp": shapes.ago(1)}
    server.put(made)
    threading.Timer(1.0, server.remove, [made]).start()
    capsys.readouterr()
    assert submit(job, "--gpus=8") == 0
    assert "tfjob.kubeflow.org/nightly created" in capsys.readouterr().out


def test_a_servers_dry_run_keeps_nothing(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server checks it, and nothing is there afterwards."""
    assert submit(job, "--dry-run=server", "-o", "name") == 0
    assert capsys.readouterr().out == "tfjob.kubeflow.org/nightly\n"
    assert server.object(resources.TFJOBS, "nightly") is None


def test_auto_takes_the_kind_that_is_installed(
    job: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the training-operator a job becomes a JobSet, and the user is told."""
    with FakeApiServer(absent=("kubeflow.org",)) as other:
        monkeypatch.setenv("KUBECONFIG", other.kubeconfig(tmp_path))
        assert submit(job, "-o", "name") == 0
    printed = capsys.readouterr()
    assert printed.out == "jobset.jobset.x-k8s.io/nightly\n"
    assert "--backend auto: jobset, since the cluster has no TFJobs" in printed.err


def test_tasks_become_jobs(server: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Records, evaluation and export are Jobs with the flags of their modules."""
    common = ["--image=a/b:1", "--skip-checks=all", "--name=records"]
    argv = ["make-tfrecords", "--source=gs://bucket/images", "--output=gs://bucket/d", *common]
    assert main([*argv, "--", "--shorter_side=0"]) == 0
    assert "job.batch/records created" in capsys.readouterr().out
    made = server.object(resources.JOBS, "records")
    assert made is not None
    assert made["spec"]["completions"] == 4
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "job.make_tfrecords"]
    assert "--shorter_side=0" in container["args"]
    assert "--task_index=$(JOB_COMPLETION_INDEX)" in container["args"]


@pytest.mark.parametrize(
    ("verb", "plural", "code"), [("create", "tfjobs", 4), ("get", "tfjobs", 4)]
)
def test_denied_is_one_line(
    job: list[str],
    verb: str,
    plural: str,
    code: int,
    server: FakeApiServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """RBAC's answer becomes exit code 4."""
    server.deny(verb, plural)
    assert submit(job, "-o", "name") == code
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in printed.err


def test_runs_tell_the_state_of_their_jobs(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str], bucket: str
) -> None:
    """A run that waits for its first pod has but its job; without a cluster none is told."""
    server.put(rendered(capsys, *job, "--gpus=8"))
    config = json.dumps({"data": f"{bucket}/d"}).encode()
    for name in ("nightly", "other"):
        storage.write_bytes(layout.config_file(f"{bucket}/r/{name}"), config)
    assert main(["runs", f"{bucket}/r", "-o", "json", "--sort-by=name"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["name"], run["state"], run["job"]) for run in found] == [
        ("nightly", "Pending", "nightly"), ("other", "New", ""),
    ]  # fmt: skip
    server.fail("GET", "/apis|/api", 503, times=99)
    assert main(["runs", f"{bucket}/r", "-o", "name"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert "jobs are not shown" in printed.err


def test_a_limit_that_is_no_time_is_told_before_anything_is_sent(
    job: list[str], server: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody finds a job that runs behind a usage error."""
    assert main(["submit", *job, "--wait", "--timeout=soon", "--skip-checks=all"]) == 2
    assert "--timeout must be a time such as 30m, 12h or 7d, not 'soon'" in capsys.readouterr().err
    assert server.object(resources.TFJOBS, "nightly") is None
