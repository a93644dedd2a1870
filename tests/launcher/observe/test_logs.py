"""Logs: every line once, whatever happens to pods and connections."""

import threading
from pathlib import Path
from typing import Any

import pytest

from job.contract import layout
from launcher import kinds
from launcher.api import log_lines
from launcher.api.connection import Cluster
from launcher.api.log_lines import Line
from launcher.errors import NotFoundError
from launcher.observe import logs, reading
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.fake_requests import LogFile

Object = dict[str, Any]


def texts(lines: list[Line]) -> list[str]:
    return [f"{line.replica}: {line.text}" for line in lines]


def running(server: FakeApiServer, index: int, **more: Any) -> Object:
    return server.put(shapes.pod(index, state=shapes.running(), **more))


def follower(server: FakeApiServer, cluster: Cluster, notes: list[str]) -> logs.Follower:
    job = kinds.TFJOB.read(server.put(shapes.tfjob(shapes.CREATED, shapes.RUNNING)))
    return logs.Follower(cluster, kinds.TFJOB, job, logs.Selection(), notes.append)


def end(server: FakeApiServer) -> None:
    server.put(shapes.tfjob(shapes.CREATED, shapes.condition("Succeeded")))


def test_replicas_are_merged_by_time(cluster: Cluster, server: FakeApiServer) -> None:
    pods = [reading.pod(running(server, index)) for index in (0, 1)]
    server.log("mnist-worker-0", "2026-11-20T10:00:01.5Z a", "2026-11-20T10:00:03Z c")
    server.log("mnist-worker-1", "2026-11-20T12:00:02+02:00 b", "2026-11-20T10:00:04Z d")
    lines = list(logs.until_now(cluster, pods, logs.Selection()))
    assert texts(lines) == ["worker-0: a", "worker-1: b", "worker-0: c", "worker-1: d"]
    only = logs.until_now(cluster, pods, logs.Selection(replicas=("1",), tail=1))
    assert texts(list(only)) == ["worker-1: d"]


def test_a_pod_that_has_not_started_has_no_lines(cluster: Cluster, server: FakeApiServer) -> None:
    server.put(shapes.pending(0))
    server.fail(
        "GET", "/log", 400, times=9, reason="BadRequest",
        message='container "tensorflow" in pod "mnist-worker-0" is waiting to start: '
        "ContainerCreating",
    )  # fmt: skip
    assert list(log_lines.read(cluster, "mnist-worker-0", "tensorflow", "worker-0")) == []


def test_a_broken_connection_neither_loses_nor_repeats_lines(
    cluster: Cluster, server: FakeApiServer
) -> None:
    """Equal lines of one moment count as often as they were written."""
    pod = reading.pod(running(server, 0))
    stamp = "2026-11-20T10:00:00.000000001Z"
    log = server.log("mnist-worker-0", f"{stamp} same", f"{stamp} same", "x", "y", finished=False)
    log.break_after = 3

    def finish() -> None:
        server.log("mnist-worker-0", "z", finished=True)
        server.put(shapes.pod(0, phase="Succeeded", state=shapes.ended(0)))

    threading.Timer(0.6, finish).start()
    seen = [line.text for line in log_lines.Tail(cluster, pod, "tensorflow").follow()]
    assert seen == ["same", "same", "x", "y", "z"]


def test_a_stream_that_went_silent_does_not_outlive_the_container(
    cluster: Cluster, server: FakeApiServer
) -> None:
    """A laptop slept: the stream is open and dead, and the job ended meanwhile."""
    cluster._wire.silence_s = 0.3
    running(server, 0)
    server.log("mnist-worker-0", "first", finished=False)
    lines = follower(server, cluster, []).lines()
    assert texts([next(lines)]) == ["worker-0: first"]
    with server.store.changed:  # Lines that the open stream will never bring.
        dead = server.logs[("mnist-worker-0", False)]
        server.logs[("mnist-worker-0", False)] = LogFile([*dead.lines])
    server.log("mnist-worker-0", "last", finished=True)
    server.put(shapes.pod(0, phase="Succeeded", state=shapes.ended(0)))
    end(server)
    assert texts(list(lines)) == ["worker-0: last"]
    assert not dead.finished


