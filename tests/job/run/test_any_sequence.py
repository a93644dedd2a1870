"""Whatever happens to the attempts at a run, in any order: a fresh start finds it whole."""

import contextlib
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig
from job.contract.errors import LeaseLostError
from job.contract.evaluation_file import EvaluationNote
from job.dataset.description import Dataset
from job.run import checkpoints, directory, evaluations
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import take
from tests.job.run.test_checkpoints import make_variables
from tests.job.trained_run import make_dataset

OPERATIONS = ("start", "save", "evaluate", "finish", "slow save", "slow evaluate", "slow finish")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data"), (4,))


class Attempt:
    """One attempt at a run, as the chief goes through it."""

    def __init__(self, run: str, dataset: Dataset) -> None:
        config = TrainConfig(data="data", run=run)
        self.lease = take(run, "one", heartbeat_s=1000)
        opening = directory.look(config, dataset, self.lease)
        directory.begin(opening, config, dataset, self.lease)
        self.step = opening.step
        self.writer = CheckpointWriter(self.lease, keep=2, first_step=self.step)

    def save(self) -> None:
        self.step += 1
        self.writer.save(self.step, make_variables(self.step))
        self.writer.wait()

    def evaluate(self) -> None:
        if self.step:
            metrics = {"top1": (self.step * 7 % 5) / 10}  # The same whoever computes it.
            self.writer.record(EvaluationNote(step=self.step, metrics=metrics))
            self.writer.wait()

    def finish(self) -> None:
        self.writer.close()
        self.lease.close()


def committed(run: str) -> dict[str, bytes]:
    return {
        stat.path: storage.read_bytes(stat.path)
        for stat in storage.list_files(run)
        if not stat.path.endswith("lease.json")
    }


@given(st.lists(st.sampled_from(OPERATIONS), max_size=10))
@settings(max_examples=20, deadline=None)
def test_any_sequence_leaves_a_directory_that_a_fresh_start_reads(dataset, operations):
    """A start while another attempt lives makes that one slow: it may commit nothing more."""
    with tempfile.TemporaryDirectory() as run:
        slow: list[Attempt] = []
        now = Attempt(run, dataset)
        newest = 0
        for operation in operations:
            if operation == "start":
                slow.append(now)
                now = Attempt(run, dataset)
                assert now.step == newest
            elif operation.startswith("slow "):
                before = committed(run)
                for attempt in slow:
                    with contextlib.suppress(LeaseLostError):
                        getattr(attempt, operation.removeprefix("slow "))()
                assert committed(run) == before
                if operation == "slow finish":
                    slow.clear()
            elif operation == "finish":
                now.finish()
                now = Attempt(run, dataset)
            else:
                getattr(now, operation)()
            found = checkpoints.newest_whole(run)
            assert (found.step if found else 0) >= newest
            newest = found.step if found else 0
        for attempt in (*slow, now):
            with contextlib.suppress(LeaseLostError):
                attempt.finish()
        last = Attempt(run, dataset)
        assert last.step == newest
        best = evaluations.best_step(run)
        assert best is None or storage.exists(layout.evaluation_file(run, best))
        last.finish()
