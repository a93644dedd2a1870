"""The connection to a cluster; the only importer of `kubernetes`.

The kubernetes client finds and renews the credentials (kubeconfig, exec plugins, in-cluster
token) and owns the connections; `launcher/api/verbs.py` has the verbs.
"""

import contextlib
import json
import logging
import socket
from collections.abc import Callable, Iterator

from kubernetes import client, config
from kubernetes.stream import portforward
from websocket import WebSocketBadStatusException

from launcher.api import resources
from launcher.api.errors import Request, error_for, one_line
from launcher.api.requests import RETRY_S, Wire
from launcher.api.verbs import Api
from launcher.errors import DeniedError, LauncherError, UsageError

_CONNECTIONS = 64
_OF_WRONG_SHAPE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError)
"""What the client raises where an entry of a kubeconfig is not what it should be."""


def connect(
    *, kubeconfig: str | None = None, context: str | None = None, namespace: str = "default"
) -> "Cluster":
    """Find credentials as kubectl does: the file named, KUBECONFIG, ~/.kube/config, the pod's own.

    Nothing is sent yet.

    Raises:
        UsageError: No cluster is configured, or there is no such context.
        DeniedError: A login plugin failed; the message is the plugin's own.
    """
    return Cluster(lambda: _client(kubeconfig, context), namespace=namespace)


class Cluster(Api):
    """One API server and the namespace that is worked in."""

    def __init__(
        self,
        make_client: Callable[[], client.ApiClient],
        *,
        namespace: str,
        retry_s: float = RETRY_S,
    ) -> None:
        super().__init__(Wire(make_client, retry_s=retry_s), namespace=namespace)

    def open_port(self, pod: str, port: int) -> socket.socket:
        """Connect to a port of a pod, through the API server (a WebSocket); close it when done.

        Raises:
            LauncherError: The pod or the permission is missing, or the server does not answer.
        """
        # Opening a stream changes its client for a moment, so each has one of its own; the
        # credentials are those of all requests, without logging in again.
        api = client.CoreV1Api(client.ApiClient(self._wire.configuration))
        request = self._request("get", resources.PODS, None, pod, "portforward")
        try:
            stream = portforward(
                api.connect_get_namespaced_pod_portforward, pod, self.namespace, ports=str(port)
            )
        except client.ApiException as error:
            raise _refused_stream(error, request) from error
        connection: socket.socket = stream.socket(port)
        return connection


def _refused_stream(error: client.ApiException, request: Request) -> LauncherError:
    """Read what an API server answered instead of opening a stream; the client keeps it apart."""
    refused = error.__context__
    if not isinstance(refused, WebSocketBadStatusException):
        return error_for(503, {"message": str(error.reason)}, request)
    try:
        body = json.loads(refused.resp_body or b"")
    except ValueError:
        body = {}
    status = body if isinstance(body, dict) else {}
    return error_for(refused.status_code, {"message": refused.status_message, **status}, request)


def _client(kubeconfig: str | None, context: str | None) -> client.ApiClient:
    configuration = client.Configuration()
    with _login_failures():
        try:
            config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
        except config.ConfigException as error:
            if kubeconfig is not None or context is not None:
                raise UsageError(_config_problem(error)) from error
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                raise UsageError(_config_problem(error)) from error
        except _OF_WRONG_SHAPE as error:
            raise UsageError(_config_problem(error)) from error
    configuration.socket_options = _keep_alive()
    # All checks ask at once; urllib3 would warn of every connection beyond its pool.
    configuration.connection_pool_maxsize = _CONNECTIONS
    return client.ApiClient(configuration)


def _keep_alive() -> list[tuple[int, int, int]]:
    """Have the kernel find out within half a minute that nobody is at the other end any more.

    A laptop that slept, or changed networks, is told nothing by a stream in which nothing comes.
    """
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    wanted["TCP_USER_TIMEOUT"] = 30_000
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ]
    return options + [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in wanted.items()
        if hasattr(socket, name)
    ]


def _config_problem(error: Exception) -> str:
    text = one_line(str(error))
    if "No configuration found" in text:
        return (
            "no cluster is configured: there is no kubeconfig; get one from your provider, for "
            "example `gcloud container clusters get-credentials`, or use --backend local"
        )
    if "contexts list" in text:
        return f"the kubeconfig has no such context ({text}); kubectl config get-contexts"
    if "current-context" in text:
        return "the kubeconfig has no current context; choose one: kubectl config use-context NAME"
    return f"the kubeconfig cannot be used: {text}"


@contextlib.contextmanager
def _login_failures() -> Iterator[None]:
    """Turn what the client only logs, a login plugin that fails, into an error."""
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
    if said:
        raise DeniedError(f"logging in to the cluster failed: {one_line(said[0])}")
