"""Full VGG19 trained by one process, and by several that share its cores, at one global batch.

    python -m tests.benchmarks.workers_rate --data DATASET --workers 2

DATASET has images of 224 px or more. Each side is the real `launcher submit --backend local`, has
all cores of this machine (divided among its workers) and takes the same global batches; sides take
turns, and the numbers are medians over the steps but for the first two of each turn. What several
lose against one is what they exchange, and what each does for itself: the update of all weights.
"""

import argparse
import itertools
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from tests.multiprocess import ROOT

WARM_UP = 2
STEP = re.compile(r"\bstep (\d+)/")
FLAGS = ("--precision=float32", "--steps=100000", "--save_every_s=100000", "--log_every_s=0.1")


def step_seconds(data: str, workers: int, batch: int, steps: int) -> list[float]:
    """Train for so many steps after the first ones; give the seconds of each."""
    with tempfile.TemporaryDirectory() as run:
        command = [
            *(sys.executable, "-m", "launcher", "submit", "--backend=local", "--gpus=0"),
            *(f"--workers={workers}", f"--data={data}", f"--run={run}", "--"),
            *(*FLAGS, f"--global_batch_size={batch}"),
        ]
        moments: list[float] = []
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as job:
            assert job.stdout is not None
            lines = []
            for line in job.stdout:
                lines.append(line)
                if STEP.search(line):
                    moments.append(time.perf_counter())
                if len(moments) == WARM_UP + steps:
                    break
            else:
                sys.exit("".join(lines))
            for _ in range(2):  # The second one ends it without a checkpoint.
                job.send_signal(signal.SIGINT)
                time.sleep(0.5)
            job.stdout.read()
    moments = moments[WARM_UP - 1 :]
    return [after - before for before, after in itertools.pairwise(moments)]


def main() -> None:
    """Parse the command line, measure by turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="global batch size")
    parser.add_argument("--steps", type=int, default=8, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], arguments.workers: []}
    for _ in range(arguments.rounds):
        for workers, all_seconds in seconds.items():
            all_seconds += step_seconds(arguments.data, workers, arguments.batch, arguments.steps)
    rates = {n: arguments.batch / statistics.median(values) for n, values in seconds.items()}
    for workers, rate in rates.items():
        print(f"{workers} worker{'s' * (workers > 1)}: {rate:.2f} images/s")
    print(f"ratio: {rates[arguments.workers] / rates[1]:.2f}")


if __name__ == "__main__":
    main()
