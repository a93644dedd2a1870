"""A real server process: right answers, bounded in every direction, and an end that loses none."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests

from job import storage
from job.contract.configs import ExportConfig, PredictConfig
from job.contract.errors import ExitCode
from job.prediction.parts import decode_rows
from job.prediction.predictor import predict
from job.serving.exporter import export
from tests.job.pictures import write_files
from tests.job.trained_run import CLASSES, make_dataset, make_run, noise_jpeg

PREDICT = "/v1/models/food:predict"


class Served:
    """A running server and where it listens."""

    def __init__(self, process: subprocess.Popen[str], said: list[str]) -> None:
        self.process = process
        self.said = said
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, *images: bytes) -> requests.Response:
        instances = [{"images": {"b64": base64.b64encode(one).decode()}} for one in images]
        return requests.post(self.url + PREDICT, json={"instances": instances}, timeout=60)

    def version(self) -> str:
        status = requests.get(f"{self.url}/v1/models/food", timeout=60).json()
        return str(status["model_version_status"][0]["version"])

    def wait_for(self, pattern: str) -> re.Match[str]:
        while True:
            for line in list(self.said):
                if match := re.search(pattern, line):
                    return match
            assert self.process.poll() is None, self.said
            time.sleep(0.02)


@contextmanager
def running(model: str, *flags: str) -> Iterator[Served]:
    command = [
        sys.executable, "-m", "job.serve", f"--model={model}", "--port=0", "--drain_s=0",
        "--precision=float32", *flags,
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")))
    reader.start()
    served = Served(process, said)
    try:
        served.port = int(served.wait_for(r"on http://127\.0\.0\.1:(\d+)")[1])
        yield served
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function that exports a step of a run: `exported(10, "model")`."""
    folder = tmp_path_factory.mktemp("serve")
    dataset = make_dataset(folder / "data", (4,))
    run = make_run(folder / "run", dataset, (10, 20))

    def make(step: int, name: str) -> str:
        output = str(folder / name)
        export(ExportConfig(run=run, output=output, checkpoint=str(step), overwrite=True))
        return output

    return make


@pytest.fixture(scope="module")
def model(exported) -> str:
    return exported(10, "model")


@pytest.fixture(scope="module")
def server(model) -> Iterator[Served]:
    with running(model, "--request_timeout_s=1", "--max_request_mb=1") as served:
        yield served


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    return [noise_jpeg(200 + number) for number in range(6)]


def predicted(model: str, images: list[bytes], folder: Path) -> np.ndarray:
    """What job.predict says of them: [images, classes]."""
    written = write_files(folder, {f"{n}.jpg": data for n, data in enumerate(images)})
    output = str(folder) + "-out"
    predict(
        PredictConfig(
            model=model, images=str(written), output=output, top_k=len(CLASSES), batch_size=1,
            precision="float32", runtime="tensorflow",
        )
    )  # fmt: skip
    found = []
    for stat in storage.list_files(output):
        if "/part-" in stat.path:
            for row in decode_rows(storage.read_bytes(stat.path), "jsonl", stat.path):
                likely = sorted(row["top"], key=lambda one: one["label"])
                found.append([one["probability"] for one in likely])
    return np.array(found)


def test_it_answers_what_a_prediction_says(server, model, images, tmp_path) -> None:
    wanted = predicted(model, images, tmp_path / "images")
    rows = server.ask(*images).json()["predictions"]
    found = np.array([row["probabilities"] for row in rows])
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    for row, shares in zip(rows, wanted, strict=True):
        assert row["labels"][0] == shares.argmax()
        assert row["classes"][0] == CLASSES[shares.argmax()]


