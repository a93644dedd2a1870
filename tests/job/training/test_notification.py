"""The end of a run is told once, with what a person needs, and without the address's secrets."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from job.contract import layout
from job.contract.progress_file import RunProgress
from job.storage import documents
from job.training import notification


class Listener:
    """An address that remembers what it was told, and answers with `status`."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.status = 200
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append(json.loads(body))
                self.send_response(listener.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hush"


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> str:
    path = str(tmp_path / "run")
    progress = RunProgress(state="done", step=90, total_steps=90, time=1.0, by="alice")
    documents.write(layout.progress_file(path), progress)
    documents.write(layout.best_file(path), {"step": 90, "metrics": {"top1": 0.875}})
    return path


def test_an_outcome_is_told_once(listener: Listener, run: str) -> None:
    for code in (0, 143, 0, 137, 70, 70):
        notification.send(listener.url, run, code)
    assert [heard["text"] for heard in listener.heard] == [
        f"{run} is done: 90 of 90 steps, top-1 87.50%.",
        f"{run} failed after 90 of 90 steps (exit code 70): training diverged: the loss is not "
        "finite.",
    ]
    assert listener.heard[0]["metrics"] == {"top1": 0.875}
    assert listener.heard[0]["by"] == "alice"


@pytest.mark.parametrize("url", ["", "ftp://hush", "http://127.0.0.1:9/hush", "http://[hush"])
def test_what_cannot_be_told_is_a_warning_without_secrets(
    run: str, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification, "_PAUSE_S", 0.0)
    notification.send(url, run, 0)
    assert caplog.messages
    assert "hush" not in caplog.text


def test_an_address_that_refuses_is_asked_once(listener: Listener, run: str) -> None:
    listener.status = 404
    notification.send(listener.url, run, 0)
    assert len(listener.heard) == 1
