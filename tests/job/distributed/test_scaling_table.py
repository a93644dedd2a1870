"""The prediction of how training scales."""

import subprocess
import sys
from pathlib import Path

import pytest

from job.contract.configs import ScalingConfig
from job.distributed.machines import MACHINES
from job.distributed.scaling_table import (
    GPUS,
    GPUS_OF_MACHINES,
    NETWORKS_GBPS,
    predict,
    predict_machines,
    scaling_table,
    write_plot,
)

CONFIG = ScalingConfig()


@pytest.mark.parametrize("gbps", NETWORKS_GBPS)
@pytest.mark.parametrize("gpus", GPUS)
def test_the_plan_is_never_predicted_to_be_slower_than_dense(gpus: int, gbps: float) -> None:
    """Where factors cost more, the plan is dense; nothing beats no exchange at all."""
    dense, planned = (predict(CONFIG, gpus, gbps, mode) for mode in ("dense", "auto"))
    assert planned.step_s <= dense.step_s
    assert planned.images_per_s <= gpus * CONFIG.images_per_s * (1 + 1e-9)


def test_one_gpu_loses_nothing() -> None:
    """There is nobody to exchange with."""
    alone = predict(CONFIG, 1, 10, "dense")
    assert alone.efficiency == 1
    assert alone.images_per_s == pytest.approx(CONFIG.images_per_s)


def test_the_table_states_its_assumptions() -> None:
    """A reader can tell what the numbers rest on."""
    table = scaling_table(ScalingConfig(images_per_s=123.0, product_tflops=7.0))
    assert "one GPU alone trains on 123 images/s in batches of 64" in table
    assert "products of factors run at 7 TFLOP/s" in table
    assert table.count("Gbit/s between workers") == len(NETWORKS_GBPS)


@pytest.mark.parametrize("name", MACHINES)
def test_more_machines_are_faster_though_less_efficient(name: str) -> None:
    """Each of them has eight GPUs; the plan is never slower than dense."""
    steps = [
        (predict_machines(CONFIG, MACHINES[name], gpus, "auto"),
         predict_machines(CONFIG, MACHINES[name], gpus, "dense"))
        for gpus in GPUS_OF_MACHINES
    ]  # fmt: skip
    assert all(planned.step_s <= dense.step_s for planned, dense in steps)
    speeds = [planned.images_per_s for planned, _ in steps]
    assert speeds == sorted(speeds)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    """Written in the format of its suffix."""
    write_plot(CONFIG, str(tmp_path / "scaling.png"))
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["scaling.txt", "missing/scaling.png"])
def test_a_plot_that_cannot_be_written_ends_in_one_line(tmp_path: Path, name: str) -> None:
    """No traceback for a wrong suffix or a folder that is not there."""
    ended = subprocess.run(
        [sys.executable, "-m", "job.scaling", f"--plot={tmp_path / name}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: plot ")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""