def test_kserves_version_2_is_answered_too(server, images) -> None:
    described = requests.get(f"{server.url}/v2/models/food", timeout=60).json()
    assert described["inputs"] == [{"name": "images", "datatype": "BYTES", "shape": [-1]}]
    asked = {
        "id": "one",
        "inputs": [
            {
                "name": "images",
                "shape": [2],
                "datatype": "BYTES",
                "data": [base64.b64encode(one).decode() for one in images[:2]],
            }
        ],
    }
    answer = requests.post(f"{server.url}/v2/models/food/infer", json=asked, timeout=60).json()
    outputs = {one["name"]: one for one in answer["outputs"]}
    rows = server.ask(*images[:2]).json()["predictions"]
    assert answer["id"] == "one"
    assert answer["model_version"] == server.version() == described["versions"][0]
    assert outputs["probabilities"]["shape"] == [2, len(CLASSES)]
    np.testing.assert_allclose(
        outputs["probabilities"]["data"],
        [share for row in rows for share in row["probabilities"]],
        atol=2e-6,
    )


def test_what_is_no_image_is_refused_and_the_server_lives_on(server, images) -> None:
    for bad, said in ((b"", "no bytes"), (b"GIF?", "image 1 is"), (images[0][:99], "damaged")):
        answer = server.ask(images[0], bad)
        assert answer.status_code == 400
        assert said in answer.json()["error"]
    assert server.ask(images[0]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", PREDICT, b"{", 400),
        ("POST", PREDICT, b"x" * (1 << 21), 413),
        ("GET", PREDICT, b"", 405),
        ("GET", "/v1/models/other", b"", 404),
        ("GET", "/v2/health/live", b"", 200),
        ("GET", "/v2/health/ready", b"", 200),
    ],
)
def test_requests_that_are_none_have_a_status_and_a_sentence(
    server, method: str, path: str, body: bytes, status: int
) -> None:
    answer = requests.request(method, server.url + path, data=body, timeout=60)
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]


def test_a_body_of_unknown_length_is_not_read(server) -> None:
    answer = requests.post(server.url + PREDICT, data=iter([b"{}"]), timeout=60)
    assert answer.status_code == 411


def test_a_client_that_never_finishes_is_let_go(server, images) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
        slow.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode())
        assert server.ask(images[0]).status_code == 200  # Meanwhile others are answered.
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_a_flood_is_answered_or_told_to_come_again(model, images) -> None:
    with running(model, "--max_waiting=8", "--max_batch=4") as served:
        with ThreadPoolExecutor(24) as clients:
            answers = list(clients.map(lambda _: served.ask(*images[:4]), range(120)))
        statuses = {answer.status_code for answer in answers}
        refused = [answer for answer in answers if answer.status_code == 503]
        assert statuses <= {200, 503}
        assert 200 in statuses
        assert all(answer.headers["Retry-After"] == "1" for answer in refused)
        assert served.ask(images[0]).status_code == 200


def test_another_version_takes_over_without_a_failed_request(exported, images) -> None:
    model = exported(10, "swapped")
    with running(model, "--look_every_s=0.2") as served:
        first = served.version()
        answers: list[requests.Response] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answers.append(served.ask(images[0]))

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        exported(20, "swapped")
        while served.version() == first:
            assert served.process.poll() is None
            time.sleep(0.05)
        behind = len(answers)
        while len(answers) < behind + 6:
            time.sleep(0.05)
        stop.set()
        for client in clients:
            client.join()
        assert {answer.status_code for answer in answers} == {200}
        said = {tuple(answer.json()["predictions"][0]["probabilities"]) for answer in answers}
        assert len(said) == 2


def test_asked_to_stop_it_finishes_what_has_begun(model, images) -> None:
    with running(model, "--drain_s=1") as served:
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("asked to stop")
        ready = requests.get(f"{served.url}/v2/health/ready", timeout=60)
        assert ready.status_code == 503
        assert served.ask(images[0]).status_code == 200
        assert served.process.wait(60) == ExitCode.DONE


def test_a_port_that_is_taken_is_one_line(server, model) -> None:
    command = [sys.executable, "-m", "job.serve", f"--model={model}", f"--port={server.port}"]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ, timeout=200
    )
    assert ended.returncode == ExitCode.BAD_CONFIG
    assert f"error: port {server.port} of 127.0.0.1 cannot be opened" in ended.stderr
    assert "Traceback" not in ended.stderr
