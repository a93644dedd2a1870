"""Checkpoints: committed whole, recognised when damaged, kept and deleted as promised."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job import storage
from job.contract import layout
from job.contract.errors import ConfigError, DataError, InputMissingError, LeaseLostError
from job.contract.evaluation_file import EvaluationNote
from job.run import checkpoints, leftovers
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import take

NAMES = ("vgg_19/fc8/weights", "vgg_19/fc8/biases")


def make_variables(value: float = 0.0) -> dict[str, tf.Variable]:
    return {
        NAMES[0]: tf.Variable(tf.fill([3, 2], value)),
        NAMES[1]: tf.Variable(tf.fill([2], value)),
    }


@contextlib.contextmanager
def writing(run: str, submission: str = "test", **options: Any) -> Iterator[CheckpointWriter]:
    with take(run, submission) as lease:
        writer = CheckpointWriter(lease, **options)
        yield writer
        writer.close()


def save_steps(run: str, *steps: int, keep: int = 99, best: tuple[int, ...] = ()) -> None:
    first_step = max([0, *checkpoints.committed_steps(run)])
    with writing(run, keep=keep, first_step=first_step) as writer:
        for step in steps:
            writer.save(step, make_variables(step))
            if step in best:
                writer.record(EvaluationNote(step=step, metrics={"top1": step / 100}))


@pytest.fixture
def run(tmp_path) -> str:
    return str(tmp_path / "run")


def test_a_checkpoint_is_in_tensorflows_format_under_slims_names(run):
    save_steps(run, 40)
    folder = layout.checkpoint_dir(run, 40)
    assert folder.endswith("checkpoints/step-00000040")
    reader = tf.train.load_checkpoint(folder)
    np.testing.assert_array_equal(reader.get_tensor("vgg_19/fc8/weights"), np.full([3, 2], 40.0))
    assert reader.get_tensor("global_step") == 40


def test_a_snapshot_holds_the_values_of_its_moment(run):
    """What training does to a variable after `save` is not in the checkpoint."""
    variables = make_variables(1.0)
    slots = {name: tf.Variable(tf.zeros(v.shape)) for name, v in variables.items()}
    with writing(run, keep=1) as writer:
        writer.save(1, variables)
        for name, variable in variables.items():
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle, accum=slots[name].handle, lr=1.0,
                grad=tf.ones(variable.shape), momentum=0.9,
            )  # fmt: skip
            variable.assign_add(tf.ones(variable.shape))
    restored = make_variables()
    checkpoints.load_variables(checkpoints.find_checkpoint(run, "latest"), restored)
    np.testing.assert_array_equal(restored[NAMES[0]].numpy(), np.ones([3, 2]))


@pytest.mark.skipif(sys.platform != "linux", reason="nice values are of processes elsewhere")
def test_writing_yields_to_training(run):
    """The thread that writes has a lower priority, and nothing else in the process has."""
    before = os.getpriority(os.PRIO_PROCESS, os.getpid())
    with writing(run, keep=1) as writer:
        writer.save(1, make_variables())
        writer.wait()
        priorities = {
            thread.name: os.getpriority(os.PRIO_PROCESS, thread.native_id)
            for thread in threading.enumerate()
        }
    assert priorities.pop("checkpoint_0") == min(19, before + 10)
    assert set(priorities.values()) == {before}


def test_retention_keeps_the_newest_and_the_best(run):
    save_steps(run, 10, 20, 30, 40, 50, keep=2, best=(20,))
    assert checkpoints.committed_steps(run) == [50, 40, 20]
    assert checkpoints.find_checkpoint(run, "best").step == 20
    assert checkpoints.find_checkpoint(run, "latest").step == 50


def test_a_checkpoint_that_was_asked_for_is_found_or_what_there_is_gets_named(run):
    with pytest.raises(InputMissingError, match="no checkpoint in"):
        checkpoints.find_checkpoint(run, "latest")
    save_steps(run, 10, 20)
    assert checkpoints.find_checkpoint(run, "10").step == 10
    with pytest.raises(InputMissingError, match="it has: 10, 20"):
        checkpoints.find_checkpoint(run, "30")
    with pytest.raises(ConfigError, match="'newest'"):
        checkpoints.find_checkpoint(run, "newest")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    name = content.find(b".data-")  # In a manifest, the name of a file that is then not there.
    content[name if path.suffix == ".json" else len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, Path.unlink])
@pytest.mark.parametrize("name", ["model.data-00000-of-00001", "model.index", "MANIFEST.json"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(run, damage, name, caplog):
    save_steps(run, 10, 20)
    damage(Path(layout.checkpoint_dir(run, 20), name))
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest_whole(run).step == 10
    if (name, damage) != ("MANIFEST.json", Path.unlink):  # Without it there is no checkpoint.
        assert "step 20" in caplog.text
    with writing(run, keep=5, first_step=10) as writer:
        writer.save(20, make_variables(20))
    assert checkpoints.newest_whole(run).step == 20


def test_when_all_are_damaged_training_does_not_silently_start_again(run):
    save_steps(run, 10)
    truncate(Path(layout.checkpoint_dir(run, 10), "model.index"))
    with pytest.raises(DataError, match="--overwrite"):
        checkpoints.newest_whole(run)


def test_another_network_is_refused_with_every_difference_and_nothing_is_assigned(run):
    save_steps(run, 10)
    other = {
        NAMES[0]: tf.Variable(tf.zeros([3, 7])),
        NAMES[1]: tf.Variable(tf.zeros([2])),
        "vgg_19/fc7/biases": tf.Variable(tf.zeros([5])),
    }
    with pytest.raises(ConfigError) as caught:
        checkpoints.load_variables(checkpoints.find_checkpoint(run, "10"), other)
    assert "vgg_19/fc8/weights has shape [3, 2] (expected [3, 7])" in str(caught.value)
    assert "vgg_19/fc7/biases is missing" in str(caught.value)
    assert not other[NAMES[1]].numpy().any()


def test_a_manifest_cannot_point_outside_of_its_folder(run):
    save_steps(run, 10)
    manifest = Path(layout.manifest_file(layout.checkpoint_dir(run, 10)))
    content = json.loads(manifest.read_text())
    outside = Path(run, "outside")
    outside.write_bytes(b"x")
    content["files"]["../../outside"] = {"bytes": 1, "sha256": "0" * 64}
    manifest.write_text(json.dumps(content))
    with pytest.raises(DataError):
        checkpoints.newest_whole(run)


@given(st.binary(max_size=200))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_manifest_content_causes_a_traceback(tmp_path, content):
    """Whatever stands in a manifest, the answer is one of our errors."""
    run = str(tmp_path / "run")
    path = Path(layout.manifest_file(layout.checkpoint_dir(run, 10)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(DataError):
        checkpoints.read_checkpoint(run, 10)


_SAVE_FOR_EVER = """
import sys, tensorflow as tf
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import take
writer = CheckpointWriter(take(sys.argv[1], "killed"), keep=2)
for step in range(1, 10_000):
    value = {"vgg_19/fc8/weights": tf.fill([300, 300], float(step))}
    writer.save(step, {name: tf.Variable(v) for name, v in value.items()})
    print(step, flush=True)
