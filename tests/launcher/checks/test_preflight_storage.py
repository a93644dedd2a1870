"""Preflight of storage: the dataset that is read, the run directory that is written."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from job.contract import layout
from launcher import kinds
from launcher.api.connection import Cluster
from launcher.checks import storage
from launcher.checks.result import Result, Subject
from tests.launcher.spec_examples import train


def _stored(check: Callable[[Subject], Any], cluster: Cluster, **paths: str) -> Result:
    spec = train(kinds.TFJOB, gpus=16, service_account="trainer")
    args = [f"--data={paths.get('data', '')}"]
    spec = dataclasses.replace(spec, args=tuple(args), output=paths.get("run", spec.output))
    (result,) = check(Subject(cluster=cluster, spec=spec))
    return result


def test_the_dataset_must_be_there(cluster: Cluster, tmp_path: Path) -> None:
    assert _stored(storage.data, cluster, data=str(tmp_path)).level == "failed"
    content = {
        "format": 1, "name": "x", "classes": ["a", "b"],
        "splits": {"train": {"examples": 12, "shards": []}},
    }  # fmt: skip
    Path(layout.dataset_file(str(tmp_path))).write_text(json.dumps(content), encoding="utf-8")
    found = _stored(storage.data, cluster, data=str(tmp_path))
    assert (found.level, "12 training images of 2 classes" in found.what) == ("ok", True)


def test_the_run_directory_is_tried_and_left_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert _stored(storage.run, cluster, run=str(run)).level == "ok"
    assert not list(run.iterdir())
    manifest = Path(layout.manifest_file(layout.checkpoint_dir(str(run), 40)))
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}", encoding="utf-8")
    found = _stored(storage.run, cluster, run=str(run))
    assert (found.level, "checkpoint of step 40" in found.what) == ("warning", True)


def test_a_run_directory_that_cannot_be_written_is_told(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    found = _stored(storage.run, cluster, run=str(tmp_path / "file" / "run"))
    assert found.level == "unknown"
    assert "you cannot write" in found.what
