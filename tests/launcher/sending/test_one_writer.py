"""Two jobs never write into one run directory: whoever comes second is told before it is sent."""

import json
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from job.contract.lease import Lease, Owner
from launcher import cli, kinds
from launcher.api import resources
from launcher.api.connection import Cluster
from launcher.checks import preflight
from launcher.checks.result import Result
from launcher.describe.spec import JobSpec
from launcher.manifests.render import render
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.spec_examples import train


def spec_of(run: str, *flags: str, **settings: object) -> JobSpec:
    return train(kinds.JOBSET, (f"--run={run}", *flags), gpus=2, **settings)


def asked(cluster: Cluster, spec: JobSpec) -> Result:
    """Give what the check of the writer says."""
    others = tuple(name for name in preflight.checks() if name != "writer")
    subject = preflight.subject_of(cluster, spec, render(spec)[0])
    (checked,) = preflight.run_checks(subject, skip=others)
    (result,) = checked.results
    return result


def put(server: FakeApiServer, spec: JobSpec, name: str, *conditions: shapes.Object) -> str:
    """Put a job of a run into the cluster under another name; gives its submission."""
    job = render(spec)[0]
    job["metadata"] |= {"name": name, "namespace": "team"}
    job["status"] = {"conditions": list(conditions)}
    server.put(job)
    return spec.submission_id


def lease(bucket: str, *, submission: str = "theirs", released: bool = False) -> str:
    """Write a lease as a trainer does; gives the run directory."""
    run = f"{bucket}/run"
    held = Lease(3, Owner("node-a", 7, pod="first-worker-0"), submission, released=released)
    storage.write_bytes(layout.lease_file(run), held.to_json())
    return run


def test_another_name_on_the_same_run_is_refused(
    cluster: Cluster, server: FakeApiServer, bucket: str
) -> None:
    spec = spec_of(f"{bucket}/run")
    assert asked(cluster, spec).level == "ok"
    put(server, spec, "first")
    result = asked(cluster, spec)
    assert result.level == "failed"
    assert "job 'first' is active with run directory" in result.what
    assert result.mend == "stop it first: launcher cancel first; or choose another --run"


@pytest.mark.parametrize("end", ["Completed", "Failed"])
def test_a_job_that_is_over_writes_no_more(
    cluster: Cluster, server: FakeApiServer, bucket: str, end: str
) -> None:
    spec = spec_of(f"{bucket}/run")
    put(server, spec, "first", shapes.condition(end))
    assert asked(cluster, spec).level == "ok"


def test_a_job_never_stands_in_its_own_way(
    cluster: Cluster, server: FakeApiServer, bucket: str
) -> None:
    """Submitted again it is the same job, which is found and not sent."""
    spec = spec_of(f"{bucket}/run")
    put(server, spec, spec.name)
    assert asked(cluster, spec).level == "ok"


def test_whoever_holds_the_lease_is_named(cluster: Cluster, bucket: str) -> None:
    """It may run in another cluster, or on somebody's machine."""
    result = asked(cluster, spec_of(lease(bucket)))
    assert result.level == "failed"
    assert "is being written by process 7 on pod first-worker-0" in result.what
    assert "launcher cancel" in result.mend
    assert "another --run" in result.mend
    knows_better = spec_of(f"{bucket}/run", "--take_over")
    assert not list(
        preflight.run_checks(
            preflight.subject_of(cluster, knows_better, render(knows_better)[0]),
            skip=tuple(name for name in preflight.checks() if name != "writer"),
        )
    )


def test_a_lease_that_was_given_back_keeps_nobody(cluster: Cluster, bucket: str) -> None:
    assert asked(cluster, spec_of(lease(bucket, released=True))).level == "ok"


def test_a_lease_that_cannot_be_read_is_left_to_the_job(cluster: Cluster, bucket: str) -> None:
    run = f"{bucket}/run"
    storage.write_bytes(layout.lease_file(run), json.dumps({"format": 99}).encode())
    assert asked(cluster, spec_of(run)).level == "ok"


def test_a_job_whose_run_was_resumed_stays_suspended(
    server: FakeApiServer, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cancel first`, `resume first`, `unsuspend first`: two would train at once."""
    spec = spec_of(f"{bucket}/run")
    put(server, spec, "first")
    where = ["--kubeconfig", server.kubeconfig(tmp_path)]
    assert cli.main(["cancel", *where, "first", "--no-wait"]) == 0
    put(server, spec, "first-r1")
    assert cli.main(["unsuspend", *where, "first"]) == 1
    told = capsys.readouterr().err
    assert "first stays suspended: job 'first-r1' is active" in told
    assert "launcher cancel first-r1" in told
    server.remove(server.object(resources.JOBSETS, "first-r1") or {})
    assert cli.main(["unsuspend", *where, "first"]) == 0


def test_a_suspended_job_goes_on_under_its_own_lease(
    server: FakeApiServer, bucket: str, tmp_path: Path
) -> None:
    """Its workers may have left without giving it back."""
    spec = spec_of(f"{bucket}/run")
    lease(bucket, submission=put(server, spec, "first"))
    where = ["--kubeconfig", server.kubeconfig(tmp_path)]
    assert cli.main(["suspend", *where, "first", "--no-wait"]) == 0
    assert cli.main(["unsuspend", *where, "first"]) == 0