def test_following_ends_with_the_job(cluster: Cluster, server: FakeApiServer) -> None:
    """Pods that come later, and pods that are made anew, are part of it."""
    notes: list[str] = []
    running(server, 0)
    server.log("mnist-worker-0", "first", finished=False)
    follow = follower(server, cluster, notes)
    server.put(shapes.pending(1))
    lines = follow.lines()
    assert texts([next(lines)]) == ["worker-0: first"]

    server.log("mnist-worker-1", "late", finished=False)
    running(server, 1)
    assert texts([next(lines)]) == ["worker-1: late"]

    server.log("mnist-worker-0", "again", finished=True)
    server.log("mnist-worker-1", finished=True)
    for index in (0, 1):
        server.put(shapes.pod(index, phase="Succeeded", state=shapes.ended(0)))
    end(server)
    assert texts(list(lines)) == ["worker-0: again"]


def test_a_restarted_container_is_followed_from_its_beginning(
    cluster: Cluster, server: FakeApiServer
) -> None:
    notes: list[str] = []
    running(server, 0)
    server.log("mnist-worker-0", "one", finished=True)
    lines = follower(server, cluster, notes).lines()
    assert texts([next(lines)]) == ["worker-0: one"]
    server.put(shapes.pod(0, state=shapes.waiting("CrashLoopBackOff"), restarts=1))
    server.logs.clear()
    server.log("mnist-worker-0", "2026-11-20T11:00:00Z two", finished=True)
    server.put(shapes.pod(0, state=shapes.running(), restarts=1))
    assert texts([next(lines)]) == ["worker-0: two"]
    assert notes == ["worker-0 starts again"]
    server.put(shapes.pod(0, phase="Succeeded", state=shapes.ended(0), restarts=1))
    end(server)
    assert list(lines) == []


def test_a_job_that_is_over_is_followed_to_its_end(cluster: Cluster, server: FakeApiServer) -> None:
    server.put(shapes.pod(0, phase="Succeeded", state=shapes.ended(0)))
    server.log("mnist-worker-0", "done")
    follow = follower(server, cluster, [])
    end(server)
    assert texts(list(follow.lines())) == ["worker-0: done"]


def test_archived_logs_are_each_replicas_newest(tmp_path: Path) -> None:
    """A worker that was started again alone has more attempts than the others."""
    run = str(tmp_path)
    for attempt, replica, text in ((1, "worker-0", "old"), (2, "worker-10", "c"),
                                   (2, "worker-2", "b"), (10, "worker-0", "a")):  # fmt: skip
        path = Path(layout.attempt_log(run, attempt, replica))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    newest = texts(list(logs.archived(run, logs.Selection())))
    assert newest == ["worker-0: a", "worker-2: b", "worker-10: c"]
    assert texts(list(logs.archived(run, logs.Selection(), attempt=1))) == ["worker-0: old"]
    with pytest.raises(NotFoundError, match=r"attempt 3 .* those of 1, 2, 10"):
        list(logs.archived(run, logs.Selection(), attempt=3))
    before = texts(list(logs.archived(run, logs.Selection(), previous=True)))
    assert before == ["worker-0: old"]
    with pytest.raises(NotFoundError, match="no such logs are kept in"):
        list(logs.archived(str(tmp_path / "nothing"), logs.Selection()))


def test_since_is_sent_to_the_server(cluster: Cluster, server: FakeApiServer) -> None:
    pod = reading.pod(running(server, 0))
    list(logs.until_now(cluster, [pod], logs.Selection(since_s=60)))
    assert "sinceTime=" in server.requests[-1]
