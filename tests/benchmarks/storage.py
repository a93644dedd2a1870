"""How fast a dataset comes out of a bucket, against the client library's own parallel download
and, where it is installed, against `gcloud storage cp`.

    python -m tests.benchmarks.storage --shards=24 --shard_mb=32 --rounds=5

The server is fake-gcs-server on this machine, so all sides share the processor with it; the
sides of a round run one after the other, and the medians over the rounds are compared. The
shard cache also computes every shard's sha256, the others only its crc32c. gcloud's time includes
its own start.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from google.cloud.storage import Client, transfer_manager

from job import storage
from job.dataset import Shard
from job.shard_cache import ShardCache
from tests.storage_fixtures import make_bucket, run_emulator

WORKERS = 8
LEAST_RATIO = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--shard_mb", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_emulator(f"{folder}/server") as address:
        os.environ["STORAGE_EMULATOR_HOST"] = address
        bucket = make_bucket(address)
        shards = upload_shards(bucket, arguments.shards, arguments.shard_mb * 1_000_000)
        sides = sides_of(bucket, shards, f"{folder}/copy")
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, download in sides.items():
                seconds[name].append(timed(download, f"{folder}/copy"))
        storage.reconnect()
        sides["job.shard_cache"]()
        requests = storage.request_counts()
    report(seconds, arguments.shards * arguments.shard_mb, requests)


def upload_shards(bucket: str, count: int, size: int) -> list[Shard]:
    shards = []
    for number in range(count):
        data = os.urandom(size)
        storage.write_bytes(f"{bucket}/{number:05d}", data)
        shards.append(Shard(f"{number:05d}", 1, size, hashlib.sha256(data).hexdigest()))
    return shards


def sides_of(bucket: str, shards: list[Shard], folder: str) -> dict[str, Callable[[], None]]:
    def ours() -> None:
        with ShardCache(bucket, shards, folder, window_shards=len(shards)) as cache:
            cache.prefetch(range(len(shards)))
            for number in range(len(shards)):
                cache.local_file(number)

    def library(worker_type: str) -> None:
        client = Client()
        source = client.bucket(bucket.removeprefix("gs://"))
        pairs = [(source.blob(shard.file), f"{folder}/{shard.file}") for shard in shards]
        results = transfer_manager.download_many(
            pairs, worker_type=worker_type, max_workers=WORKERS, raise_exception=True
        )
        assert len(results) == len(shards)

    def gcloud() -> None:
        command = ["gcloud", "storage", "cp", f"{bucket}/*", folder]
        environ = {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{os.environ['STORAGE_EMULATOR_HOST']}/",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CONFIG": f"{folder}.gcloud",
        }
        subprocess.run(command, env=os.environ | environ, check=True, capture_output=True)
        assert len(os.listdir(folder)) == len(shards)

    sides = {
        "job.shard_cache": ours,
        "transfer_manager, processes": lambda: library(transfer_manager.PROCESS),
        "transfer_manager, threads": lambda: library(transfer_manager.THREAD),
    }
    return sides | ({"gcloud storage cp": gcloud} if shutil.which("gcloud") else {})


def timed(download: Callable[[], None], folder: str) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    started = time.perf_counter()
    download()
    return time.perf_counter() - started


def report(seconds: dict[str, list[float]], size_mb: int, requests: dict[str, int]) -> None:
    ours = statistics.median(seconds["job.shard_cache"])
    print(f"{f'download of {size_mb} MB':32}{'median':>9}{'range':>16}{'MB/s':>8}{'ratio':>8}")
    for name, times in seconds.items():
        median = statistics.median(times)
        span = f"{min(times):.2f} - {max(times):.2f}"
        print(f"{name:32}{median:7.2f} s{span:>16}{size_mb / median:8.0f}{median / ours:8.2f}")
    print(f"requests of one pass over the dataset: {requests}")
    best = min(
        statistics.median(times) for name, times in seconds.items() if name != "job.shard_cache"
    )
    verdict = "met" if best / ours >= LEAST_RATIO else "MISSED"
    print(
        f"speed against the best of the others: {best / ours:.2f} "
        f"(at least {LEAST_RATIO}: {verdict})"
    )


if __name__ == "__main__":
    main()
