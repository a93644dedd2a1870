"""Every command takes a job's name or a run directory, before and after the job is gone."""

import dataclasses
import json

import pytest

from job import storage
from job.contract import flags, layout
from job.contract.configs import TrainConfig
from job.contract.lease import Lease, Owner
from launcher.api.connection import Cluster
from launcher.manifests import labels
from tests.launcher import shapes
from tests.launcher.commands.conftest import Launcher
from tests.launcher.fake_apiserver import FakeApiServer


@pytest.fixture
def root(bucket: str) -> str:
    """A run root with the run of a job called nightly, whose job is gone."""
    run = f"{bucket}/runs/nightly"
    config = flags.parse(TrainConfig, [f"--data={bucket}/food101", f"--run={run}"])
    content = dataclasses.asdict(config)
    storage.write_bytes(layout.config_file(run), json.dumps(content).encode())
    progress = {**shapes.progress(state="stopped"), "time": shapes.NOW.timestamp()}
    storage.write_bytes(layout.progress_file(run), json.dumps(progress).encode())
    log = layout.attempt_log(run, 0, "worker-0")
    storage.write_bytes(log, b"step 1200\nerror: the loss is not finite\n")
    storage.write_bytes(layout.manifest_file(layout.checkpoint_dir(run, 1000)), b"{}")
    return f"{bucket}/runs"


COMMANDS = [
    (("status",), "1,200 of 23,671"),
    (("why",), "the loss is not finite"),
    (("logs",), "worker-0 | step 1200"),
    (("resume", "--dry-run=client", "--image=a/b:1", "--cache-size=8Gi"), "--run={run}"),
    (
        (
            "evaluate",
            "--dry-run=client",
            "--image=a/b:1",
            "--data=gs://bucket/d",
            "--cache-size=8Gi",
        ),
        "--run={run}",
    ),
    (("export", "--dry-run=client", "--image=a/b:1", "--output=gs://bucket/m"), "--run={run}"),
    (("tensorboard", "--in-cluster", "--dry-run", "--tensorboard-image=a/b:1"), "{run}/logs"),
]


@pytest.mark.parametrize(("command", "told"), COMMANDS, ids=lambda each: each[0])
def test_the_name_of_a_job_that_is_gone_is_its_run(
    launcher: Launcher, root: str, command: tuple[str, ...], told: str
) -> None:
    """Two days later the pods and the job are gone; the run is not."""
    verb, *options = command
    code, out, err = launcher(verb, "nightly", *options, "--set", f"run_root={root}")
    assert (code, told.format(run=f"{root}/nightly") in out) == (0, True), out + err


@pytest.mark.parametrize(("command", "told"), COMMANDS[:3], ids=lambda each: each[0])
def test_a_job_that_went_on_with_a_run_is_found_by_who_wrote_it(
    launcher: Launcher, root: str, command: tuple[str, ...], told: str
) -> None:
    """`resume nightly` made nightly-r1, which has no directory of its own."""
    lease = Lease(2, Owner("n", 1, pod="nightly-r1-worker-0-0-x7k2p"), "s", released=True)
    storage.write_bytes(layout.lease_file(f"{root}/nightly"), lease.to_json())
    code, out, _ = launcher(*command, "nightly-r1", "--set", f"run_root={root}")
    assert code == 0
    assert told in out


def deny(server: FakeApiServer) -> None:
    for plural in ("tfjobs", "jobsets", "jobs"):
        server.deny("get", plural)


@pytest.mark.parametrize(("command", "told"), COMMANDS[:3], ids=lambda each: each[0])
def test_without_the_right_to_see_jobs_the_run_tells_what_it_knows(
    launcher: Launcher, server: FakeApiServer, root: str, command: tuple[str, ...], told: str
) -> None:
    deny(server)
    code, out, err = launcher(*command, "nightly", "--set", f"run_root={root}")
    assert code == 0
    assert told in out
    assert "may not get tfjobs" in err


@pytest.mark.parametrize("verb", ["status", "why", "logs", "resume", "tensorboard"])
def test_a_cluster_that_does_not_answer_is_not_a_job_that_is_missing(
    launcher: Launcher,
    server: FakeApiServer,
    root: str,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defaults = Cluster.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "retry_s", 0.3)
    server.fail("GET", "/apis/", 0, times=100)
    server.fail("GET", "/api/", 0, times=100)
    code, out, err = launcher(verb, "unknown", "--set", f"run_root={root}")
    assert (code, out) == (1, "")
    assert "does not answer" in err
    assert "no job" not in err


def test_a_name_that_nothing_is_known_of_says_where_it_was_looked_for(
    launcher: Launcher, root: str
) -> None:
    code, _, err = launcher("why", "weekly", "--set", f"run_root={root}")
    assert code == 3
    assert "no job 'weekly' in namespace 'team'" in err
    assert f"no run of that name is below {root} or runs" in err


def test_a_way_out_of_the_root_is_no_name(launcher: Launcher, root: str) -> None:
    assert launcher("status", "..", "--set", f"run_root={root}")[0] == 3


def test_a_job_in_the_cluster_comes_first(
    launcher: Launcher, server: FakeApiServer, root: str
) -> None:
    job = shapes.tfjob(shapes.CREATED, shapes.RUNNING)
    job["metadata"] |= {"name": "nightly", "annotations": {labels.RUN: f"{root}/other"}}
    server.put(job)
    code, out, _ = launcher("status", "nightly", "--set", f"run_root={root}")
    assert code == 0
    assert f"{root}/other" in out
