"""The cluster wrapper against an API server over HTTP, with the real kubernetes client."""

import itertools
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from launcher.api import connection as cluster_module
from launcher.api import resources
from launcher.api.backoff import Deadline
from launcher.api.connection import Cluster
from launcher.api.errors import KindMissingError, RefusedError
from launcher.cli import main
from launcher.errors import (
    ConflictError,
    DeniedError,
    LauncherError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from tests.launcher.cluster_fixtures import connect
from tests.launcher.fake_apiserver import FakeApiServer


def config_map(name: str, **labels: str) -> dict[str, object]:
    return {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team", "labels": labels}, "data": {"a": "b"},
    }  # fmt: skip


def test_objects_are_created_read_changed_and_deleted(cluster: Cluster) -> None:
    made = cluster.create(config_map("one"))
    assert made["metadata"]["uid"]
    assert cluster.get(resources.CONFIG_MAPS, "one")["data"] == {"a": "b"}
    changed = cluster.patch(resources.CONFIG_MAPS, "one", {"data": {"a": None, "c": "d"}})
    assert changed["data"] == {"c": "d"}
    assert cluster.delete(resources.CONFIG_MAPS, "one")
    assert not cluster.delete(resources.CONFIG_MAPS, "one")
    assert cluster.find(resources.CONFIG_MAPS, "one") is None


def test_a_dry_run_keeps_nothing(cluster: Cluster) -> None:
    cluster.create(config_map("one"), dry_run=True)
    assert cluster.find(resources.CONFIG_MAPS, "one") is None


def test_a_list_is_read_to_its_last_page(cluster: Cluster, server: FakeApiServer) -> None:
    for number in range(1203):
        server.put(config_map(f"m{number:04}", half=str(number % 2)))
    assert len(cluster.list_all(resources.CONFIG_MAPS)) == 1203
    found = cluster.list_all(resources.CONFIG_MAPS, labels="half=1")
    assert len(found) == 601
    assert found[0]["kind"] == "ConfigMap", "items of lists have no kind of their own"


def test_deleting_spares_a_newer_object_of_the_same_name(
    cluster: Cluster,
) -> None:
    cluster.create(config_map("one"))
    with pytest.raises(ConflictError):
        cluster.delete(resources.CONFIG_MAPS, "one", uid="another")
    assert cluster.find(resources.CONFIG_MAPS, "one")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 0])
def test_transient_failures_are_tried_again(
    cluster: Cluster,
    server: FakeApiServer,
    status: int,
) -> None:
    server.put(config_map("one"))
    server.fail("GET", "/configmaps/one", status, "slow down", times=2)
    assert cluster.get(resources.CONFIG_MAPS, "one")


def test_retry_after_is_honoured(cluster: Cluster, server: FakeApiServer) -> None:
    """A server that asks for longer than there is time is told of at once."""
    server.fail("GET", "/configmaps", 429, "busy", headers={"Retry-After": "60"})
    with pytest.raises(UnreachableError, match="429"):
        cluster.list_all(resources.CONFIG_MAPS)
    assert len(server.requests) == 1


def test_a_create_whose_answer_was_lost_is_no_error_of_the_wire(
    cluster: Cluster,
    server: FakeApiServer,
) -> None:
    server.fail("POST", "/configmaps", 504, "request timed out")
    assert cluster.create(config_map("one"))["metadata"]["uid"]


