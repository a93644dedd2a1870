"""`from launcher import Client`: what the commands do, as functions that print nothing."""

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from job import storage
from job.contract import flags, layout
from job.contract.configs import TrainConfig
from launcher import Client
from launcher.api import resources
from launcher.errors import ConflictError, LauncherError, NotFoundError, TimedOutError, UsageError
from launcher.manifests import labels
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer

DATASET = {
    "format": 1,
    "name": "tiny",
    "classes": ["apple_pie", "waffles"],
    "splits": {"train": {"examples": 640, "shards": [{"bytes": 5_000_000_000}]}},
}


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def client(server: FakeApiServer, tmp_path: Path) -> Client:
    """A client of an API server over HTTP."""
    return Client(kubeconfig=server.kubeconfig(tmp_path), image="registry.example/a/b:1")


def put_run(run: Path, state: str = "done") -> None:
    content = {**shapes.progress(state=state), "time": shapes.NOW.timestamp()}
    run.mkdir(parents=True)
    config = flags.parse(TrainConfig, ["--data=d", f"--run={run}"])
    settings = json.dumps(dataclasses.asdict(config))
    Path(layout.config_file(str(run))).write_text(settings, encoding="utf-8")
    Path(layout.progress_file(str(run))).write_text(json.dumps(content), encoding="utf-8")
    log = Path(layout.attempt_log(str(run), 1, "worker-0"))
    log.parent.mkdir(parents=True)
    log.write_text("step 1\nstep 2\n", encoding="utf-8")


def put_job(server: FakeApiServer, run: Path, *conditions: str) -> None:
    job = shapes.tfjob(*(shapes.condition(each) for each in conditions))
    job["metadata"]["annotations"][labels.RUN] = str(run)
    server.put(job)
    for index in (0, 1):
        server.put(shapes.pod(index, state=shapes.running()))


def test_a_job_is_sent_once_and_nothing_is_printed(
    client: Client,
    server: FakeApiServer,
    bucket: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same object as the command's; another one of that name is refused; notes are logged."""
    storage.write_bytes(f"{bucket}/d/dataset.json", json.dumps(DATASET).encode())
    where = {"data": f"{bucket}/d", "run_root": f"{bucket}/r", "name": "nightly"}
    with caplog.at_level(logging.INFO, "launcher"):
        sent = client.submit(gpus=8, train={"epochs": 3}, skip_checks=["all"], **where)
    assert (sent.name, sent.output, sent.in_cluster) == ("nightly", f"{bucket}/r/nightly", True)
    made = server.object(resources.TFJOBS, "nightly")
    assert "--epochs=3.0" in json.dumps(made)
    assert "--backend auto: tfjob" in caplog.text
    assert client.submit(gpus=8, train={"epochs": 3}, skip_checks=["all"], **where) == sent
    with pytest.raises(ConflictError, match="replicas: 1 -> 2"):
        client.submit(gpus=16, train={"epochs": 3}, skip_checks=["all"], **where)
    assert capsys.readouterr() == ("", "")


def test_a_running_job_is_seen(client: Client, server: FakeApiServer, tmp_path: Path) -> None:
    """Status, cause, logs and a limit on waiting."""
    put_run(tmp_path / "run", state="training")
    put_job(server, tmp_path / "run", "Created", "Running")
    server.log("mnist-worker-0", "step 1")
    server.log("mnist-worker-1", "step 2")
    status = client.status("mnist")
    assert (status.phase, status.run) == ("Running", str(tmp_path / "run"))
    assert status.progress is not None
    assert status.progress.total_steps == shapes.progress()["total_steps"]
    assert status.job is not None
    assert client.why("mnist").level in ("ok", "warning")
    written = [(line.replica, line.text) for line in client.logs("mnist")]
    assert written == [("worker-0", "step 1"), ("worker-1", "step 2")]
    with pytest.raises(TimedOutError):
        client.wait("mnist", timeout_s=0)


@pytest.mark.parametrize(("condition", "succeeded"), [("Succeeded", True), ("Failed", False)])
def test_waiting_tells_how_a_job_ended(
    client: Client, server: FakeApiServer, tmp_path: Path, condition: str, succeeded: bool
) -> None:
    """A job that failed is an answer, not an error, and comes with its cause."""
    put_job(server, tmp_path / "run", condition)
    ending = client.wait("mnist")
    assert ending.succeeded is succeeded
    assert ending.finding == client.why("mnist")


def test_a_run_without_a_job_is_told_from_its_directory(tmp_path: Path) -> None:
    """Without any cluster, by name and by path."""
    put_run(tmp_path / "runs" / "first")
    client = Client()
    for name in ("first", "runs/first"):
        assert client.status(name).phase == "done"
        assert client.why(name).situation == "succeeded"
        assert [line.text for line in client.logs(name, tail=1)] == ["step 2"]
    assert [record.name for record in client.runs()] == ["first"]
    with pytest.raises(UsageError, match="needs a job in a cluster"):
        client.logs("first", follow=True)


def test_what_is_not_there_is_said_by_the_errors_of_the_commands(client: Client) -> None:
    with pytest.raises(NotFoundError, match="'nowhere'"):
        client.wait("nowhere")
    with pytest.raises(NotFoundError, match="'nowhere'"):
        client.why("nowhere")
    with pytest.raises(NotFoundError, match="no runs in empty"):
        client.runs("empty")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"gpu": 8}, "unknown setting 'gpu'; did you mean 'gpus'"),
        ({"gpus": "eight"}, "gpus must be a whole number, not 'eight'"),
        ({"spot": 1}, "spot must be true or false, not 1"),
    ],
)
def test_settings_are_checked_as_those_of_the_settings_file(
    settings: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        Client(**settings).runs()
    with pytest.raises(UsageError, match=told):
        Client().submit(data="d", **settings)


def test_a_prediction_of_this_machine_fails_with_its_cause(tmp_path: Path) -> None:
    """A real process; what it said last becomes the error."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(LauncherError, match=r"^predict-\w+ ended: nowhere is not a") as raised:
        Client().predict("nowhere", "images", "out")
    assert type(raised.value) is LauncherError
    assert str(raised.value).endswith("(exit code 66)")


def test_the_launcher_starts_without_the_client() -> None:
    """`import launcher` alone costs nothing."""
    code = "import sys, launcher; print([n for n in sys.modules if n == 'launcher.client'])"
    code += "; launcher.Client; print('launcher.client' in sys.modules)"
    code += "; print('kubernetes' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["[]", "True", "False"]
