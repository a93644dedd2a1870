"""`launcher gpus`: models, what is free of them, who holds the others, and the queues."""

import json
from pathlib import Path

import pytest

from launcher.cli import main
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer


@pytest.fixture(autouse=True)
def user(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person with a kubeconfig, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", server.kubeconfig(tmp_path))


def put_node(server: FakeApiServer, name: str, model: str, gpus: int, **spec: object) -> None:
    server.put({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"cloud.google.com/gke-accelerator": model}},
        "spec": spec,
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus), "cpu": "96"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })  # fmt: skip


def test_gpus(server: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    put_node(server, "a", "nvidia-l4", 8)
    put_node(server, "b", "nvidia-l4", 8, unschedulable=True)
    put_node(server, "c", "nvidia-h100-80gb", 8)
    pod = shapes.pod(0, state=shapes.running())
    pod["spec"]["nodeName"] = "a"
    server.put(pod)
    queue = shapes.local_queue()
    queue["status"] = {"pendingWorkloads": 3, "admittedWorkloads": 1}
    server.put(queue)
    assert main(["gpus", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(m["model"], m["gpus"], m["free"]) for m in found["models"]] == [
        ("nvidia-h100-80gb", 8, 8), ("nvidia-l4", 16, 0),
    ]  # fmt: skip
    (holder,) = found["holders"]
    assert (holder["name"], holder["gpus"], holder["pods"]) == ("mnist", 8, 1)
    assert holder["since"]
    assert found["queues"] == [{"name": queue["metadata"]["name"], "running": 1, "waiting": 3}]
    assert main(["gpus", "-o", "wide"]) == 0
    text = capsys.readouterr().out
    assert "nvidia-l4          16     0" in text
    assert "cordoned" in text
    assert "mnist" in text


def test_a_cluster_without_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpus"]) == 0
    assert "no node has GPUs" in capsys.readouterr().err
