"""Estimates: the published sizes of VGG19, and sentences that a person can read."""

import pytest

from launcher.describe import sizing, summary
from launcher.describe.cpu_speed import CLOUD_GFLOPS, gflops_per_core, of_flags
from launcher.describe.dataset_facts import FOOD101
from launcher.describe.estimate import Estimate, estimate, flops_per_image
from launcher.describe.spec import JobSpec
from tests.launcher.describe.test_training_spec import prepare
from tests.launcher.spec_examples import BASE


def of(*flags: str, **given: object) -> tuple[JobSpec, Estimate]:
    made = prepare(*flags, **given)  # type: ignore[arg-type]
    return made.spec, estimate(made.spec, made.config, FOOD101)


def test_the_networks_size_is_the_published_one() -> None:
    """139,984,037 parameters and about 118 GFLOP per training image of 224 px."""
    config = prepare().config
    assert sizing.parameters(config) == 139_984_037
    assert flops_per_image(config, 101) / 1e9 == pytest.approx(118, rel=0.01)


def test_steps_of_the_original_recipe() -> None:
    """20 epochs of 75,750 images in batches of 64 round up to 23,672 steps."""
    assert of()[1].steps == 23_672
    assert of("--steps=7")[1].steps == 7


def test_memory_grows_with_the_batch_and_shrinks_with_accumulation() -> None:
    """More images at once need more memory, parts of them less."""
    small = of(gpus=8)[1].memory_bytes
    large = of(gpus=1)[1].memory_bytes
    parts = of("--accumulate_steps=8", gpus=1)[1].memory_bytes
    assert small < large
    assert parts < large


def test_factors_save_traffic_for_eight_gpus() -> None:
    """The plan is the trainer's own, in words."""
    _, made = of("--global_batch_size=512", gpus=8)
    assert made.exchange.startswith("fc6, fc7")
    assert "980 MB all dense" in made.exchange
    assert of(gpus=1)[1].exchange == ""
    assert of("--exchange=dense", gpus=8)[1].exchange.startswith("everything dense")
    assert of("--exchange=bfloat16", gpus=8)[1].exchange.split(":")[0].endswith("in bfloat16")


def test_the_summary_says_everything() -> None:
    """Workers x GPUs, image, data, run, steps, memory, exchange, time with its assumptions."""
    made = prepare(gpus=16, accelerator="nvidia-l4", queue="team-a", backend="jobset")
    rows = dict(
        summary.training_rows(
            made.spec, made.config, FOOD101, estimate(made.spec, made.config, FOOD101)
        )
    )
    assert rows["runs"] == "2 workers x 8 GPUs (nvidia-l4), as a JobSet in queue team-a"
    assert rows["image"].startswith(BASE["image"])
    assert "23,672 of 64 images (20 epochs), 4 on each of 16 replicas" in rows["steps"]
    assert "of 22.5 GiB" in rows["memory"]
    assert "35% of 121 TFLOP/s on nvidia-l4" in rows["time"]
    assert "10 Gbit/s" in rows["time"]


def test_too_little_memory_is_said_with_what_helps() -> None:
    """A batch that cannot fit names the flag that makes it fit."""
    made = prepare(
        "--global_batch_size=2048", "--precision=float32", gpus=1, accelerator="nvidia-l4"
    )
    rows = dict(
        summary.training_rows(
            made.spec, made.config, FOOD101, estimate(made.spec, made.config, FOOD101)
        )
    )
    assert "MORE than the 22.5 GiB there are: raise --accumulate_steps" in rows["memory"]


def test_on_this_machine_time_follows_what_its_cores_can() -> None:
    """A cluster's cores are unknown, so the same slow ones are assumed there everywhere."""
    made = prepare(gpus=0, backend="local", run="runs/here", data="data")
    slow = estimate(made.spec, made.config, FOOD101)
    fast = estimate(made.spec, made.config, FOOD101, cpu_gflops=600.0)
    assert slow.compute_s == pytest.approx(10 * fast.compute_s, rel=0.01)
    assert of_flags("flags\t: fpu avx2 avx512f avx512_bf16") == 300.0
    assert of_flags("flags\t: fpu avx2") == of_flags("") == CLOUD_GFLOPS
    assert gflops_per_core(prepare(gpus=0).spec) == CLOUD_GFLOPS
    assert gflops_per_core(made.spec) >= CLOUD_GFLOPS


def test_a_tiny_networks_step_has_a_floor() -> None:
    """Its arithmetic is nothing; starting some hundred operations is not."""
    tiny = of("--width_multiplier=0.0625", "--image_size_px=32", "--head=gap", gpus=0)[1]
    assert 0.01 < tiny.compute_s < 0.05
