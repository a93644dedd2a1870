"""Resuming: the same job as before, but for what is typed, on the same run directory."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job.contract import flags, layout
from job.contract.configs import TrainConfig
from job.contract.errors import JobError
from launcher import cli, kinds
from launcher.api import resources
from launcher.describe import resumption, training
from launcher.describe.provenance import describe
from launcher.errors import LauncherError, NotFoundError
from launcher.manifests import labels
from launcher.manifests.render import render
from launcher.settings.fields import FIELDS, Settings
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.spec_examples import BASE

Object = dict[str, Any]
NOTHING_GIVEN = argparse.Namespace()


def submitted(backend: str, *job_flags: str, **settings: Any) -> Object:
    """Render a job as `submit` sends it."""
    chosen = Settings(**(BASE | {"gpus": 16} | settings))
    job = training.prepare(
        chosen, job_flags, name="nightly", run="", namespace="team", backend=kinds.named(backend),
        with_facts=False,
    )  # fmt: skip
    spec = dataclasses.replace(job.spec, provenance=describe(chosen))
    return render(spec)[0]


def earlier(item: Object) -> resumption.Earlier:
    return resumption.from_object(item, kinds.of_object(item["kind"]).pod_spec(item))


def resumed(
    before: resumption.Earlier, *job_flags: str, data: str | None = None, **given: Any
) -> tuple[Settings, training.Training]:
    typed = argparse.Namespace(**{name: given.get(name) for name in FIELDS})
    settings = resumption.with_flags(before.settings, typed, Settings())
    job = training.prepare(
        settings, resumption.trainer_flags(before.config, data, list(job_flags)),
        name="nightly-r1", run=before.config.run, namespace="team", backend=kinds.TFJOB,
        with_facts=False,
    )  # fmt: skip
    return settings, job


@pytest.mark.parametrize("backend", ["tfjob", "jobset"])
def test_what_is_not_typed_stays_as_it_was(backend: str) -> None:
    item = submitted(
        backend, "--epochs=7", "--global_batch_size=128", env={"PRICE": "$5"}, memory="90Gi"
    )
    before = earlier(item)
    settings, job = resumed(before)
    assert settings.env == {"PRICE": "$5"}
    assert job.config.run == "gs://bucket/runs/nightly"
    assert (job.config.epochs, job.config.global_batch_size) == (7.0, 128)
    assert job.config.resume
    assert (job.spec.workers, job.spec.resources.gpus) == (2, 8)
    assert resumption.changes(before, settings, job) == []


def test_the_annotation_holds_no_values_of_the_environment() -> None:
    """They stand in the pod's template only, and a resumed job gets them from there."""
    item = submitted("tfjob", env={"TOKEN": "hush", "OTHER": "x"})
    assert "hush" not in json.dumps(item["metadata"])
    before = earlier(item)
    assert before.settings.env == {"TOKEN": "hush", "OTHER": "x"}
    settings, job = resumed(before, env=["TOKEN=hush hush"])
    told = resumption.changes(before, settings, job)
    assert told == ["--env: OTHER, TOKEN -> OTHER, TOKEN (other values)"]


def test_an_annotation_of_an_earlier_version_is_understood() -> None:
    item = submitted("tfjob")
    item["metadata"]["annotations"][labels.SETTINGS] = '{"env": {"A": "1"}, "gpus": 16}'
    assert earlier(item).settings.env == {"A": "1"}


@pytest.mark.parametrize("noted", ["", "[1]", "{", "[" * 99_999, '{"gpus": "many"}'])
def test_an_odd_annotation_is_one_line(noted: str) -> None:
    item = submitted("tfjob")
    item["metadata"]["annotations"][labels.SETTINGS] = noted
    with pytest.raises((LauncherError, JobError), match="food101/settings"):
        earlier(item)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"[" * 99_999, b"\xff", b'{"epochs": "x"}', b'{"nothing": 1}']
)
def test_a_damaged_configuration_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises((LauncherError, JobError)) as caught:
        resumption.from_run(str(tmp_path), Settings())
    assert len(str(caught.value).splitlines()) == 1


