"""Looking from inside a pod: what is there is told, what is missing is named."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from job.contract import flags, layout
from job.contract.configs import TrainConfig
from job.dataset import description
from job.dataset.description import Dataset, Shard, Split
from job.training import preflight


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    data = tmp_path / "data"
    data.mkdir()
    shard = Shard(layout.shard_file("train", 0, 1), 3, 12, "0" * 64)
    (data / shard.file).write_bytes(b"x" * 12)
    made = Dataset(str(data), "tiny", ("a", "b"), {"train": Split((shard,)), "test": Split()})
    (data / layout.DATASET_FILE).write_bytes(description.to_json(made))
    return TrainConfig(data=str(data), run=str(tmp_path / "run"))


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[bool, str]]:
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {item["about"]: (item["ok"], item["text"]) for item in items}


def test_everything_is_there(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight.check(config) == 0
    found = told(capsys)
    assert found["data"] == (True, "3 training images of 2 classes in 1 shards")
    assert found["run"][0]
    assert not list(Path(config.run).iterdir()), "the run directory is left as it was"


def test_what_is_missing_is_named(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is looked at, and the exit code is the first problem's."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    broken = dataclasses.replace(
        config, data=str(tmp_path / "no"), run=str(tmp_path / "file" / "run"),
        init_checkpoint=str(tmp_path / "vgg_19.ckpt"),
    )  # fmt: skip
    assert preflight.check(broken) == 66
    found = told(capsys)
    assert {name for name, (ok, _) in found.items() if not ok} >= {"data", "run", "init_checkpoint"}
    assert "vgg_19.ckpt" in found["init_checkpoint"][1]


def test_a_shard_of_another_size_is_named(
    config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(config.data, layout.shard_file("train", 0, 1)).write_bytes(b"short")
    assert preflight.check(config) == 66
    assert "is not as large as" in told(capsys)["data"][1]


DRIVER = """
#include <string.h>
/* What NVIDIA's management library answers on a machine with two L4. */
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *to, unsigned length) { strcpy(to, "580.65.06"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { *to = 13000; return 0; }
int nvmlDeviceGetCount_v2(unsigned *to) { *to = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **to) {
  *to = (void *)(1L + index); return 0;
}
int nvmlDeviceGetName(void *device, char *to, unsigned length) {
  strcpy(to, "NVIDIA L4"); return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *to) {
  to->total = 24152899584ULL; to->free = 23622320128ULL * (unsigned long)device / 2; return 0;
}
"""


@pytest.fixture
def two_gpus(tmp_path: Path) -> dict[str, str]:
    """An environment in which a driver's library is found and shows two GPUs."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("not run: it needs a C compiler for the library of a driver")
    (tmp_path / "driver.c").write_text(DRIVER, encoding="utf-8")
    library = tmp_path / "lib64" / "libnvidia-ml.so.1"
    library.parent.mkdir()
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    return dict(os.environ) | {"LD_LIBRARY_PATH": str(library.parent)}


def looked(environ: dict[str, str], config: TrainConfig) -> dict[str, tuple[bool, str]]:
    """Run the look as a pod does."""
    command = [sys.executable, "-m", "job.preflight", *flags.to_args(config)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    items = [json.loads(line) for line in ended.stdout.splitlines()]
    return {item["about"]: (item["ok"], item["text"]) for item in items}


def test_the_gpus_of_the_driver_are_told_and_tensorflow_for_cpus_is_found_out(
    config: TrainConfig, two_gpus: dict[str, str]
) -> None:
    """Only what is true is told: nothing of an exchange between GPUs that are not used."""
    found = looked(two_gpus | {"GPUS_PER_WORKER": "2"}, config)
    assert found["driver"] == (
        True,
        "2 x NVIDIA L4, 22.5 GiB (at least 11.0 GiB of it free); driver 580.65.06, which runs CUDA "
        "up to 13.0",
    )
    assert found["libraries"] == (
        False,
        "the image's TensorFlow is for CPUs, and the job asks for 2 GPUs",
    )
    assert not {"compiled", "exchange"} & found.keys()


@pytest.mark.slow
def test_fewer_gpus_than_asked_for_are_counted(
    config: TrainConfig, two_gpus: dict[str, str]
) -> None:
    found = looked(two_gpus | {"GPUS_PER_WORKER": "8"}, config)
    assert found["driver"] == (False, "the driver shows 2 of the 8 GPUs asked for")


def test_without_a_driver_it_says_where_it_looked(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPUS_PER_WORKER", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/nvidia/lib64")
    assert preflight.check(config) == 2
    ok, text = told(capsys)["driver"]
    assert not ok
    assert "looked for libnvidia-ml.so.1 in /usr/local/nvidia/lib64" in text


EXCHANGE = """
import tensorflow as tf
from job.distributed import gpu_facts
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
devices = [f"CPU:{index}" for index in range(4)]
for device in devices[:2]:
    gpu_facts.run_compiled(device)
print(gpu_facts.describe_all_reduce(4, 8 << 20, gpu_facts.measure_all_reduce(devices, 8 << 20)))
"""


def test_the_exchange_that_is_measured_is_right_on_several_devices() -> None:
    """Logical CPUs stand for GPUs: the same code finds the same sum on all of them."""
    command = [sys.executable, "-c", EXCHANGE]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("an all-reduce of 8 MiB between 4 GPUs takes ")
    assert said.endswith(" GB/s of bus bandwidth\n")
