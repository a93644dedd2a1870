"""Opening a run directory: nothing changes before the first step, and nobody's leftovers stay."""

import json
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig, to_dict
from job.contract.errors import ConfigError, LeaseLostError
from job.contract.evaluation_file import EvaluationNote
from job.dataset.description import Dataset
from job.run import checkpoints, directory, evaluations, leftovers
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import take
from job.run.manifest import Manifest
from job.storage import documents
from tests.job.run.test_checkpoints import make_variables
from tests.job.trained_run import make_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data"), (4,))


@pytest.fixture(params=["local", "bucket"])
def run(request, tmp_path) -> str:
    if request.param == "local":
        return str(tmp_path / "run")
    return f"{request.getfixturevalue('bucket')}/run"


def attempt(
    run: str,
    dataset: Dataset,
    *steps: int,
    submission: str = "one",
    best: int = 0,
    **settings: object,
) -> directory.Opening:
    """Go through an attempt that saves some steps and evaluates them."""
    config = TrainConfig(data=dataset.path, run=run, **settings)
    with take(run, submission) as lease:
        opening = directory.look(config, dataset, lease)
        manifests = directory.begin(opening, config, dataset, lease)
        records = evaluations.EvaluationRecords(lease, opening.step)
        records.add_older(manifests)
        writer = CheckpointWriter(lease, records=records, keep=99, first_step=opening.step)
        for step in steps:
            writer.save(step, make_variables(step))
            metrics = {"top1": 1.0 if step == best else step / 1000}
            writer.record(EvaluationNote(step=step, metrics=metrics))
        writer.close()
    return opening


def content(run: str) -> dict[str, bytes]:
    """Read everything but the lease."""
    return {
        stat.path: storage.read_bytes(stat.path)
        for stat in storage.list_files(run)
        if not stat.path.endswith("lease.json")
    }


def test_looking_changes_nothing_whatever_is_asked_for(run, dataset):
    attempt(run, dataset, 10, 20)
    before = content(run)
    with take(run, "two") as lease:
        for settings in ({}, {"overwrite": True}, {"momentum": 0.5, "resume": True}):
            config = TrainConfig(data=dataset.path, run=run, **settings)
            directory.look(config, dataset, lease)
    assert content(run) == before


def test_overwriting_deletes_once_in_a_submission(run, dataset):
    attempt(run, dataset, 10, 20)
    opening = attempt(run, dataset, 5, submission="two", overwrite=True, momentum=0.5)
    assert (opening.step, opening.overwrite) == (0, True)
    assert checkpoints.committed_steps(run) == [5]
    assert [Path(p).name for p in content(run) if "evaluations" in p] == ["step-00000005.json"]
    opening = attempt(run, dataset, 7, submission="two", overwrite=True, momentum=0.5)
    assert (opening.step, opening.overwrite) == (5, False)
    assert checkpoints.committed_steps(run) == [7, 5]


def test_a_deletion_that_was_cut_short_counts_as_done(run, dataset):
    """Behind the fence nothing counts, whether it was deleted already or not."""
    attempt(run, dataset, 10, 20)
    config = TrainConfig(data=dataset.path, run=run, overwrite=True)
    with take(run, "two") as lease:
        directory.look(config, dataset, lease)
        lease.overwrite()  # And here the process ends.
    assert checkpoints.newest_whole(run) is None
    opening = attempt(run, dataset, 3, submission="two", overwrite=True)
    assert opening.checkpoint is None
    assert checkpoints.committed_steps(run) == [3]


def test_other_settings_are_refused_where_there_is_something_to_lose_and_only_there(run, dataset):
    attempt(run, dataset)
    opening = attempt(run, dataset, 10, momentum=0.5)
    assert opening.checkpoint is None
    with pytest.raises(ConfigError, match=r"momentum: 0\.5 -> 0\.9"):
        attempt(run, dataset)
    assert attempt(run, dataset, resume=True).step == 10


def test_files_that_no_manifest_names_go_with_the_next_attempt(run, dataset):
    attempt(run, dataset, 10, 20, best=10)
    stray = [
        layout.join(layout.checkpoint_dir(run, 30), "model-1.data-00000-of-00001"),
        layout.join(layout.checkpoint_dir(run, 20), "model-2.index"),
        layout.evaluation_file(run, 30),
    ]
    for path in stray:
        storage.write_bytes(path, b"left by a process that was killed")
    attempt(run, dataset)
    assert not any(storage.exists(path) for path in stray)
    assert checkpoints.newest_whole(run).step == 20
    assert evaluations.best_step(run) == 10


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"step": -1, "metrics": {}}', None])
def test_best_is_made_again_from_the_evaluations(run, dataset, damage):
    attempt(run, dataset, 10, 20, 30, best=20)
    before = storage.read_bytes(layout.best_file(run))
    if damage is None:
        storage.delete(layout.best_file(run))
    else:
        storage.write_bytes(layout.best_file(run), damage)
    attempt(run, dataset)
    assert storage.read_bytes(layout.best_file(run)) == before


def test_what_an_attempt_left_undone_between_evaluating_and_judging_is_done(run, dataset):
    attempt(run, dataset, 10, 20)
    documents.write(layout.evaluation_file(run, 20), EvaluationNote(step=20, metrics={"top1": 0.9}))
    storage.delete(layout.best_file(run))
    attempt(run, dataset)
    assert evaluations.best_step(run) == 20


def test_a_slow_attempt_that_was_succeeded_can_begin_nothing(run, dataset):
    config = TrainConfig(data=dataset.path, run=run, momentum=0.5)
    with take(run, "one", heartbeat_s=1000) as slow:
        opening = directory.look(config, dataset, slow)
        attempt(run, dataset, 10)
        before = content(run)
        with pytest.raises(LeaseLostError):
            directory.begin(opening, config, dataset, slow)
        with pytest.raises(LeaseLostError):
            leftovers.remove(slow, 0)
    assert content(run) == before


def test_a_run_of_before_the_formats_had_numbers_is_read(run, dataset):
    """Its manifests hold metrics and numbers, its configuration settings that are no more."""
    attempt(run, dataset, 10)
    path = layout.config_file(run)
    config = json.loads(storage.read_bytes(path))
    del config["format"]
    storage.write_bytes(path, json.dumps(config | {"a_setting_that_is_no_more": 1}).encode())
    folder = layout.checkpoint_dir(run, 10)
    manifest = documents.read(layout.manifest_file(folder), Manifest)
    old = {
        "step": 10,
        "files": {
            name: {"bytes": facts.bytes, "sha256": facts.sha256, "crc32c": facts.crc32c}
            for name, facts in manifest.files.items()
        },
        "dataset": "",
        "metrics": {"top1": 0.7},
        "state": {"loss_scale": 8.0, "steps_without_overflow": 3.0, "replicas": 2},
    }
    storage.write_bytes(layout.manifest_file(folder), json.dumps(old).encode())
    storage.delete(layout.evaluation_file(run, 10))
    opening = attempt(run, dataset)
    state = opening.checkpoint.manifest.state
    assert (state.loss_scale, state.steps_without_overflow, state.replicas) == (8.0, 3, 2)
    assert state.examples is None
    assert to_dict(opening.earlier)["momentum"] == 0.9
    assert evaluations.metrics_of(run, opening.checkpoint.manifest) == {"top1": 0.7}
    assert evaluations.best_step(run) == 10
