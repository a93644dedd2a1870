"""How long a checkpoint of the full network holds training up, against a blocking save.

    python -m tests.benchmarks.checkpoint_stall --rounds=5 --batch=4

VGG19 for 101 classes with its momentum (1.12 GB) takes real training steps. Each round saves it
twice to the same storage: once while training waits, once in the background. What is lost in the
background is the time in `save` itself plus whatever the steps take longer than usual until the
checkpoint is committed: the copies that training makes of what the snapshot still holds, and the
processor time that writing, hashing and sending take from it.

With --storage=gs the server is fake-gcs-server on this machine. It stands for another machine, so
it runs at the lowest priority.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from job import precision, storage
from job.checkpoint_writer import CheckpointWriter
from job.config import TrainConfig
from job.exchange_plan import Link, plan_exchange
from job.optimizer import Momentum
from job.train_step import TrainStep
from job.vgg19 import VGG19
from tests.storage_fixtures import make_bucket, run_emulator

CLASSES = 101
MOST_RATIO = 0.15


@dataclass(frozen=True)
class Training:
    """The state of a run, and a function that takes one step on it."""

    variables: dict[str, tf.Variable]
    step: Callable[[], None]

    @property
    def state_bytes(self) -> int:
        return sum(v.shape.num_elements() * v.dtype.size for v in self.variables.values())

    def timed_step(self) -> float:
        started = time.perf_counter()
        self.step()
        return time.perf_counter() - started


@dataclass(frozen=True)
class Held:
    """Seconds by which one save in the background held training up.

    in_save: In the call itself. first_step: By which the next step, which copies what it changes,
    was longer than usual. all_steps: The same for all steps until the checkpoint was committed.
    """

    in_save: float
    first_step: float
    all_steps: float
    steps: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--usual_steps", type=int, default=3, help="undisturbed steps around each")
    parser.add_argument("--width", type=float, default=1.0, help="width of the network")
    parser.add_argument("--storage", choices=("local", "gs"), default="local")
    arguments = parser.parse_args()
    training = make_training(arguments.batch, arguments.width)
    blocking_s: list[float] = []
    held: list[Held] = []
    usual_s: list[float] = []
    with run_directory(arguments.storage) as run:
        writer = CheckpointWriter(run, keep=1)
        for _ in range(arguments.usual_steps):
            training.step()
        for number in range(arguments.rounds):
            blocking_s.append(blocking_save(writer, 2 * number + 1, training))
            training.step()
            around = [training.timed_step() for _ in range(arguments.usual_steps)]
            in_save, steps_s = background_save(writer, 2 * number + 2, training)
            around += [training.timed_step() for _ in range(arguments.usual_steps)]
            usual = statistics.median(around)
            extra = [step_s - usual for step_s in steps_s]
            held.append(Held(in_save, extra[0], sum(extra), len(extra)))
            usual_s += around
        writer.close()
    report(training.state_bytes, usual_s, blocking_s, held)


@contextlib.contextmanager
def run_directory(kind: str) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if kind == "local":
            yield os.path.join(folder, "run")
            return
        os.environ["STORAGE_EMULATOR_HOST"] = address = stack.enter_context(
            run_emulator(os.path.join(folder, "server"), niceness=19)
        )
        yield f"{make_bucket(address)}/run"
        storage.reconnect()


def make_training(batch: int, width: float) -> Training:
    config = TrainConfig(data="unused", run="unused", global_batch_size=batch)
    model = VGG19(CLASSES, width_multiplier=width, dropout_rate=config.dropout_rate)
    optimizer = Momentum.for_training(model.variables_by_name, config)
    arithmetic = precision.choose("auto")
    shapes = {name: tuple(model.variables_by_name[name].shape) for name in optimizer.trainable}
    step = TrainStep(
        strategy=tf.distribute.get_strategy(),
        model=model,
        optimizer=optimizer,
        plan=plan_exchange(shapes, batch, 1, Link(10.0).network_gbps, "auto"),
        precision=arithmetic,
        config=config,
        use_xla=False,
    )
    random = np.random.default_rng(0)
    examples = {
        "images": tf.constant(random.integers(0, 256, (batch, 224, 224, 3), np.uint8)),
        "labels": tf.constant(random.integers(0, CLASSES, batch, np.int32)),
    }
    numbers = iter(range(1_000_000))
    return Training(
        model.variables_by_name | optimizer.slots_by_name,
        lambda: step(examples, step=next(numbers), learning_rate=1e-6) and None,
    )


def blocking_save(writer: CheckpointWriter, step: int, training: Training) -> float:
    started = time.perf_counter()
    writer.save(step, training.variables)
    writer.wait()
    return time.perf_counter() - started


def background_save(
    writer: CheckpointWriter, step: int, training: Training
) -> tuple[float, list[float]]:
    """Give the seconds in the call, and those of every step until the checkpoint is committed."""
    started = time.perf_counter()
    writer.save(step, training.variables)
    in_save = time.perf_counter() - started
    steps_s = [training.timed_step()]
    while writer.busy:
        steps_s.append(training.timed_step())
    writer.wait()
    return in_save, steps_s


def report(size: int, usual_s: list[float], blocking_s: list[float], held: list[Held]) -> None:
    blocking = statistics.median(blocking_s)

    def row(what: str, seconds: list[float]) -> None:
        median = statistics.median(seconds)
        span = f"{min(seconds):.2f} - {max(seconds):.2f}"
        print(f"{what:52}{median:7.2f} s{span:>16}{median / blocking:8.0%}")

    print(f"{f'checkpoint of {size / 1e9:.2f} GB':52}{'median':>9}{'range':>16}{'ratio':>8}")
    row("an undisturbed step", usual_s)
    row("a blocking save", blocking_s)
    row("in the background: in the call", [h.in_save for h in held])
    row("in the background: next step, longer by", [h.first_step for h in held])
    steps = ", ".join(str(h.steps) for h in held)
    row(f"in the background: all ({steps}) steps, longer by", [h.all_steps for h in held])
    stall = statistics.median([h.in_save + max(0.0, h.first_step) for h in held]) / blocking
    lost = statistics.median([h.in_save + max(0.0, h.all_steps) for h in held]) / blocking
    verdict = "met" if stall <= MOST_RATIO else "MISSED"
    print(
        f"stall at the step: {stall:.0%} of a blocking save (at most {MOST_RATIO:.0%}: {verdict})"
    )
    print(f"training time lost until it is committed, shared processors included: {lost:.0%}")


if __name__ == "__main__":
    main()
