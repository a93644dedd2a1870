"""One training step of VGG19 at 224 px, batch 8: ours, Keras 3's and PyTorch's, interleaved.

    python -m tests.benchmarks.train_step --torch_python PATH [--rounds 5]

PATH is the Python of a virtual environment with torch; without it that side is left out. Where
bfloat16 is only emulated, its step takes minutes: it is then taken once, as the table says.

"Products alone" is what bounds every side here: as many multiplications as a step has, in matrix
products of the best shape and nothing else (tests/benchmarks/step_ceiling.py).
"""

import argparse
import statistics
import sys

from job.model.precision import choose
from tests.benchmarks.step_server import BATCH, Server, Timing

_ONCE_IF_ABOVE_S = 120.0
Side = tuple[str, Server, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--torch_python", help="Python of an environment with torch 2.13 (pip install torch numpy)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    auto = choose("auto").name
    servers = {
        f"ours (auto: {auto})": Server(sys.executable, "tests.benchmarks.step_ours", auto),
        "Keras 3": Server(sys.executable, "tests.benchmarks.step_keras"),
        "Products alone": Server(sys.executable, "tests.benchmarks.step_ceiling"),
    }
    if auto != "float32":
        servers["ours"] = Server(sys.executable, "tests.benchmarks.step_ours", "float32")
    if arguments.torch_python:
        servers["PyTorch"] = Server(arguments.torch_python, "tests.benchmarks.step_torch")
    sides = [(name, server, step) for name, server in servers.items() for step in server.names]
    timings = _measure(sides, arguments.rounds)
    peaks = {name: server.close() for name, server in servers.items()}
    _print_table(timings, peaks)
    _print_ratios(timings)


def _measure(sides: list[Side], rounds: int) -> dict[tuple[str, str], list[Timing]]:
    """Warm each side up, then take one step of each, round after round."""
    first = {(name, step): server.step(step) for name, server, step in sides}
    timings: dict[tuple[str, str], list[Timing]] = {key: [] for key in first}
    for _ in range(rounds):
        for name, server, step in sides:
            key = (name, step)
            if first[key].wall_s > _ONCE_IF_ABOVE_S:
                timings[key] = [first[key]]
            else:
                timings[key].append(server.step(step))
    return timings


def _print_table(timings: dict[tuple[str, str], list[Timing]], peaks: dict[str, float]) -> None:
    print(
        f"{'side':24} {'arithmetic':10} {'median':>8} {'min':>8} {'max':>8} {'CPU time':>9} "
        f"{'images/s':>9} {'steps':>5} {'peak GB':>8}"
    )
    for (name, step), taken in timings.items():
        walls = [timing.wall_s for timing in taken]
        median = statistics.median(walls)
        cpu = statistics.median(timing.cpu_s for timing in taken)
        print(
            f"{name:24} {step:10} {median:7.2f}s {min(walls):7.2f}s {max(walls):7.2f}s {cpu:8.2f}s "
            f"{BATCH / median:9.2f} {len(taken):5} {peaks[name]:8.2f}"
        )


def _print_ratios(timings: dict[tuple[str, str], list[Timing]]) -> None:
    (ours, *others) = timings
    for other in others:
        # Round by round, so that what else the machine did falls on both sides alike.
        pairs = list(zip(timings[other], timings[ours], strict=False))
        wall = statistics.median(theirs.wall_s / mine.wall_s for theirs, mine in pairs)
        cpu = statistics.median(theirs.cpu_s / mine.cpu_s for theirs, mine in pairs)
        print(
            f"{ours[0]} is {wall:.2f} x as fast as {' '.join(other)} "
            f"({cpu:.2f} x by CPU time, {len(pairs)} pairs)"
        )


if __name__ == "__main__":
    main()
