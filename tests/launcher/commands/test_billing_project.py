"""--billing-project: who pays where a bucket has the requester pay."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from job import storage
from launcher.cli import main
from tests.fault_proxy import FaultProxy
from tests.storage_fixtures import emulator, faulty_bucket, proxy  # noqa: F401 (fixtures)


@pytest.fixture
def nobody_pays_afterwards() -> Iterator[None]:
    yield
    storage.configure(billing_project="")


@pytest.mark.usefixtures("nobody_pays_afterwards")
def test_the_project_is_named_on_the_launchers_requests_and_in_its_jobs(
    faulty_bucket: str,  # noqa: F811
    proxy: FaultProxy,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "launcher.yaml").write_text("defaults:\n  billing_project: payer-1\n")
    argv = ["--image=a/b:1", f"--data={faulty_bucket}/d", f"--run-root={faulty_bucket}/r"]
    proxy.requests.clear()
    assert main(["render", *argv, "--backend=tfjob", "-n=team"]) == 0
    assert "- --billing_project=payer-1\n" in capsys.readouterr().out
    assert main(["status", f"{faulty_bucket}/r/x", "--billing-project=payer-2"]) != 0
    paid = {request.rpartition("userProject=")[2] for request in proxy.requests}
    assert "payer-2" in paid
    assert paid <= {"payer-1", "payer-2"}
