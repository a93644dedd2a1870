"""How long a checkpoint of the full network holds training up, against a blocking save.

    python -m tests.benchmarks.checkpoint_stall --rounds=5 --batch=4

VGG19 for 101 classes with its momentum (1.12 GB) takes real training steps. Each round saves it
twice to each storage: once while training waits, once in the background. What is lost in the
background is the time in `save` itself plus whatever the steps take longer than usual until the
checkpoint is committed: the copies that training makes of what the snapshot still holds, and the
processor time that writing, hashing and sending take from it. Where training runs on a GPU, the
processor has time to spare; so what a save takes of it is shown too: that of a blocking save, and
of one in the background what the process used beyond its steps' usual share.

The bucket's server is fake-gcs-server on this machine. It stands for another machine, so it runs
at the lowest priority and its processor time is not counted.
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

from job import storage
from job.contract.configs import TrainConfig
from job.distributed.exchange_plan import Link, plan_exchange
from job.model import precision
from job.model.vgg19 import VGG19
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import take
from job.training.optimizer import Momentum
from job.training.step import TrainStep
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

    def timed_step(self) -> "Spent":
        return spent_in(self.step)


@dataclass(frozen=True)
class Spent:
    """Seconds that something took, and processor time of this process meanwhile."""

    wall_s: float
    cpu_s: float


def spent_in(action: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


@dataclass(frozen=True)
class Round:
    """Two saves to the same storage; seconds.

    in_save: In the call itself. first_step: By which the next step, which copies what it changes,
    was longer than usual. all_steps: The same for all steps until the checkpoint was committed.
    background_cpu: Processor time from the call until then, without the steps' usual share.
    """

    usual: Spent
    blocking: Spent
    in_save: float
    first_step: float
    all_steps: float
    background_cpu: float
    steps: int

    @property
    def stall(self) -> float:
        return self.in_save + max(0.0, self.first_step)

    @property
    def lost(self) -> float:
        return self.in_save + max(0.0, self.all_steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--usual_steps", type=int, default=3, help="undisturbed steps around each")
    parser.add_argument("--width", type=float, default=1.0, help="width of the network")
    parser.add_argument("--local", action="store_true", help="leave the bucket out: minutes less")
    arguments = parser.parse_args()
    training = make_training(arguments.batch, arguments.width)
    for _ in range(arguments.usual_steps):
        training.step()
    with run_directories(local=arguments.local) as runs:
        writers = {
            name: CheckpointWriter(take(run, "benchmark"), keep=1) for name, run in runs.items()
        }
        rounds: dict[str, list[Round]] = {name: [] for name in runs}
        for number in range(arguments.rounds):
            for name, writer in writers.items():
                rounds[name].append(
                    take_round(writer, 2 * number + 1, training, arguments.usual_steps)
                )
        for writer in writers.values():
            writer.close()
    print(f"checkpoint of {training.state_bytes / 1e9:.2f} GB, {arguments.rounds} rounds")
    for name, taken in rounds.items():
        report(name, taken)


@contextlib.contextmanager
def run_directories(*, local: bool) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        on_disk = {"local disk": os.path.join(folder, "run")}
        if local:
            yield on_disk
            return
        with run_emulator(os.path.join(folder, "server"), niceness=19) as address:
            os.environ["STORAGE_EMULATOR_HOST"] = address
            yield on_disk | {"bucket": f"{make_bucket(address)}/run"}
            storage.reconnect()


def make_training(batch: int, width: float) -> Training:
    config = TrainConfig(data="unused", run="unused", global_batch_size=batch)
    model = VGG19(CLASSES, width_multiplier=width, dropout_rate=config.dropout_rate)
    optimizer = Momentum.for_training(model.variables_by_name, config, head_is_new=False)
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


def take_round(writer: CheckpointWriter, step: int, training: Training, usual_steps: int) -> Round:
    def blocking_save() -> None:
        writer.save(step, training.variables)
        writer.wait()

    blocking = spent_in(blocking_save)
    training.step()
    around = [training.timed_step() for _ in range(usual_steps)]
    in_save = spent_in(lambda: writer.save(step + 1, training.variables))
    during = [training.timed_step()]
    while writer.busy:
        during.append(training.timed_step())
    rest = spent_in(writer.wait)
    around += [training.timed_step() for _ in range(usual_steps)]
    usual = Spent(
        statistics.median(one.wall_s for one in around),
        statistics.median(one.cpu_s for one in around),
    )
    return Round(
        usual=usual,
        blocking=blocking,
        in_save=in_save.wall_s,
        first_step=during[0].wall_s - usual.wall_s,
        all_steps=sum(one.wall_s - usual.wall_s for one in during),
        background_cpu=in_save.cpu_s + rest.cpu_s + sum(one.cpu_s - usual.cpu_s for one in during),
        steps=len(during),
    )


def report(name: str, rounds: list[Round]) -> None:
    blocking = statistics.median(one.blocking.wall_s for one in rounds)

    def row(what: str, seconds: list[float]) -> None:
        median = statistics.median(seconds)
        span = f"{min(seconds):.2f} - {max(seconds):.2f}"
        print(f"{what:52}{median:7.2f} s{span:>16}{median / blocking:8.0%}")

    print(f"{name:52}{'median':>9}{'range':>16}{'ratio':>8}")
    row("an undisturbed step", [one.usual.wall_s for one in rounds])
    row("a blocking save", [one.blocking.wall_s for one in rounds])
    row("in the background: in the call", [one.in_save for one in rounds])
    row("in the background: call and next step, longer by", [one.stall for one in rounds])
    steps = ", ".join(str(one.steps) for one in rounds)
    row(f"in the background: all ({steps}) steps, longer by", [one.lost for one in rounds])
    row("processor time of a blocking save", [one.blocking.cpu_s for one in rounds])
    row("processor time of one in the background", [one.background_cpu for one in rounds])
    stall = statistics.median(one.stall for one in rounds) / blocking
    verdict = "met" if stall <= MOST_RATIO else "MISSED"
    print(
        f"stall at the step: {stall:.0%} of a blocking save (at most {MOST_RATIO:.0%}: {verdict})"
    )


if __name__ == "__main__":
    main()
