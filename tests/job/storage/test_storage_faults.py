"""What a bucket can do to a run, and what becomes of it."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from job import storage
from job.contract.configs import ExportConfig
from job.contract.errors import DeniedError, ExitCode, StorageUnreachableError
from job.process import entry
from job.storage.gcs import GcsStorage
from tests.fault_proxy import Fault, FaultProxy
from tests.storage_fixtures import IMPATIENT

MANY = 40


@pytest.mark.parametrize("status", [429, 500, 503])
def test_with_a_fifth_of_requests_failing_all_content_is_complete(
    status: int, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Uploads, listings and downloads end with identical content; it only takes longer."""
    proxy.faults.append(Fault(status=status, share=0.2))
    content = {f"{number:03d}": os.urandom(1000) for number in range(MANY)}
    for name, data in content.items():
        storage.write_bytes(f"{faulty_bucket}/files/{name}", data, if_absent=True)
    listed = [stat.path for stat in storage.list_files(f"{faulty_bucket}/files")]
    assert listed == [f"{faulty_bucket}/files/{name}" for name in content]
    for name, data in content.items():
        storage.download(f"{faulty_bucket}/files/{name}", str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == data
    assert proxy.faults[0].seen > MANY / 4


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop=True, share=0.5),
        Fault(cut_body=True, share=0.5, paths="^GET"),
        Fault(corrupt_body=True, share=0.5, paths="alt=media"),
        Fault(delay_s=0.3, share=0.5),
    ],
    ids=["drop", "cut", "corrupt", "delay"],
)
def test_a_large_file_arrives_whole_over_a_bad_line(
    fault: Fault, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    data = os.urandom(33 << 20)
    (tmp_path / "sent").write_bytes(data)
    storage.upload(str(tmp_path / "sent"), f"{faulty_bucket}/large")
    proxy.faults.append(fault)
    for attempt in range(2):
        storage.download(f"{faulty_bucket}/large", str(tmp_path / f"{attempt}"))
        assert (tmp_path / f"{attempt}").read_bytes() == data
    assert fault.seen > 0


def test_a_listing_of_many_pages_is_complete_and_sorted(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    """A page that fails is asked for again, those before it are not."""
    names = [f"{faulty_bucket}/many/{number}" for number in range(10)]
    for name in reversed(names):
        storage.write_bytes(name, b"")
    proxy.requests.clear()
    proxy.faults.append(Fault(status=503, times=1, paths="pageToken"))
    with contextlib.closing(GcsStorage(IMPATIENT, page_size=4)) as backend:
        assert [stat.path for stat in backend.list_files(f"{faulty_bucket}/many")] == names
    assert len(proxy.requests) == 4


def test_a_throttled_line_is_slow_but_no_failure(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    storage.write_bytes(f"{faulty_bucket}/file", b"x" * (1 << 20))
    proxy.faults.append(Fault(bytes_per_s=4e6))
    storage.download(f"{faulty_bucket}/file", str(tmp_path / "file"))
    assert os.path.getsize(tmp_path / "file") == 1 << 20
    assert storage.request_counts()["read"] == 1


@pytest.mark.parametrize("size", [7 << 20, 9 << 20], ids=["multipart", "resumable"])
def test_a_slow_way_up_is_no_failure(size: int, faulty_bucket: str, proxy: FaultProxy) -> None:
    """The timeout is one of each block, not of the whole: home lines send a few MB per second."""
    storage.reconnect(
        storage.Patience(deadline_s=5.0, connect_timeout_s=1.0, first_wait_s=0.01, quiet_s=60)
    )
    slow = Fault(takes_bytes_per_s=3e6, paths="^(POST|PUT)")
    proxy.faults.append(slow)
    data = os.urandom(size)
    storage.write_bytes(f"{faulty_bucket}/file", data)
    assert storage.read_bytes(f"{faulty_bucket}/file") == data
    assert proxy.count("^(POST|PUT)") <= 2


@pytest.mark.parametrize("size", [10, 9 << 20], ids=["multipart", "resumable"])
def test_a_conditional_write_whose_answer_was_lost_recognises_its_own_object(
    size: int, faulty_bucket: str, proxy: FaultProxy
) -> None:
    """The repetition gets 412; it is a success all the same, and only for the one who wrote."""
    lost = Fault(lose_answer=True, times=1, paths="^(POST .*multipart|PUT)")
    proxy.faults.append(lost)
    data = os.urandom(size)
    written = storage.write_bytes(f"{faulty_bucket}/MANIFEST.json", data, if_absent=True)
    assert lost.seen == 1
    assert written == storage.stat(f"{faulty_bucket}/MANIFEST.json")
    assert storage.read_bytes(f"{faulty_bucket}/MANIFEST.json") == data


def test_losing_a_race_is_no_success_even_with_equal_content(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    storage.write_bytes(f"{faulty_bucket}/MANIFEST.json", b"same", if_absent=True)
    proxy.faults.append(Fault(status=503, times=1))
    with pytest.raises(storage.PreconditionError):
        storage.write_bytes(f"{faulty_bucket}/MANIFEST.json", b"same", if_absent=True)


def test_an_upload_damaged_on_its_way_is_sent_again(faulty_bucket: str, proxy: FaultProxy) -> None:
    """A chunk that arrives twice makes the object wrong; its checksum tells."""
    data = os.urandom(9 << 20)
    proxy.faults.append(Fault(lose_answer=True, times=1, paths="^PUT"))
    storage.write_bytes(f"{faulty_bucket}/large", data)
    assert storage.read_bytes(f"{faulty_bucket}/large") == data


def test_a_bucket_that_vanishes_for_a_while_is_only_a_pause(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    storage.write_bytes(f"{faulty_bucket}/file", b"content")
    proxy.down = True
    back = threading.Timer(1.0, setattr, (proxy, "down", False))
    back.start()
    assert storage.read_bytes(f"{faulty_bucket}/file") == b"content"
    back.join()


def test_when_the_retries_are_spent_storage_is_unreachable(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Exit code 146, with the path and the last reason, for every kind of request."""
    storage.write_bytes(f"{faulty_bucket}/file", b"content")
    storage.reconnect(storage.Patience(deadline_s=0.3, first_wait_s=0.02, longest_wait_s=0.1))
    proxy.faults.append(Fault(status=503, reason="backend error"))
    operations = [
        lambda: storage.read_bytes(f"{faulty_bucket}/file"),
        lambda: storage.download(f"{faulty_bucket}/file", str(tmp_path / "file")),
        lambda: storage.write_bytes(f"{faulty_bucket}/file", b"new"),
        lambda: list(storage.list_files(faulty_bucket)),
        lambda: storage.stat(f"{faulty_bucket}/file"),
        lambda: storage.delete(f"{faulty_bucket}/file"),
    ]
    for operation in operations:
        with pytest.raises(StorageUnreachableError, match="503 backend error") as raised:
            operation()
        assert raised.value.exit_code == ExitCode.STORAGE_UNREACHABLE == 146
        assert faulty_bucket in str(raised.value)


def test_a_command_gives_up_after_the_time_that_it_is_told(
    faulty_bucket: str, proxy: FaultProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    """--storage_deadline_s, with exit code 146 and one line."""
    proxy.down = True

    def read(_: ExportConfig) -> None:
        storage.read_bytes(f"{faulty_bucket}/file")

    args = ["--run=a", "--output=b", "--storage_deadline_s=1"]
    assert entry.run(read, ExportConfig, program="x", description="", args=args) == 146
    assert capfd.readouterr().err.count("error: ") == 1
    assert 1 < proxy.count("GET") < 100


def test_an_outage_is_told_once_it_lasts(
    faulty_bucket: str, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.faults.append(Fault(status=503, times=40))
    storage.write_bytes(f"{faulty_bucket}/file", b"content")
    assert proxy.faults[0].seen == 40
    assert 1 <= len(caplog.messages) <= 2
    assert "storage fails since" in caplog.text


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_permission_is_known_at_once_and_named(
    status: int, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Exit code 77 after a single request, whatever the operation."""
    proxy.faults.append(Fault(status=status, reason="forbidden"))
    operations = {
        "storage.objects.get": lambda: storage.read_bytes(f"{faulty_bucket}/file"),
        "storage.objects.list": lambda: list(storage.list_files(faulty_bucket)),
        "storage.objects.create": lambda: storage.write_bytes(
            f"{faulty_bucket}/file", b"", if_absent=True
        ),
        "storage.objects.create and storage.objects.delete": lambda: storage.write_bytes(
            f"{faulty_bucket}/file", b""
        ),
        "storage.objects.delete": lambda: storage.delete(f"{faulty_bucket}/file"),
    }
    for permission, operation in operations.items():
        proxy.requests.clear()
        with pytest.raises(DeniedError, match=f"{permission} on {faulty_bucket}") as raised:
            operation()
        assert raised.value.exit_code == ExitCode.DENIED == 77
        assert "gcloud auth application-default login" in str(raised.value)
        assert len(proxy.requests) == 1


def test_too_many_requests_may_also_be_called_forbidden(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    proxy.faults.append(Fault(status=403, reason="rateLimitExceeded", times=3))
    storage.write_bytes(f"{faulty_bucket}/file", b"content")
    assert proxy.faults[0].seen == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_a_pause_is_left_alone_for_so_long(
    status: int, faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Retry-After counts where it is longer than the pause that would be made anyway."""
    storage.write_bytes(f"{faulty_bucket}/file", b"content")
    for read in (
        lambda: storage.read_bytes(f"{faulty_bucket}/file"),
        lambda: storage.stat(f"{faulty_bucket}/file"),
    ):
        proxy.faults[:] = [Fault(status=status, retry_after_s=1, times=1)]
        started = time.monotonic()
        read()
        assert proxy.faults[0].seen == 1
        assert time.monotonic() - started >= 1.0


def test_an_absent_bucket_is_known_at_once(bucket: str, tmp_path: Path) -> None:
    """Exit code 66, and the bucket's name, before any work."""
    started = time.monotonic()
    operations = [
        lambda: list(storage.list_files("gs://not-there/data")),
        lambda: storage.write_bytes("gs://not-there/data", b""),
    ]
    for operation in operations:
        with pytest.raises(storage.NotFoundError, match="gs://not-there does not exist") as raised:
            operation()
        assert raised.value.exit_code == ExitCode.INPUT_MISSING == 66
    assert time.monotonic() - started < IMPATIENT.deadline_s


def test_a_key_file_that_is_not_there_is_not_taken_for_anonymous(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    storage.reconnect()
    with pytest.raises(DeniedError, match=r"/no/such/key\.json cannot be used"):
        storage.read_bytes("gs://some-bucket/file")
    storage.reconnect()
