"""Training jobs that are small and still go wrong in all the ways that large ones do."""

import numpy as np
import tensorflow as tf

from job.run import checkpoints
from tests.cluster.waiting import await_condition

STEPS = 240

FLAGS = (
    "--head=gap",
    "--width_multiplier=0.03",
    "--image_size_px=32",
    "--global_batch_size=16",
    "--learning_rate=0.01",
    "--precision=float32",
    "--eval_every_steps=100000",
    "--save_every_steps=20",
    "--log_every_s=1",
    "--log_sync_s=2",
    # A node of two CPUs with other things to do may pause a worker for a while.
    "--peer_timeout_s=30",
    "--network_gbps=10",
)


def submit(
    backend: str, name: str, data: str, run: str, *options: str, steps: int = STEPS
) -> list[str]:
    """Give what is typed to train on two workers without GPUs."""
    return [
        *("submit", "--backend", backend, "--gpus", "0", "--workers", "2", "--name", name),
        *("--data", data, "--run", run, *options, "--", *FLAGS, f"--steps={steps}"),
    ]


def await_checkpoint(run: str, after: int = 0, timeout_s: float = 240) -> int:
    """Wait until a run has a checkpoint of a later step; gives the step."""
    return await_condition(
        f"{run} has a checkpoint after step {after}",
        lambda: max((step for step in checkpoints.committed_steps(run) if step > after), default=0),
        timeout_s=timeout_s,
        every_s=0.3,
    )


def weights(run: str) -> dict[str, np.ndarray]:
    """Read all variables of a run's newest checkpoint."""
    found = checkpoints.find_checkpoint(run, "latest")
    with checkpoints.local_copy(found) as prefix:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Compare all variables of two checkpoints."""
    assert one.keys() == other.keys()
    differing = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not differing, f"{len(differing)} of {len(one)} variables differ: {differing[:5]}"
