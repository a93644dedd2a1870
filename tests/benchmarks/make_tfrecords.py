"""How fast records are made, against the rate at which TensorFlow alone decodes the same files.

    python -m tests.benchmarks.make_tfrecords [--rounds=3] [--copies=5]

Both sides take turns in one run on the unpacked photographs; medians count. A command's rate is
images by wall time from its start to its exit; `steady` leaves out starting Python and its
processes. Targets on 2 cores: shorter_side 0 at least 85 % of TensorFlow's decoding,
shorter_side 256 at least 900 images/s.
"""

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = Path(os.environ.get("FOOD101_DATA", ROOT.parent / "shared" / "data"))
ARCHIVE = PHOTOGRAPHS / "food-101-10class.tar.gz"


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


def tensorflow_decodes(files: list[str]) -> float:
    """Images/s of reading and decoding alone."""
    import tensorflow as tf

    paths = tf.data.Dataset.from_tensor_slices(files)
    images = paths.map(
        lambda path: tf.shape(tf.io.decode_jpeg(tf.io.read_file(path), channels=3)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    start = time.perf_counter()
    count = sum(1 for _ in images)
    assert count == len(files)
    return count / (time.perf_counter() - start)


def command(source: Path, output: Path, *flags: str) -> tuple[float, float]:
    """(images/s of the command, images/s while encoding) of `python -m job.make_tfrecords`."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    args = [sys.executable, "-m", "job.make_tfrecords", f"--source={source}", f"--output={output}"]
    done = subprocess.run(
        [*args, "--max_reject_fraction=0", *flags],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    found = re.search(r"encoded ([\d,]+) images in [\d.]+ s, ([\d,]+) images/s", done.stderr)
    assert found, done.stderr
    count, steady = (float(group.replace(",", "")) for group in found.groups())
    return count / seconds, steady


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=5)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = unpack(folder, options.copies)
        tensorflow_decodes(files[:200])
        for _ in range(options.rounds):
            rates.setdefault("TensorFlow decodes", []).append(tensorflow_decodes(files))
            for side in (0, 256):
                whole, steady = command(
                    folder / "classes", folder / "output", f"--shorter_side={side}"
                )
                rates.setdefault(f"shorter_side {side}, command", []).append(whole)
                rates.setdefault(f"shorter_side {side}, steady", []).append(steady)
            whole, steady = command(ARCHIVE, folder / "output")
            rates.setdefault("tar.gz to 256, 1,000 images, steady", []).append(steady)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ceiling = medians["TensorFlow decodes"]
    print(f"{len(files):,} images, {os.cpu_count()} cores, median of {options.rounds} rounds")
    for name, rate in medians.items():
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        print(f"{name:38}{rate:8,.0f} images/s  {rate / ceiling:5.2f} x  ({spread})")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
