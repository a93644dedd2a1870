"""How fast a dataset comes out of a bucket, and a checkpoint's file goes into one.

    python -m tests.benchmarks.storage --shards=24 --shard_mb=32 --upload_mb=1120 --rounds=5

The others are the client library's own ways, plain HTTP for an upload, and `gcloud storage cp`
where it is installed; gcloud's time includes its own start. The server is fake-gcs-server on this
machine, so all sides share the processor with it; the sides of a round run one after the other,
and the medians over the rounds are compared. The shard cache also computes every shard's sha256,
the others only its crc32c. Our upload has the server check the crc32c and can be repeated in the
middle; plain HTTP does neither.
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

import requests
from google.cloud.storage import Client, transfer_manager

from job import storage
from job.dataset.description import Shard
from job.dataset.shard_cache import ShardCache
from tests.storage_fixtures import make_bucket, run_emulator

WORKERS = 8
LEAST_RATIO = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--shard_mb", type=int, default=32)
    parser.add_argument("--upload_mb", type=int, default=1120)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_emulator(f"{folder}/server") as address:
        os.environ["STORAGE_EMULATOR_HOST"] = address
        bucket = make_bucket(address)
        shards = upload_shards(bucket, arguments.shards, arguments.shard_mb * 1_000_000)
        downloads = sides_of(bucket, shards, f"{folder}/copy")
        down = measure(downloads, arguments.rounds, f"{folder}/copy")
        storage.reconnect()
        downloads["job.dataset.shard_cache"]()
        requests_sent = storage.request_counts()
        shutil.rmtree(f"{folder}/copy")
        uploads = upload_sides(bucket, address, f"{folder}/file", arguments.upload_mb * 1_000_000)
        up = measure(uploads, arguments.rounds, f"{folder}/copy")
    report("download", arguments.shards * arguments.shard_mb, down)
    print(f"requests of one pass over the dataset: {requests_sent}")
    report("upload", arguments.upload_mb, up)


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
        "job.dataset.shard_cache": ours,
        "transfer_manager, processes": lambda: library(transfer_manager.PROCESS),
        "transfer_manager, threads": lambda: library(transfer_manager.THREAD),
    }
    return sides | ({"gcloud storage cp": gcloud} if shutil.which("gcloud") else {})


def upload_sides(bucket: str, address: str, file: str, size: int) -> dict[str, Callable[[], None]]:
    block = os.urandom(1_000_000)
    with open(file, "wb") as target:
        target.writelines(block for _ in range(size // len(block)))

    def library() -> None:
        Client().bucket(bucket.removeprefix("gs://")).blob("theirs").upload_from_filename(file)

    def plain() -> None:
        url = f"{address}/upload/storage/v1/b/{bucket.removeprefix('gs://')}/o"
        with open(file, "rb") as content:
            query = {"uploadType": "media", "name": "plain"}
            requests.post(url, content, params=query, timeout=300).raise_for_status()

    return {
        "job.storage": lambda: storage.upload(file, f"{bucket}/ours") and None,
        "the client's upload": library,
        "one plain POST": plain,
    }


def measure(
    sides: dict[str, Callable[[], None]], rounds: int, folder: str
) -> dict[str, list[float]]:
    """Give each side's seconds; in each round they run one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, transfer in sides.items():
            seconds[name].append(timed(transfer, folder))
    return seconds


def timed(transfer: Callable[[], None], folder: str) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    started = time.perf_counter()
    transfer()
    return time.perf_counter() - started


def report(what: str, size_mb: int, seconds: dict[str, list[float]]) -> None:
    """Print every side's speed; the first one is ours."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours, *others = medians.values()
    print(f"{f'{what} of {size_mb} MB':32}{'median':>9}{'range':>16}{'MB/s':>8}{'ratio':>8}")
    for name, times in seconds.items():
        median = medians[name]
        span = f"{min(times):.2f} - {max(times):.2f}"
        print(f"{name:32}{median:7.2f} s{span:>16}{size_mb / median:8.0f}{median / ours:8.2f}")
    speed = min(others) / ours
    verdict = "met" if speed >= LEAST_RATIO else "MISSED"
    print(f"speed against the best of the others: {speed:.2f} (at least {LEAST_RATIO}: {verdict})")


if __name__ == "__main__":
    main()
