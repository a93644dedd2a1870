"""How fast records are made, against the rate at which TensorFlow alone decodes the same files.

    python -m tests.benchmarks.make_tfrecords [--rounds=3] [--copies=5]

Both sides take turns in one run on the unpacked photographs; medians count. A command's rate is
images by wall time from its start to its exit; `steady` leaves out starting Python and its
processes. `by CPU` is what all cores would do at the processor time that was used: on a machine
that others use too it is the fairer number. Targets on 2 cores: shorter_side 0 at least 85 % of
TensorFlow's decoding, shorter_side 256 at least 900 images/s.
"""

import argparse
import collections
import contextlib
import os
import re
import resource
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = Path(os.environ.get("FOOD101_DATA", ROOT.parent / "shared" / "data"))
ARCHIVE = PHOTOGRAPHS / "food-101-10class.tar.gz"
CORES = os.cpu_count() or 1
CEILING = "TensorFlow decodes"


def unpack(folder: Path, copies: int) -> list[str]:
    """Lay out the photographs `copies` times as class folders; return the files of all."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    images = sorted((folder / "unpacked/food-101/images").glob("*/*.jpg"))
    for copy in range(copies):
        for image in images:
            target = folder / "classes" / image.parent.name / f"{copy}-{image.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(image, target)
    return [str(path) for path in (folder / "classes").glob("*/*.jpg")]


@dataclass(frozen=True)
class Rates:
    """Images/s: of the whole, without the start, and by processor time on all cores."""

    whole: float
    steady: float
    by_cpu: float


def own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def watched_cpu_s(process: psutil.Popen) -> float:
    """Wait for a process; the processor time of it and of everything it started."""
    used: dict[int, float] = {}
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    used[one.pid] = times.user + times.system
        time.sleep(0.05)
    return sum(used.values())


def tensorflow_decodes(files: list[str]) -> Rates:
    """Reading and decoding alone, by as many threads as TensorFlow likes."""
    import tensorflow as tf

    paths = tf.data.Dataset.from_tensor_slices(files)
    images = paths.map(
        lambda path: tf.shape(tf.io.decode_jpeg(tf.io.read_file(path), channels=3)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    start, cpu_before = time.perf_counter(), own_cpu_s()
    count = sum(1 for _ in images)
    assert count == len(files)
    rate = count / (time.perf_counter() - start)
    return Rates(rate, rate, count * CORES / (own_cpu_s() - cpu_before))


def command(source: Path, output: Path, *flags: str) -> Rates:
    """`python -m job.make_tfrecords` with everything that belongs to it."""
    shutil.rmtree(output, ignore_errors=True)
    args = [sys.executable, "-m", "job.make_tfrecords", f"--source={source}", f"--output={output}"]
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = psutil.Popen([*args, "--max_reject_fraction=0", *flags], cwd=ROOT, stderr=log)
        cpu = watched_cpu_s(process)
        seconds = time.perf_counter() - start
        log.seek(0)
        text = log.read()
    assert process.returncode == 0, text
    found = re.search(r"encoded ([\d,]+) images in [\d.]+ s, ([\d,]+) images/s", text)
    assert found, text
    count, steady = (float(group.replace(",", "")) for group in found.groups())
    return Rates(count / seconds, steady, count * CORES / cpu)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=5)
    options = parser.parse_args()
    rates: dict[str, list[Rates]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = unpack(folder, options.copies)
        tensorflow_decodes(files[:200])
        for _ in range(options.rounds):
            rates[CEILING].append(tensorflow_decodes(files))
            for side in (0, 256):
                source, output = folder / "classes", folder / "output"
                measured = command(source, output, f"--shorter_side={side}")
                rates[f"shorter_side {side}"].append(measured)
            rates["tar.gz, 1,000 images, 256"].append(command(ARCHIVE, output))
    print(f"{len(files):,} images, {CORES} cores, medians of {options.rounds} rounds, images/s")
    print_table(rates)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:,.0f} MiB")


def print_table(rates: dict[str, list[Rates]]) -> None:
    """Print medians and, in brackets, the ratio to what TensorFlow decodes."""
    columns = ("whole", "steady", "by_cpu")
    print(" " * 28 + "".join(f"{column:>18}" for column in columns))
    medians = {
        name: {column: statistics.median(getattr(r, column) for r in all_) for column in columns}
        for name, all_ in rates.items()
    }
    for name, row in medians.items():
        cells = (f"{row[c]:9,.0f} ({row[c] / medians[CEILING][c]:4.2f} x)" for c in columns)
        print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
