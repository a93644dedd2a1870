"""Real processes connected by TensorFlow: they start together, and none outlives a lost peer."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from job.contract.configs import TrainConfig
from job.contract.errors import JobError
from job.distributed.cluster import read_cluster
from job.distributed.strategy import connect
from tests.multiprocess import Worker, free_ports, start_workers, wait_for_all

PEER_TIMEOUT_S = 8.0


def step_until_a_peer_is_lost(cluster_timeout_s: float) -> None:
    """The program of one worker: sum over all replicas for ever; a JobError gives the exit code."""
    config = TrainConfig(
        data="unused",
        run="unused",
        peer_timeout_s=PEER_TIMEOUT_S,
        cluster_timeout_s=cluster_timeout_s,
    )
    try:
        cluster = read_cluster(os.environ)
        strategy = connect(cluster, config, ("CPU:0",))
        _step_for_ever(strategy, cluster)
    except JobError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(error.exit_code)


def _step_for_ever(strategy, cluster) -> None:  # type: ignore[no-untyped-def]
    import tensorflow as tf

    from job.distributed.peer_loss import naming_lost_peers

    @tf.function(autograph=False)
    def step():  # type: ignore[no-untyped-def]
        def replica():  # type: ignore[no-untyped-def]
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.ones([1000]))

        return strategy.run(replica)

    with naming_lost_peers(cluster):
        while True:
            step()
            print("stepped", flush=True)
            time.sleep(0.05)


def start(tmp_path: Path, num_workers: int, **keywords):  # type: ignore[no-untyped-def]
    timeout_s = keywords.pop("cluster_timeout_s", 120.0)
    return start_workers(
        ["-m", "tests.integration.test_lost_workers", str(timeout_s)],
        num_workers=num_workers,
        log_dir=tmp_path,
        **keywords,
    )


def wait_until_stepping(workers: list[Worker]) -> None:
    deadline = time.monotonic() + 120
    while not all("stepped" in worker.output() for worker in workers):
        for worker in workers:
            assert worker.process.poll() is None, worker.output()
        assert time.monotonic() < deadline, workers[0].output()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("num_workers", "victim", "how"),
    [(3, 1, signal.SIGKILL), (2, 0, signal.SIGSTOP)],
    ids=["killed", "stopped-chief"],
)
def test_survivors_leave_and_name_the_lost_worker(
    tmp_path: Path, num_workers: int, victim: int, how: signal.Signals
) -> None:
    """A killed worker and a chief that stands still end the others with 144, in time."""
    with start(tmp_path, num_workers, chief=True) as workers:
        wait_until_stepping(workers)
        workers[victim].signal(how)
        survivors = [worker for worker in workers if worker.index != victim]
        assert set(wait_for_all(survivors, timeout_s=60)) == {144}
        for survivor in survivors:
            assert f"PeerLostError: lost worker {victim} (127.0.0.1:" in survivor.output()


def test_a_worker_that_never_comes_is_named(tmp_path: Path) -> None:
    """Who did come leaves with 145 instead of waiting for ever."""
    with start(tmp_path, 2, absent=[1], cluster_timeout_s=2.0) as workers:
        assert wait_for_all(workers, timeout_s=60) == [145]
        output = workers[0].output()
        assert "1 of 2 workers did not come within 2 s: worker 1 (127.0.0.1:" in output


def test_a_peer_lost_between_its_answer_and_the_connection_ends_the_first_worker(
    tmp_path: Path,
) -> None:
    """TensorFlow would wait for ever, holding the interpreter; the deadline ends it."""
    own, other = free_ports(2)
    addresses = [f"127.0.0.1:{own}", f"127.0.0.1:{other}"]
    with (
        # It answers the knock, and then never registers.
        socket.create_server(("127.0.0.1", other)),
        start(tmp_path, 2, absent=[1], addresses=addresses, cluster_timeout_s=4.0) as workers,
    ):
        assert wait_for_all(workers, timeout_s=60) == [145]
        assert "one was lost before all were connected" in workers[0].output()


if __name__ == "__main__":
    step_until_a_peer_is_lost(float(sys.argv[1]))