def test_a_server_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    with FakeApiServer() as server:
        cluster = connect(server, tmp_path)
    with pytest.raises(UnreachableError, match=r"does not answer \(the connection is refused\)"):
        cluster.version()


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind", "words"),
    [
        (401, "Unauthorized", "Unauthorized", DeniedError, "credentials"),
        (
            403, "Forbidden",
            'configmaps is forbidden: User "jane" cannot create resource "configmaps" in API '
            'group "" in the namespace "team"',
            DeniedError, "user 'jane' may not create configmaps in namespace 'team'",
        ),
        (
            403, "Forbidden",
            'configmaps is forbidden: User "system:anonymous" cannot create resource "configmaps"',
            DeniedError, "got no credentials",
        ),
        (
            403, "Forbidden",
            'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, '
            "used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=4",
            RefusedError, "exceeded quota: gpus",
        ),
        (
            403, "Forbidden",
            'admission webhook "validate.kyverno.svc-fail" denied the request: image tag latest',
            RefusedError, "'validate.kyverno.svc-fail' refuses it: image tag latest",
        ),
        (
            400, "BadRequest",
            'admission webhook "validator.tfjob.training-operator.kubeflow.org" denied the '
            "request: spec.tfReplicaSpecs[Worker].template.spec.containers: Required value: must "
            "have at least one container with name tensorflow",
            RefusedError, "container with name tensorflow",
        ),
        (422, "Invalid", "data: Invalid value", RefusedError, "Invalid value"),
        (
            500, "InternalError",
            'Internal error occurred: failed calling webhook "mjob.kb.io": no endpoints available',
            UnreachableError, "webhook 'mjob.kb.io' does not answer",
        ),
        (409, "AlreadyExists", 'configmaps "one" already exists', ConflictError, "already exists"),
    ],
)  # fmt: skip
def test_refusals_are_one_clear_line(
    cluster: Cluster,
    server: FakeApiServer,
    status: int,
    reason: str,
    message: str,
    kind: type[LauncherError],
    words: str,
) -> None:
    server.fail("POST", "/configmaps", status, message, reason=reason, times=99)
    with pytest.raises(kind) as caught:
        cluster.create(config_map("one"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_object_is_named(cluster: Cluster) -> None:
    with pytest.raises(NotFoundError, match="TFJob 'x' in namespace 'team' not found"):
        cluster.get(resources.TFJOBS, "x")


def test_a_missing_namespace_is_named(cluster: Cluster) -> None:
    cluster.namespace = "teem"
    with pytest.raises(NotFoundError, match="namespace 'teem' does not exist"):
        cluster.create({**config_map("one"), "metadata": {"name": "one"}})


def test_a_missing_kind_says_what_to_install(tmp_path: Path) -> None:
    with FakeApiServer(absent=("kubeflow.org",)) as server:
        cluster = connect(server, tmp_path)
        with pytest.raises(KindMissingError, match="training operator is not installed"):
            cluster.get(resources.TFJOBS, "x")
        assert not cluster.serves(resources.TFJOBS)
        assert cluster.serves(resources.JOBSETS)
        assert cluster.find(resources.TFJOBS, "x") is None


def test_expired_credentials_are_read_again(tmp_path: Path) -> None:
    """A token that is renewed in the kubeconfig during a long session goes on working."""
    with FakeApiServer() as server:
        cluster = connect(server, tmp_path)
        assert cluster.version() == "v1.36.3"
        server.token = "second-token"
        server.kubeconfig(tmp_path)
        assert cluster.version() == "v1.36.3"


def test_a_token_is_never_part_of_a_message(tmp_path: Path) -> None:
    with FakeApiServer() as server:
        cluster = connect(server, tmp_path, token="hunter2-token")
        with pytest.raises(DeniedError) as caught:
            cluster.version()
    assert "hunter2" not in str(caught.value)


def test_a_context_that_does_not_exist_is_usage(server: FakeApiServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such context"):
        cluster_module.connect(kubeconfig=server.kubeconfig(tmp_path), context="nowhere")


def test_a_login_plugin_that_fails_is_quoted(server: FakeApiServer, tmp_path: Path) -> None:
    path = server.kubeconfig(tmp_path)
    text = Path(path).read_text(encoding="utf-8").replace(
        '{"token": "secret-token"}',
        '{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", '
        '"args": ["-c", "echo please log in >&2; exit 1"], "interactiveMode": "Never"}}',
    )  # fmt: skip
    Path(path).write_text(text, encoding="utf-8")
    with pytest.raises(DeniedError, match=r"logging in to the cluster failed: .*please log in"):
        cluster_module.connect(kubeconfig=path)


def test_permissions_are_asked_for(cluster: Cluster, server: FakeApiServer) -> None:
    server.deny("get", "pods/log")
    assert cluster.may("get", resources.PODS)
    assert not cluster.may("get", resources.PODS, subresource="log")


def test_a_watch_tells_what_is_there_and_what_changes(
    cluster: Cluster,
    server: FakeApiServer,
) -> None:
    server.put(config_map("one"))
    events = cluster.watch(resources.CONFIG_MAPS, deadline=Deadline(20))
    assert _name(next(events)) == ("ADDED", "one")
    server.put(config_map("two"))
    assert _name(next(events)) == ("ADDED", "two")
    server.remove(config_map("one"))
    assert _name(next(events)) == ("DELETED", "one")


def test_a_watch_goes_on_after_a_broken_connection(
    cluster: Cluster,
    server: FakeApiServer,
) -> None:
    """Nothing is lost and nothing is told twice, although half a line arrived."""
    events = cluster.watch(resources.CONFIG_MAPS, deadline=Deadline(20))
    seen = []
    for number in range(3):
        server.break_watch = True
        adding = threading.Timer(0.1, server.put, [config_map(f"m{number}")])
        adding.start()
        seen.append(_name(next(events)))
        adding.join()
    assert seen == [("ADDED", "m0"), ("ADDED", "m1"), ("ADDED", "m2")]


def test_a_watch_lists_anew_when_its_version_is_too_old(
    cluster: Cluster,
    server: FakeApiServer,
) -> None:
    server.put(config_map("one"))
    server.put(config_map("two"))
    events = cluster.watch(resources.CONFIG_MAPS, deadline=Deadline(20))
    list(itertools.islice(events, 2))
    server.store.oldest = server.store.version + 100
    server.break_watch = True
    server.remove(config_map("one"))
    server.store.history.clear()
    threading.Timer(0.3, setattr, [server.store, "oldest", 0]).start()
    assert _name(next(events)) == ("DELETED", "one")
    assert _name(next(events)) == ("MODIFIED", "two")


def test_a_watch_ends_at_its_deadline(cluster: Cluster) -> None:
    assert list(cluster.watch(resources.CONFIG_MAPS, deadline=Deadline(0.3))) == []


def _name(event: tuple[str, dict[str, dict[str, str]]]) -> tuple[str, str]:
    return event[0], event[1]["metadata"]["name"]


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Nov 2026 25:61:00 GMT"])
def test_an_answer_without_a_date_tells_no_time(
    cluster: Cluster, server: FakeApiServer, date: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy between may leave the header out."""
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)
    assert cluster.clock() == 0.0


def test_a_connection_from_before_a_sleep_is_not_waited_for_twice(
    cluster: Cluster, server: FakeApiServer
) -> None:
    """What was kept open is broken: one new connection, though no time for retries is left."""
    cluster.version()
    cluster._wire.retry_s = 0.0
    server.fail("GET", "/version", 0)
    assert cluster.version() == "v1.36.3"


@pytest.mark.parametrize(
    "content",
    [
        b"clusters: 5\ncontexts: 6\nusers: 7\ncurrent-context: fake",
        b"contexts: [5, {name: fake}, {name: fake, context: 3}]\ncurrent-context: fake",
        b"current-context: [a]\ncontexts: [{name: fake, context: {}}]",
        b"clusters: [{name: fake}]\ncontexts: [{name: fake, context: {cluster: fake, user: u}}]\n"
        b"current-context: fake\nusers: [{name: u}]",
        b"\xff\xfe",
        b"a: &a [*a]",
        b"a0: &a0 [x,x]\n"
        + b"".join(b"a%d: &a%d [*a%d,*a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 40)),
        b"[" * 9999,
        b"5",
        b"",
    ],
)  # fmt: skip
@pytest.mark.parametrize("namespace", ["", "team"])
def test_an_odd_kubeconfig_is_one_line(
    tmp_path: Path,
    content: bytes,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.chdir(tmp_path)
    assert main(["list", *(["-n", namespace] if namespace else [])]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_stream_that_is_denied_is_a_denial(cluster: Cluster, server: FakeApiServer) -> None:
    """Not a server that is busy: trying again would not help."""
    message = 'pods "tb" is forbidden: User "ann" cannot get resource "pods/portforward"'
    server.fail("GET", "/pods/tb/portforward", 403, message, reason="Forbidden")
    with pytest.raises(DeniedError, match="user 'ann' may not get pods/portforward"):
        cluster.open_port("tb", 6006)
    server.fail("GET", "/pods/tb/portforward", 404, 'pods "tb" not found', details={"name": "tb"})
    with pytest.raises(NotFoundError):
        cluster.open_port("tb", 6006)
    server.fail("GET", "/pods/tb/portforward", 503, "the node is away")
    with pytest.raises(UnreachableError, match="the node is away"):
        cluster.open_port("tb", 6006)


def test_a_login_plugin_runs_once(server: FakeApiServer, tmp_path: Path) -> None:
    """Some of them open a browser; every connection of a forwarded port is not a new session."""
    path = server.kubeconfig(tmp_path)
    answer = (
        '{\\"apiVersion\\": \\"client.authentication.k8s.io/v1\\", \\"kind\\": '
        '\\"ExecCredential\\", \\"status\\": {\\"token\\": \\"secret-token\\"}}'
    )
    text = Path(path).read_text(encoding="utf-8").replace(
        '{"token": "secret-token"}',
        '{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", '
        f'"args": ["-c", "echo x >> {tmp_path}/logins; echo \'{answer}\'"], '
        '"interactiveMode": "Never"}}',
    )  # fmt: skip
    Path(path).write_text(text, encoding="utf-8")
    cluster = cluster_module.connect(kubeconfig=path)
    cluster.version()
    server.fail("GET", "/portforward", 403, "you cannot", reason="Forbidden", times=3)
    for _ in range(3):
        with pytest.raises(DeniedError):
            cluster.open_port("tb", 6006)
    assert (tmp_path / "logins").read_text() == "x\n"