def test_a_new_size_replaces_the_old_one_as_a_whole() -> None:
    before = earlier(submitted("tfjob", workers=4, gpus_per_worker=4))
    settings, job = resumed(before, gpus="8")
    assert (job.spec.workers, job.spec.resources.gpus) == (1, 8)
    (told,) = resumption.changes(before, settings, job)
    assert told == (
        "workers: 4 x 4 GPUs -> 1 x 8 GPUs; the global batch stays 64 (4 -> 8 per GPU), so "
        "learning rates and the order of examples go on as they were"
    )


def test_a_change_of_the_course_is_told() -> None:
    before = earlier(submitted("tfjob"))
    settings, job = resumed(before, "--epochs=40", spot=True)
    told = resumption.changes(before, settings, job)
    assert told == [
        "--spot: False -> True",
        "--epochs: 20.0 -> 40.0",
        "from here on steps and learning rates are those of the new settings",
    ]


def test_epochs_replace_steps() -> None:
    before = earlier(submitted("tfjob", "--steps=100"))
    _, job = resumed(before, "--epochs=3")
    assert (job.config.steps, job.config.epochs) == (None, 3.0)


def test_another_dataset_replaces_the_old_one() -> None:
    before = earlier(submitted("tfjob"))
    assert resumed(before, data="gs://bucket/other")[1].config.data == "gs://bucket/other"


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("nightly", set(), "nightly-r1"),
        ("nightly-r1", set(), "nightly-r2"),
        ("nightly", {"nightly-r1", "nightly-r2"}, "nightly-r3"),
        ("My Run!", set(), "my-run-r1"),
    ],
)
def test_the_next_name_is_free(name: str, taken: set[str], expected: str) -> None:
    assert resumption.next_name(name, taken) == expected


def test_a_job_made_by_hand_is_resumed_by_its_run_directory() -> None:
    with pytest.raises(NotFoundError, match="name its run directory"):
        earlier(shapes.tfjob())


def test_a_run_directory_knows_its_configuration(tmp_path: Path) -> None:
    """Once the job is gone, the trainer's config.json is enough."""
    run = str(tmp_path)
    config = flags.parse(TrainConfig, ["--data=gs://b/d", f"--run={run}", "--epochs=9"])
    content = json.dumps(dataclasses.asdict(config))
    Path(layout.config_file(run)).write_text(content, encoding="utf-8")
    assert resumption.from_run(run, Settings()).config.epochs == 9.0
    with pytest.raises(NotFoundError, match="is no run directory"):
        resumption.from_run(str(tmp_path / "nothing"), Settings())


def test_a_run_of_this_machine_is_resumed_without_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its path or its name below runs/; here the dataset has gone meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    config = flags.parse(TrainConfig, ["--data=gone", "--run=runs/first"])
    Path("runs/first").mkdir(parents=True)
    content = json.dumps(dataclasses.asdict(config))
    Path(layout.config_file("runs/first")).write_text(content, encoding="utf-8")
    for run in ("runs/first", "first"):
        assert cli.main(["resume", run]) == 3
        assert "there is no dataset in gone; make one" in capsys.readouterr().err
    before = resumption.from_run("runs/first", Settings())
    told = resumption.changes(before, before.settings, resumed(earlier(submitted("tfjob")))[1])
    assert not any("workers" in line for line in told), "nobody knows how many there were"


def run_launcher(
    server: FakeApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    path = server.kubeconfig(tmp_path)

    def run(*argv: str) -> tuple[int, str]:
        code = cli.main([argv[0], "--kubeconfig", path, *argv[1:]])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_a_running_job_is_not_resumed(
    server: FakeApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two jobs that write into one run directory would destroy it."""
    server.put(submitted("tfjob"))
    code, told = run_launcher(server, tmp_path, capsys)("resume", "nightly", "--dry-run", "client")
    assert code == 1
    assert "two jobs must not write into one run directory" in told


def test_a_failed_job_goes_on_as_a_new_one(
    server: FakeApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = submitted("tfjob", gpus=0, workers=2)
    item["status"] = {"conditions": [shapes.condition("Failed")]}
    server.put(item)
    launcher = run_launcher(server, tmp_path, capsys)
    code, told = launcher("resume", "nightly", "--dry-run", "client", "--backend", "jobset")
    assert code == 0
    assert "kind: JobSet" in told
    assert "name: nightly-r1" in told
    assert "--run=gs://bucket/runs/nightly" in told
    assert server.object(resources.JOBSETS, "nightly-r1") is None
