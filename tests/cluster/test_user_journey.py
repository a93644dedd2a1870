"""The way of a user, as the README tells it: from photographs in a bucket to predictions.

Everything is typed as `launcher ...`; what it says on the way is held against the cluster.
"""

import contextlib
import io
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from job import storage
from job.contract import layout
from job.run import checkpoints
from tests.cluster import controllers, material
from tests.cluster.api import Cluster
from tests.cluster.command import Launcher
from tests.cluster.waiting import await_condition
from tests.job.browser import screenshot

STEPS = 60
# The sizes in a profile are those of training.
SMALL = (
    "--cpus", "250m", "--memory", "1500Mi", "--cache-size", "64Mi", "--scratch-size", "256Mi",
)  # fmt: skip
EVERYTHING = "pods,services,jobs,deployments,configmaps,tfjobs,jobsets,persistentvolumeclaims"


@dataclass(frozen=True)
class Bucket:
    """A user's bucket, and what is in it before any job runs."""

    path: str
    images: str
    number_of_images: int
    checkpoint: str

    @property
    def data(self) -> str:
        return f"{self.path}/data"

    def run(self, name: str) -> str:
        return f"{self.path}/runs/{name}"


@pytest.fixture(scope="module")
def mine(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket with photographs and slim's checkpoint."""
    from job import storage as job_storage
    from tests.storage_fixtures import make_bucket

    folder = tmp_path_factory.mktemp("mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage)
        job_storage.reconnect(job_storage.Patience())
        path = make_bucket(storage)
        count = material.write_images(folder / "images")
        material.upload(folder / "images", f"{path}/images")
        checkpoint = material.upload_slim_checkpoint(folder / "slim", path)
        yield Bucket(path, f"{path}/images", count, checkpoint)
    job_storage.reconnect(job_storage.Patience())


@pytest.fixture(scope="module")
def team(
    cluster: Cluster, make_launcher: Callable[..., Launcher], job_image: str
) -> Iterator[Launcher]:
    """The launcher in a namespace that `launcher setup` has made."""
    name = f"team-{uuid.uuid4().hex[:5]}"
    launcher = make_launcher(name, image=job_image, service_account="food101-job")
    launcher("setup", "--user", "somebody@example.com")
    yield launcher
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def records(team: Launcher, mine: Bucket, cluster: Cluster) -> str:
    """The dataset, made in the cluster by an Indexed Job of two tasks."""
    sent = team(
        "make-tfrecords", "--source", mine.images, "--output", mine.data, "--tasks", "2",
        "--name", "records", *SMALL, "--wait", timeout_s=400,
    )  # fmt: skip
    assert "records" in sent.text
    job = cluster.get("job", "records", "-n", team.namespace)
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["status"]["succeeded"] == 2
    dataset = json.loads(storage.read_bytes(layout.dataset_file(mine.data)))
    assert len(dataset["classes"]) == material.CLASSES
    examples = sum(split["examples"] for split in dataset["splits"].values())
    assert examples + dataset["rejects"]["images"] == mine.number_of_images
    team("delete", "records", "--wait")
    return mine.data


def submit(backend: str, name: str, mine: Bucket) -> list[str]:
    """Give what is typed to fine-tune on two workers without GPUs."""
    return [
        *("submit", "--backend", backend, "--gpus", "0", "--workers", "2", "--name", name),
        *("--data", mine.data, "--run", mine.run(name), "--"),
        *(f"--init_checkpoint={mine.checkpoint}", "--head=gap", f"--steps={STEPS}"),
        *(f"--width_multiplier={material.WIDTH_MULTIPLIER}", "--global_batch_size=16"),
        *(f"--image_size_px={material.image_size_px()}", "--learning_rate=0.005"),
        *("--save_every_steps=20", "--eval_every_steps=30", "--precision=float32"),
        *("--log_every_s=1", "--log_sync_s=2", "--peer_timeout_s=60", "--network_gbps=10"),
    ]


@pytest.mark.parametrize("backend", ["tfjob", "jobset"])
def test_training_is_told_truly_from_beginning_to_end(
    backend: str, team: Launcher, cluster: Cluster, mine: Bucket, records: str
) -> None:
    """Two pods find each other and train from slim's weights; delete leaves nothing behind."""
    name = f"{backend}-first"
    run = mine.run(name)
    # On a machine that has too much to do, probes of the controllers time out now and then.
    for controller in (controllers.OPERATOR, controllers.JOBSETS):
        controllers.await_available(cluster, controller.namespace, controller.deployment)
    team("check", "--gpus", "0", "--workers", "2", "--data", records, "--run", run)
    said = team(*submit(backend, name, mine))
    assert "2 workers" in said.text
    logs = team.start("logs", name, "-f")
    running = await_state(team, name, lambda state: state["status"] == "Running")
    assert [one["status"] for one in running["replicas"]] == ["Running", "Running"]
    assert listed(team, name)["status"] in ("Running", "Succeeded")
    see_workers(backend, team, cluster, name)

    trained = await_state(team, name, lambda s: s["progress"] and s["progress"]["step"] > 0)
    assert 0 < trained["progress"]["step"] <= STEPS
    assert trained["run"] == run
    team("wait", name, "--timeout", "6m", timeout_s=400)

    ended = team("status", name, "-o", "json").data
    assert ended["status"] == listed(team, name)["status"] == "Succeeded"
    assert ended["progress"]["step"] == ended["checkpoint_step"] == STEPS
    assert all(one["exit_code"] == 0 for one in ended["replicas"])
    team("status", name)
    team("why", name)
    logged = logs.wait(60).text
    assert "on 2 replicas" in logged
    assert "vgg_19" in logged
    see_run(run)

    cluster.kubectl("delete", "pods", "-n", team.namespace, "-l", f"food101/job={name}")
    see_kept_logs(team, name, logged)
    team("delete", name, "--wait")
    await_condition(
        f"nothing of {name} is left",
        lambda: not left_behind(cluster, team.namespace, name),
        timeout_s=60,
        seen=lambda: left_behind(cluster, team.namespace, name),
    )
    assert team("status", name, code=3).out == ""
    see_kept_logs(team, run, logged)


def see_workers(backend: str, team: Launcher, cluster: Cluster, name: str) -> None:
    """The operator tells TFJob's pods of each other; JobSet gives them names to find out."""
    pods = cluster.list("pods", "-n", team.namespace, "-l", f"food101/job={name}")
    environments = [
        {one["name"]: one.get("value", "") for one in pod["spec"]["containers"][0]["env"]}
        for pod in pods
    ]
    assert len(pods) == 2
    if backend == "jobset":
        assert all("TF_CONFIG" not in env and env["NUM_WORKERS"] == "2" for env in environments)
        return
    configs = [json.loads(env["TF_CONFIG"]) for env in environments]
    assert sorted(config["task"]["index"] for config in configs) == [0, 1]
    for config in configs:
        hosts = config["cluster"]["worker"]
        assert hosts == [f"{name}-worker-{i}.{team.namespace}.svc:2222" for i in (0, 1)]


def see_run(run: str) -> None:
    """Settings, checkpoints and curves have arrived in the bucket."""
    found = material.names(run)
    assert layout.config_file("").lstrip("/") in found
    assert max(checkpoints.committed_steps(run)) == STEPS
    events = [name for name in found if "tfevents" in name]
    assert {name.split("/")[1] for name in events} >= {"train", "test"}


def see_kept_logs(team: Launcher, name_or_run: str, followed: str) -> None:
    """Without pods, all that both workers wrote comes from the run directory."""
    kept = team("logs", name_or_run).out
    written = [line for line in followed.splitlines() if line.startswith("worker-")]
    assert {line.split()[0] for line in written} == {"worker-0", "worker-1"}
    assert sorted(kept.splitlines()) == sorted(written)


def left_behind(cluster: Cluster, namespace: str, name: str) -> list[str]:
    items = cluster.list(EVERYTHING, "-n", namespace)
    return [
        f"{item['kind']}/{item['metadata']['name']}"
        for item in items
        if item["metadata"]["name"].startswith(name)
    ]


def listed(team: Launcher, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = team("list", "-o", "json").data
    return next(row for row in rows if row["name"] == name)


def await_state(
    team: Launcher, name: str, wanted: Callable[[dict[str, Any]], Any], timeout_s: float = 240
) -> dict[str, Any]:
    """Ask for the status until it is the wanted one; it must never be a failure."""
    seen: list[Any] = []

    def look() -> dict[str, Any] | None:
        with contextlib.redirect_stdout(io.StringIO()):  # A transcript is to be read.
            state: dict[str, Any] = team("status", name, "-o", "json").data
        seen[:] = [state]
        if state["status"] in ("Failed", "Restarting"):
            pytest.fail(str(state))
        return state if wanted(state) else None

    found = await_condition(
        f"{name} is as wanted", look, timeout_s=timeout_s, every_s=1, seen=lambda: seen
    )
    assert found
    team("status", name)
    return found


@pytest.fixture(scope="module")
def trained(team: Launcher, mine: Bucket, records: str) -> str:
    """A run that has ended: that of a test before, or one made now."""
    run = mine.run("jobset-first")
    if STEPS not in checkpoints.committed_steps(run):
        team(*submit("jobset", "jobset-first", mine))
        team("wait", "jobset-first", "--timeout", "6m", timeout_s=400)
        team("delete", "jobset-first", "--wait")
    return run


def test_evaluation_export_and_prediction_follow(
    team: Launcher, cluster: Cluster, mine: Bucket, trained: str
) -> None:
    """Each is one command and one Job; what it writes is read here as a user reads it."""
    wait = (*SMALL, "--wait")
    team(
        "evaluate", trained, "--data", mine.data, "--gpus", "0", "--name", "score", *wait,
        timeout_s=400,
    )  # fmt: skip
    metrics = json.loads(storage.read_bytes(layout.metrics_file(layout.report_dir(trained))))
    assert 0 <= metrics["top1"] <= 1
    assert storage.exists(layout.report_file(layout.report_dir(trained)))

    model = f"{mine.path}/model"
    team("export", trained, "--output", model, "--name", "export", *wait, timeout_s=400)
    exported = json.loads(storage.read_bytes(layout.model_file(model)))
    assert len(exported["classes"]) == material.CLASSES

    predictions = f"{mine.path}/predictions"
    said = team(
        "predict", "--model", model, "--images", mine.images, "--output", predictions,
        "--tasks", "2", "--name", "guess", *wait, timeout_s=400,
    )  # fmt: skip
    job = cluster.get("job", "guess", "-n", team.namespace)
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["status"]["succeeded"] == 2
    summary = json.loads(storage.read_bytes(layout.summary_file(predictions)))
    parts = [name for name in material.names(predictions) if re.match(r"part-\d+-of-\d+", name)]
    rows = [
        json.loads(line)
        for name in parts
        for line in storage.read_bytes(f"{predictions}/{name}").splitlines()
    ]
    assert len(rows) == len({row["image"] for row in rows}) == mine.number_of_images
    assert f"{mine.number_of_images:,}" in said.text
    print(json.dumps(summary)[:600])
    for name in ("score", "export", "guess"):
        team("delete", name, "--wait")
        assert left_behind(cluster, team.namespace, name) == []


def test_tensorboard_in_the_cluster_streams_from_the_bucket(
    make_launcher: Callable[..., Launcher],
    tensorboard_image: str,
    cluster: Cluster,
    team: Launcher,
    trained: str,
    tmp_path: Path,
) -> None:
    """What the page asks for is the curve; what a browser shows of it is not empty."""
    launcher = make_launcher(team.namespace, tensorboard_image=tensorboard_image)
    shown = launcher.start("tensorboard", trained, "--in-cluster", "--port", "0")
    try:
        address = await_condition(
            "the address is told",
            lambda: re.search(r"http://localhost:\d+", shown.text()),
            timeout_s=180,
            seen=lambda: shown.text() + cluster.kubectl("get", "pods", "-n", team.namespace),
        )
        assert address
        url = address[0]

        def curve() -> list[Any]:
            answer = requests.get(
                f"{url}/data/plugin/scalars/scalars",
                {"run": "logs/train", "tag": "loss"},
                timeout=30,
            )
            points: list[Any] = answer.json() if answer.ok else []
            return points

        points = await_condition(
            "the loss is there",
            curve,
            timeout_s=90,
            every_s=1,
            seen=lambda: requests.get(f"{url}/data/plugin/scalars/tags", timeout=30).text,
        )
        assert points[-1][1] == STEPS
        picture = tmp_path / "tensorboard.png"
        screenshot(f"{url}/?darkMode=false#timeseries", str(tmp_path / "profile"), str(picture))
        print("screenshot:", picture)
        with Image.open(picture) as seen:
            colours = seen.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colours is not None
        assert len(colours) > 100
    finally:
        ended = shown.interrupt()
    assert "Traceback" not in ended.text
    await_condition(
        "TensorBoard is gone",
        lambda: (
            not cluster.list(
                "deployments,pods",
                "-n",
                team.namespace,
                "-l",
                "app.kubernetes.io/component=tensorboard",
            )
        ),
        timeout_s=60,
    )
