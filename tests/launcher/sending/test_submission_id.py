"""A submission has a name of its own, which its processes get and all its restarts share."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher import kinds
from launcher.cli import main
from launcher.manifests import yaml_text
from launcher.manifests.differences import differences
from launcher.manifests.render import render
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.spec_examples import train

FLAGS = (
    "--image=registry.example/a:1", "--run-root=gs://bucket/runs", "--cache-size=8Gi",
    "--gpus=2", "--name=nightly",
)  # fmt: skip


def submission_of(tree: Any) -> str:
    """Find the variable in whatever holds a pod."""
    if isinstance(tree, dict):
        if tree.get("name") == "SUBMISSION_ID":
            return str(tree["value"])
        tree = list(tree.values())
    return next(filter(None, map(submission_of, tree)), "") if isinstance(tree, list) else ""


def test_every_submission_has_another_name(
    server: FakeApiServer, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where everything else is the same: the first was deleted in between."""
    where = ["--kubeconfig", server.kubeconfig(tmp_path), "-n=team"]
    data = f"--data={bucket}/data"
    seen = []
    for _ in range(2):
        assert main(["submit", *where, "-o=yaml", *FLAGS, data, "--skip-checks=all"]) == 0
        seen.append(submission_of(list(yaml.safe_load_all(capsys.readouterr().out))))
        assert main(["delete", *where, "nightly"]) == 0
        capsys.readouterr()
    assert all(seen)
    assert seen[0] != seen[1]


def test_what_is_only_printed_stays_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever pipes it to kubectl twice has one job, whose workers agree on its name."""
    printed = []
    for _ in range(2):
        assert main(["render", *FLAGS, "--data=gs://bucket/data"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert submission_of(list(yaml.safe_load_all(printed[0])))


def test_another_submission_is_no_difference() -> None:
    """`launcher diff` tells what changes in the job, not that it is sent again."""
    one = render(train(kinds.TFJOB))[0]["spec"]
    other = yaml_text.load(yaml_text.dump_all([one]), "it")
    worker = other["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]
    for variable in worker["env"]:
        if variable["name"] == "SUBMISSION_ID":
            variable["value"] = "another"
    assert submission_of(other) == "another"
    assert differences(one, other) == []
