"""TensorBoard is given one folder, or several under names that differ."""

import pytest
import yaml

from launcher.commands.tensorboard import logdir_flag
from launcher.errors import UsageError
from launcher.manifests import labels
from tests.launcher import shapes
from tests.launcher.commands.conftest import Launcher
from tests.launcher.fake_apiserver import FakeApiServer


def test_one_folder_is_given_as_it_is():
    assert logdir_flag(["gs://b/runs/a/logs"]) == "--logdir=gs://b/runs/a/logs"


def test_several_folders_stand_side_by_side_under_their_runs_names():
    flag = logdir_flag(["gs://b/x/first/logs", "runs/second", "gs://c/y/first/logs"])
    assert flag == (
        "--logdir_spec=first-1:gs://b/x/first/logs,second:runs/second,first-3:gs://c/y/first/logs"
    )


def test_a_comma_cannot_smuggle_in_another_folder():
    with pytest.raises(UsageError, match="commas"):
        logdir_flag(["runs/a,etc:/etc", "runs/b"])


IN_CLUSTER = ("tensorboard", "--in-cluster", "--tensorboard-image=registry.example/tb:1")


def test_a_folder_of_runs_can_be_shown_from_inside_the_cluster(launcher: Launcher) -> None:
    """It needs no job to be named after; two folders never share a deployment."""
    names = []
    for folder in ("gs://bucket/runs", "gs://bucket/old/runs/"):
        code, out, _ = launcher(*IN_CLUSTER, "--logdir", folder, "--dry-run")
        assert code == 0
        assert f"--logdir={folder.rstrip('/')}" in out
        names.append(yaml.safe_load(out)["metadata"]["name"])
    assert names[0].startswith("runs-")
    assert names[0] != names[1]


def test_a_job_of_that_name_with_another_run_does_not_own_it(
    launcher: Launcher, server: FakeApiServer
) -> None:
    server.put(shapes.tfjob())
    server.fail("GET", "/pods", 403, "you cannot", reason="Forbidden")
    launcher(*IN_CLUSTER, "gs://other/mnist")
    made = [request for request in server.requests if "deployments/mnist-tensorboard" in request]
    assert [request.split()[0] for request in made] == ["PATCH", "DELETE"]


def test_a_denied_port_is_told_before_an_address_is(
    launcher: Launcher, server: FakeApiServer
) -> None:
    """An address that leads nowhere helps nobody; the code says that it was denied."""
    server.put(shapes.tfjob())
    pod = shapes.pod(0, conditions=(shapes.condition("Ready"),))
    pod["metadata"]["labels"] |= {labels.COMPONENT: "tensorboard"}
    server.put(pod)
    message = 'pods "x" is forbidden: User "jane" cannot get resource "pods/portforward"'
    server.fail("GET", "/portforward", 403, message, reason="Forbidden")
    code, out, err = launcher(*IN_CLUSTER, "mnist", "--timeout=20s")
    assert code == 4
    assert "http://" not in out
    assert "user 'jane' may not get pods/portforward" in err
