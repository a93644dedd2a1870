"""Two workers over one bucket: when it vanishes, both wait for it."""

import time
from pathlib import Path

import pytest

from job import storage
from job.contract import flags
from job.contract.configs import TrainConfig
from job.run import checkpoints
from tests.fault_proxy import FaultProxy
from tests.integration.test_train_on_storage import copy_to
from tests.multiprocess import start_workers, wait_for_all
from tests.storage_fixtures import bucket, emulator, faulty_bucket, proxy

__all__ = ["bucket", "emulator", "faulty_bucket", "proxy"]

PEER_TIMEOUT_S = 10.0
OUTAGE_S = 1.6 * PEER_TIMEOUT_S


@pytest.mark.slow
def test_a_worker_that_waits_for_a_bucket_is_not_taken_for_lost(
    digits_dataset: str, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """The chief waits longer than --peer_timeout_s to save what it evaluated; its peer stays."""
    data, run = copy_to(faulty_bucket, digits_dataset), f"{faulty_bucket}/run"
    config = flags.parse(
        TrainConfig,
        [
            f"--data={data}", f"--run={run}", f"--cache_dir={tmp_path}", "--head=gap",
            "--width_multiplier=0.03", "--image_size_px=32", "--global_batch_size=24",
            "--precision=float32", "--network_gbps=10", "--steps=40", "--eval_every_steps=10",
            f"--peer_timeout_s={PEER_TIMEOUT_S}",
        ],
    )  # fmt: skip
    command = ["-m", "job.train", *flags.to_args(config)]
    with start_workers(command, num_workers=2, log_dir=tmp_path) as workers:
        while not proxy.count(r"POST .*ifGenerationMatch=0"):  # The first checkpoint.
            assert workers[0].process.poll() is None, workers[0].output()
            time.sleep(0.05)
        proxy.down = True
        time.sleep(OUTAGE_S)
        proxy.down = False
        assert wait_for_all(workers, 200) == [0, 0], workers[0].output()
    assert "storage fails since" in workers[0].output()
    storage.reconnect()
    assert checkpoints.committed_steps(run)[0] == 40
