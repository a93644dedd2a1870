"""Training with data and run directory in a bucket, whatever the bucket does meanwhile."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from job import storage
from job.contract import flags, layout
from job.contract.configs import TrainConfig
from job.contract.errors import DeniedError, InputMissingError, StorageUnreachableError
from job.training.trainer import train
from tests.fault_proxy import Fault, FaultProxy
from tests.storage_fixtures import IMPATIENT, bucket, emulator, faulty_bucket, proxy

__all__ = ["bucket", "emulator", "faulty_bucket", "proxy"]

STEPS = 8
OWN_NAME = re.compile("model-[0-9a-f]{8}")
SMALL = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=16",
    "--precision=float32",
    f"--steps={STEPS}",
    "--save_every_steps=3",
    "--log_every_steps=2",
    "--log_every_s=0.1",
    "--log_sync_s=1",
)


def copy_to(bucket: str, dataset: str) -> str:
    """Upload a local dataset directory; returns where it is now."""
    for stat in storage.list_files(dataset):
        storage.upload(stat.path, storage.join(bucket, "data", stat.path[len(dataset) + 1 :]))
    return storage.join(bucket, "data")


def train_on(data: str, run: str, cache: Path) -> None:
    train(
        flags.parse(TrainConfig, [f"--data={data}", f"--run={run}", f"--cache_dir={cache}", *SMALL])
    )


def weights(run: str, folder: Path) -> dict[str, np.ndarray]:
    """Read the last checkpoint, after a copy of it from wherever it is."""
    source = layout.checkpoint_dir(run, STEPS)
    for stat in list(storage.list_files(source)):
        storage.download(stat.path, str(folder / stat.path.rsplit("/", 1)[1]))
    reader = tf.train.load_checkpoint(str(folder))  # By TensorFlow's own note of the prefix.
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def lasting_outputs(run: str) -> set[str]:
    """Name what a run leaves behind, but for what depends on time.

    Event files are named by it, and a save that is due while another is still under way is left
    out. In a bucket, a checkpoint's files carry the name of the attempt that wrote them.
    """
    last = layout.checkpoint_dir(run, STEPS)
    names = [stat.path for stat in storage.list_files(run)]
    return {
        OWN_NAME.sub("model", name.removeprefix(run))
        for name in names
        if "events" not in name and ("/step-" not in name or name.startswith(last))
    }


def after(happened: Callable[[], bool], do: Callable[[], None]) -> threading.Thread:
    """Do something in the background as soon as something else has happened."""

    def wait() -> None:
        while not happened():
            threading.Event().wait(0.01)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_run_over_a_bad_line_ends_with_the_same_weights_and_complete_outputs(
    digits_dataset: str, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """A fifth of all requests fail, and after the first checkpoint nothing answers for a while."""
    train_on(digits_dataset, str(tmp_path / "local"), tmp_path / "cache")
    data, run = copy_to(faulty_bucket, digits_dataset), f"{faulty_bucket}/run"
    proxy.faults.append(Fault(status=503, share=0.2))

    def outage() -> None:
        proxy.down = True
        threading.Event().wait(2.0)
        proxy.down = False

    saved = r"POST .*ifGenerationMatch=0"
    vanishing = after(lambda: proxy.count(saved) > 0, outage)
    train_on(data, run, tmp_path / "cache")
    vanishing.join()
    assert proxy.faults[0].seen > 0
    proxy.faults.clear()

    expected = weights(str(tmp_path / "local"), tmp_path / "a")
    for name, value in weights(run, tmp_path / "b").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert lasting_outputs(run) == lasting_outputs(str(tmp_path / "local"))
    written = [stat.path for stat in storage.list_files(run)]
    for kind in ("train", "test"):
        assert any(path.startswith(f"{run}/logs/{kind}/") for path in written)


@pytest.mark.parametrize("which", ["data", "run"])
def test_an_absent_bucket_is_known_before_any_work(
    which: str, digits_dataset: str, bucket: str, tmp_path: Path
) -> None:
    paths = {"data": digits_dataset, "run": f"{bucket}/run"} | {which: "gs://not-there/x"}
    with pytest.raises(InputMissingError, match="gs://not-there does not exist"):
        train_on(paths["data"], paths["run"], tmp_path)
    assert list(storage.list_files(bucket)) == []


@pytest.mark.parametrize(
    ("requests", "permission"),
    [
        ("^GET", "storage.objects.(get|list)"),
        ("^POST", "storage.objects.create"),
        ("^DELETE", "storage.objects.delete"),
    ],
    ids=["reading", "writing", "deleting"],
)
def test_a_missing_permission_is_known_before_any_work(
    requests: str,
    permission: str,
    digits_dataset: str,
    faulty_bucket: str,
    proxy: FaultProxy,
    tmp_path: Path,
) -> None:
    data = copy_to(faulty_bucket, digits_dataset)
    proxy.requests.clear()
    proxy.faults.append(Fault(status=403, reason="forbidden", paths=requests))
    with pytest.raises(DeniedError, match=permission):
        train_on(data, f"{faulty_bucket}/run", tmp_path)
    assert proxy.count("tfrecord.*alt=media") == 0


def test_a_bucket_that_stays_away_ends_the_run(
    digits_dataset: str, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    data = copy_to(faulty_bucket, digits_dataset)
    storage.reconnect(storage.Patience(deadline_s=0.3, first_wait_s=0.02, longest_wait_s=0.1))
    proxy.down = True
    with pytest.raises(StorageUnreachableError):
        train_on(data, f"{faulty_bucket}/run", tmp_path)
    storage.reconnect(IMPATIENT)
