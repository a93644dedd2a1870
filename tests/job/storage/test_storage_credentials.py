"""Whoever runs a job is recognised without a flag: each kind of Application Default Credentials.

The servers that hand out tokens are small ones of this test; everything else is real. Each case
runs in a process of its own, since google-auth reads its environment when it is imported.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fault_proxy import Fault, FaultProxy
from tests.storage_fixtures import make_bucket

ACCOUNT = "trainer@project.iam.gserviceaccount.com"
READ = "import sys; from job import storage; print(len(list(storage.list_files(sys.argv[1]))))"


class _Tokens(BaseHTTPRequestHandler):
    """Answers as a metadata server (Workload Identity) and as a security token service."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.endswith("/token"):
            self._answer({"access_token": "metadata-token", "expires_in": 3600})
        elif "service-accounts" in path:
            self._answer({"email": ACCOUNT, "scopes": [], "aliases": ["default"]})
        elif path.endswith("universe-domain"):
            self._answer(None, status=404)
        else:
            self._answer({})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/refused":
            self._answer({"error": "invalid_grant", "error_description": "expired"}, status=400)
        else:
            kind = "urn:ietf:params:oauth:token-type:access_token"
            self._answer(
                {
                    "access_token": "federated-token",
                    "issued_token_type": kind,
                    "token_type": "Bearer",
                    "expires_in": 3600,
                }
            )

    def _answer(self, content: object, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def token_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def run_as(
    environment: dict[str, str], bucket: str, proxy: FaultProxy, home: Path
) -> subprocess.CompletedProcess[str]:
    """List a bucket in a process that knows only what `environment` says."""
    clean = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", READ, bucket],
        env=clean | {"HOME": str(home), "API_ENDPOINT_OVERRIDE": proxy.url} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def federated(tmp_path: Path, token_url: str) -> dict[str, str]:
    """Write the configuration of a federated identity, as `gcloud iam` creates it."""
    (tmp_path / "subject").write_text("subject-token")
    configuration = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/b",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_url,
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    (tmp_path / "credentials.json").write_text(json.dumps(configuration))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "credentials.json")}


def test_without_credentials_a_public_bucket_is_read_anonymously(
    emulator: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    ended = run_as({"NO_GCE_CHECK": "true"}, make_bucket(emulator), proxy, tmp_path)
    assert ended.stdout == "0\n", ended.stderr
    assert proxy.authorizations == [None]


def test_a_pod_with_workload_identity_is_recognised(
    emulator: str, proxy: FaultProxy, tmp_path: Path, token_server: str
) -> None:
    metadata = {"GCE_METADATA_HOST": token_server, "GCE_METADATA_IP": token_server}
    ended = run_as(metadata, make_bucket(emulator), proxy, tmp_path)
    assert ended.stdout == "0\n", ended.stderr
    assert proxy.authorizations == ["Bearer metadata-token"]


def test_a_federated_identity_is_recognised(
    emulator: str, proxy: FaultProxy, tmp_path: Path, token_server: str
) -> None:
    environment = federated(tmp_path, f"http://{token_server}/token")
    ended = run_as(environment, make_bucket(emulator), proxy, tmp_path)
    assert ended.stdout == "0\n", ended.stderr
    assert proxy.authorizations == ["Bearer federated-token"]


def test_an_identity_that_gets_no_token_is_denied_before_any_request(
    emulator: str, proxy: FaultProxy, tmp_path: Path, token_server: str
) -> None:
    environment = federated(tmp_path, f"http://{token_server}/refused")
    ended = run_as(environment, make_bucket(emulator), proxy, tmp_path)
    assert "job.contract.errors.DeniedError" in ended.stderr
    assert "invalid_grant" in ended.stderr
    assert proxy.authorizations == []


def test_a_denial_names_the_account(
    emulator: str, proxy: FaultProxy, tmp_path: Path, token_server: str
) -> None:
    proxy.faults.append(Fault(status=403, reason="forbidden"))
    metadata = {"GCE_METADATA_HOST": token_server, "GCE_METADATA_IP": token_server}
    ended = run_as(metadata, make_bucket(emulator), proxy, tmp_path)
    assert "storage.objects.list on gs://test-" in ended.stderr
    assert f"is missing for {ACCOUNT}" in ended.stderr
