"""A prediction on a cluster: one of its tasks fails for good, and what it left is done alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from tests.cluster.command import Launcher
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.waiting import await_condition
from tests.job.exported_model import make_model
from tests.job.pictures import jpeg

SMALL = ("--cpus", "250m", "--memory", "1500Mi")
TASKS = 3
GOOD, BAD = 300, 3


@pytest.fixture
def launcher(make_launcher: Callable[..., Launcher], namespace: str, job_image: str) -> Launcher:
    """Without retries, so that a task fails for good the first time."""
    return make_launcher(namespace, image=job_image, max_restarts=0)


def upload(bucket: str, folder: Path) -> list[str]:
    """Put a model and images into a bucket; give the command's flags."""
    model = make_model(folder)
    for path in Path(model).rglob("*"):
        if path.is_file():
            storage.upload(str(path), f"{bucket}/model/{path.relative_to(model)}")
    for number in range(GOOD):
        storage.write_bytes(f"{bucket}/images/{number:04d}.jpg", jpeg(number % 20))
    for number in range(BAD):
        storage.write_bytes(f"{bucket}/images/{number:04d}-cut.jpg", jpeg(1)[:300])
    return [
        f"--model={bucket}/model", f"--images={bucket}/images", f"--output={bucket}/out", *SMALL,
    ]  # fmt: skip


def rows(output: str, what: str) -> list[str]:
    files = [stat.path for stat in storage.list_files(output) if f"/{what}-" in stat.path]
    lines = [line for file in files for line in storage.read_bytes(file).splitlines()]
    return [json.loads(line)["image"] for line in lines]


def test_a_failed_task_is_named_and_its_share_done_alone(
    launcher: Launcher, own_cluster: OwnCluster, bucket: str, tmp_path: Path
) -> None:
    flags = upload(bucket, tmp_path)
    sent = launcher("predict", *flags, "--tasks", str(TASKS), "--name", "photos")
    assert f"{GOOD + BAD} images" in sent.text
    pod = await_condition(
        "the second task runs",
        lambda: running_pod(own_cluster, launcher.namespace, index="1"),
        timeout_s=200,
    )
    own_cluster.kill_container(launcher.namespace, pod)
    launcher("wait", "photos", "--timeout", "6m", code=137, timeout_s=400)

    why = launcher("why", "photos").text
    assert "index 1 of 0-2" in why
    assert "launcher predict --resume" in why
    status = launcher("status", "photos", "-o", "json").data
    assert status["failed_indexes"] == "1"
    assert 0 < status["prediction"]["images"] < GOOD + BAD
    assert not storage.exists(layout.summary_file(f"{bucket}/out"))

    resumed = launcher("predict", *flags, "--resume", "--follow", timeout_s=400)
    assert f"{GOOD + BAD} images: {GOOD} predicted, {BAD} rejected" in resumed.text
    assert f"of {GOOD + BAD} images" in resumed.err
    assert len(set(rows(f"{bucket}/out", "part"))) == len(rows(f"{bucket}/out", "part")) == GOOD
    assert len(rows(f"{bucket}/out", "rejects")) == BAD
    assert "complete already" in launcher("predict", *flags).text


def running_pod(cluster: OwnCluster, namespace: str, *, index: str) -> str:
    label = f"batch.kubernetes.io/job-completion-index={index}"
    pods = cluster.get("pods", "-n", namespace, "-l", label)["items"]
    running = [pod for pod in pods if pod["status"]["phase"] == "Running"]
    return running[0]["metadata"]["name"] if running else ""
