"""Real processes with a real TF_CONFIG on free ports: started together, never left behind.

Two ways to use it:

    with start_workers(["-m", "job.train", ...], num_workers=2, log_dir=tmp_path) as workers:
        workers[1].kill()
        codes = wait_for_all(workers, timeout_s=60)

    values = call_in_workers(my_function, num_workers=2, log_dir=tmp_path, timeout_s=60, steps=3)

The second one calls a function of a test module, by name, in each of the processes and returns
what the calls return. The function takes and gives what `pickle` can carry.
"""

import contextlib
import importlib.util
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.process import startup

ROOT = Path(__file__).resolve().parent.parent
# Below the range from which Linux takes the ports of outgoing connections.
PORT_RANGE = range(20_000, 32_000)
LOG_TAIL_BYTES = 6_000


@dataclass(frozen=True)
class Worker:
    """One process of a cluster and the file that takes all it prints."""

    index: int
    process: subprocess.Popen[bytes]
    log_file: Path

    def output(self) -> str:
        """Give what the process has printed so far, stdout and stderr together."""
        return self.log_file.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone, as a kubelet or an operator would."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process at once, as a lost node does."""
        self.process.kill()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end of this process and give its exit code.

        Raises:
            TimeoutError: The process still runs; the end of its output is in the message.
        """
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            tail = self.output()[-LOG_TAIL_BYTES:]
            raise TimeoutError(
                f"worker {self.index} still runs after {timeout_s:g} s; its output ends with:\n"
                f"{tail}"
            ) from None


def free_ports(count: int) -> list[int]:
    """Find ports on which nothing listens now."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(PORT_RANGE, len(PORT_RANGE)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"only {len(ports)} of {count} ports are free")


def tf_config(addresses: Sequence[str], worker: int, *, chief: bool = False) -> str:
    """Write a TF_CONFIG as the TFJob operator does: workers only, or a chief and workers."""
    if not chief:
        cluster = {"worker": list(addresses)}
        task = {"type": "worker", "index": worker}
    else:
        cluster = {"chief": [addresses[0]], "worker": list(addresses[1:])}
        if worker == 0:
            task = {"type": "chief", "index": 0}
        else:
            task = {"type": "worker", "index": worker - 1}
    return json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})


@contextlib.contextmanager
def start_workers(
    arguments: Sequence[str] | Callable[[int], Sequence[str]],
    *,
    num_workers: int,
    log_dir: Path,
    env: dict[str, str] | None = None,
    absent: Sequence[int] = (),
    chief: bool = False,
    threads: int = 1,
    prefix: Callable[[int], Sequence[str]] = lambda worker: (),
    addresses: Sequence[str] | None = None,
) -> Iterator[list[Worker]]:
    """Start Python processes that form one cluster; kill what is left of them at the end.

    Args:
        arguments: What follows `python`, for all or by the worker's index.
        num_workers: Size of the cluster.
        log_dir: Receives `worker-<i>.log`.
        env: Variables to set beside this process's own.
        absent: Workers that are in TF_CONFIG but never started.
        chief: Whether worker 0 is called the chief.
        threads: Threads TensorFlow may use in each process.
        prefix: Command in front of `python`, by the worker's index: `ip netns exec ...`.
        addresses: host:port of each worker; free ports on this machine if not given.
    """
    where = addresses or [f"127.0.0.1:{port}" for port in free_ports(num_workers)]
    workers: list[Worker] = []
    try:
        for index in range(num_workers):
            if index in absent:
                continue
            own = arguments(index) if callable(arguments) else arguments
            log_file = log_dir / f"worker-{index}.log"
            with log_file.open("wb") as log:
                process = subprocess.Popen(
                    [*prefix(index), sys.executable, *own],
                    cwd=ROOT,
                    env=_environment(where, index, chief, threads) | (env or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            workers.append(Worker(index, process, log_file))
        yield workers
    finally:
        for worker in workers:
            # Also ends a stopped process and the children that it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()


def _environment(
    addresses: Sequence[str], worker: int, chief: bool, threads: int
) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "TF_CONFIG": tf_config(addresses, worker, chief=chief),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
    }


def wait_for_all(workers: Sequence[Worker], timeout_s: float) -> list[int]:
    """Wait for all workers together and give their exit codes.

    Raises:
        TimeoutError: One of them still runs after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    return [worker.wait(max(0.0, deadline - time.monotonic())) for worker in workers]


def call_in_workers(
    function: Callable[..., Any],
    *,
    num_workers: int,
    log_dir: Path,
    timeout_s: float,
    threads: int = 1,
    env: dict[str, str] | None = None,
    prefix: Callable[[int], Sequence[str]] = lambda worker: (),
    addresses: Sequence[str] | None = None,
    **keywords: Any,
) -> list[Any]:
    """Call a module-level function in every process of a new cluster; give the returned values.

    Raises:
        RuntimeError: A process ended otherwise than by returning; its output is in the message.
        TimeoutError: A process still runs after `timeout_s`.
    """
    call_file = log_dir / "call.pickle"
    call_file.write_bytes(pickle.dumps(keywords))
    source = str(Path(function.__code__.co_filename).resolve())

    def result_file(worker: int) -> Path:
        return log_dir / f"result-{worker}.pickle"

    def arguments(worker: int) -> list[str]:
        files = [str(call_file), str(result_file(worker))]
        return ["-m", "tests.multiprocess", source, function.__name__, *files]

    with start_workers(
        arguments,
        num_workers=num_workers,
        log_dir=log_dir,
        env=env,
        threads=threads,
        prefix=prefix,
        addresses=addresses,
    ) as workers:
        codes = wait_for_all(workers, timeout_s)
        for worker, code in zip(workers, codes, strict=True):
            if code != 0:
                tail = worker.output()[-LOG_TAIL_BYTES:]
                raise RuntimeError(f"worker {worker.index} ended with {code}:\n{tail}")
    return [pickle.loads(result_file(index).read_bytes()) for index in range(num_workers)]


def _serve_call(source: str, function_name: str, call_file: str, result_file: str) -> None:
    startup.prepare()
    spec = importlib.util.spec_from_file_location("called_in_worker", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    keywords = pickle.loads(Path(call_file).read_bytes())
    value = getattr(module, function_name)(**keywords)
    Path(result_file).write_bytes(pickle.dumps(value))


if __name__ == "__main__":
    _serve_call(*sys.argv[1:])
