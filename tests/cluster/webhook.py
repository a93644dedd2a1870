"""An admission webhook that says no, on the host's end of the cluster's cable."""

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.cluster import credentials
from tests.cluster.own_cluster import OwnCluster

NAME = "jobs.example.com"


class Webhook:
    """A running webhook."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def denying_webhook(cluster: OwnCluster, namespace: str, why: str) -> Iterator[Webhook]:
    """Have every JobSet of a namespace refused in the words given."""
    host = cluster.machine.host_address
    server = ThreadingHTTPServer((host, 0), _handler(why))
    made = credentials.serving_certificate(cluster.machine.folder / f"webhook-{namespace}", host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made.certificate("server"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://{host}:{server.server_address[1]}/"
    cluster.apply(_configuration(namespace, url, made.authority.read_bytes()))
    try:
        yield Webhook(server)
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)
        with contextlib.suppress(OSError):
            server.shutdown()
            server.server_close()


def _handler(why: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(length))["request"]
            status = {"code": 403, "message": why}
            review = {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": request["uid"], "allowed": False, "status": status},
            }
            body = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _configuration(namespace: str, url: str, authority: bytes) -> dict[str, object]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": NAME,
                "clientConfig": {
                    "url": url,
                    "caBundle": base64.b64encode(authority).decode(),
                },
                "rules": [
                    {
                        "apiGroups": ["jobset.x-k8s.io"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["jobsets"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 5,
            }
        ],
    }