"""


def test_killed_at_any_moment_the_newest_committed_checkpoint_is_whole(run):
    """After SIGKILL while saving, what is committed is complete and of one step."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOR_EVER, run], stdout=subprocess.PIPE, text=True
    )
    for _ in range(12):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for step in checkpoints.committed_steps(run):
        restored = {NAMES[0]: tf.Variable(tf.zeros([300, 300]))}
        checkpoints.load_variables(checkpoints.read_checkpoint(run, step), restored)
        assert set(restored[NAMES[0]].numpy().ravel()) == {float(step)}
    with take(run, "next") as lease:
        leftovers.remove(lease, checkpoints.newest_whole(run).step)
    assert not [n for n in os.listdir(layout.checkpoints_dir(run)) if n.endswith(".partial")]


def test_an_attempt_that_is_succeeded_while_it_saves_leaves_nothing_in_the_way(
    faulty_bucket, proxy
):
    """Whatever the two do to the same step meanwhile, one whole checkpoint is there."""
    proxy.strict = True
    run = f"{faulty_bucket}/run"
    for step in (1, 2, 3):
        leases = []
        writers = []
        for number in range(2):
            leases.append(take(run, "one"))
            writers.append(CheckpointWriter(leases[-1], keep=9))
            values = tf.fill([1700, 1700], float(number))  # More than one request takes.
            writers[-1].save(step, {NAMES[0]: tf.Variable(values)})
        with contextlib.suppress(LeaseLostError):
            writers[0].close()
        writers[1].close()
        for lease in leases:
            lease.close()
        restored = {NAMES[0]: tf.Variable(tf.zeros([1700, 1700]))}
        checkpoint = checkpoints.newest_whole(run)
        assert checkpoint.step == step
        checkpoints.load_variables(checkpoint, restored)
        assert len(set(restored[NAMES[0]].numpy().ravel())) == 1


def test_in_a_bucket_the_newest_whole_checkpoint_is_known_without_reading_it(bucket):
    """By the checksum that storage keeps of every file; an altered one is skipped."""
    run = f"{bucket}/run"
    save_steps(run, 10, 20)
    storage.reconnect()
    assert checkpoints.newest_whole(run).step == 20
    assert storage.request_counts()["read"] == 2  # The lease and the manifest.
    (index,) = (
        stat.path
        for stat in storage.list_files(layout.checkpoint_dir(run, 20))
        if stat.path.endswith(".index")
    )
    content = storage.read_bytes(index)
    storage.write_bytes(index, bytes(len(content)))
    assert checkpoints.newest_whole(run).step == 10
