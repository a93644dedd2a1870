"""What is read from a bucket is what is there, or there is one error that says why not."""

import contextlib
import gzip
import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job import storage
from job.contract.errors import ConfigError, DataError, ExitCode, StorageUnreachableError
from job.storage import media_answer
from job.storage.interface import ChangedError
from job.storage.stream import ReadAhead
from tests.fault_proxy import Fault, FaultProxy

SIZE = 5_000
BLOCK = 700
OLD, NEW = (random.Random(seed).randbytes(SIZE) for seed in (1, 2))
HASTY = storage.Patience(
    deadline_s=0.2, read_timeout_s=5.0, first_wait_s=0.001, longest_wait_s=0.01, quiet_s=60
)
MEDIA = "alt=media"


def read_ahead(path: str) -> bytes:
    with io.BufferedReader(ReadAhead(path, BLOCK), 100) as stream:
        return stream.read()


def read_ranges(path: str) -> bytes:
    """In parts, and not in order."""
    with storage.open_for_reading(path) as stream:
        stream.seek(SIZE // 2)
        second = stream.read()
        stream.seek(0)
        return stream.read(SIZE // 2) + second


def download(path: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        storage.download(path, f"{folder}/copy")
        return Path(f"{folder}/copy").read_bytes()


def describe(path: str) -> bytes:
    """Ask for the object's metadata only."""
    return storage.stat(path).path.encode()


def read_pinned(path: str) -> bytes:
    """A few ranges of one generation, as the images of an archive are read."""
    generation = storage.stat(path).generation
    starts = range(0, SIZE, BLOCK)
    parts = [storage.read_bytes(path, s, s + BLOCK, generation=generation) for s in starts]
    return b"".join(parts)


READERS: dict[str, Callable[[str], bytes]] = {
    "whole": storage.read_bytes,
    "ahead": read_ahead,
    "ranges": read_ranges,
    "pinned": read_pinned,
    "download": download,
}

faults = st.builds(
    Fault,
    paths=st.just(MEDIA),
    times=st.integers(1, 3),
    share=st.sampled_from([0.3, 1.0]),
    cut_at=st.none() | st.integers(0, SIZE),
    sent_bytes=st.none() | st.integers(1, SIZE),
    honest=st.booleans(),
    without_range=st.booleans(),
    shift_range=st.sampled_from([0, 0, 0, -1, 1, BLOCK]),
    corrupt_body=st.just(False),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fault=faults,
    reader=st.sampled_from(list(READERS)),
    replaced_before=st.none() | st.integers(1, 8),
    heeds_generation=st.booleans(),
)
def test_any_fault_gives_the_content_or_one_error(
    faulty_bucket: str,
    emulator: str,
    proxy: FaultProxy,
    fault: Fault,
    reader: str,
    replaced_before: int | None,
    heeds_generation: bool,
) -> None:
    """An object replaced, cut short, sent whole or another part of it: never a mixture."""
    proxy.faults.clear()
    storage.reconnect(HASTY)
    path = f"{faulty_bucket}/object"
    storage.write_bytes(path, OLD)
    if replaced_before is not None:
        replace = Replacement(emulator, path, on_request=replaced_before)
        proxy.faults.append(
            Fault(paths=MEDIA, before=replace, without_generation=not heeds_generation)
        )
    proxy.faults.insert(0, fault)
    with contextlib.suppress(ChangedError, StorageUnreachableError):
        content = READERS[reader](path)
        assert content in (OLD, NEW)
        assert content == OLD or replaced_before is not None


class Replacement:
    """Replaces an object before the n-th request that comes by."""

    def __init__(self, emulator: str, path: str, on_request: int) -> None:
        self._emulator = emulator
        self._bucket, self._name = path.removeprefix("gs://").split("/", 1)
        self._left = on_request

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            put(self._emulator, f"gs://{self._bucket}/{self._name}", NEW)


def put(emulator: str, path: str, content: bytes) -> None:
    """Write an object behind the proxy's back."""
    bucket, name = path.removeprefix("gs://").split("/", 1)
    url = f"{emulator}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
    requests.post(url, data=content, timeout=30).raise_for_status()


@pytest.mark.parametrize("reader", ["ahead", "ranges", "pinned"])
@pytest.mark.parametrize("heeds_generation", [True, False])
def test_an_object_replaced_while_it_is_read_is_one_clear_error(
    faulty_bucket: str, emulator: str, proxy: FaultProxy, reader: str, heeds_generation: bool
) -> None:
    """Exit code 66; also where a server pays no heed to the generation that was asked for."""
    path = f"{faulty_bucket}/object"
    storage.write_bytes(path, OLD)
    proxy.faults.append(
        Fault(
            paths=MEDIA,
            before=Replacement(emulator, path, on_request=2),
            without_generation=not heeds_generation,
        )
    )
    with pytest.raises(ChangedError, match="object changed while it was read") as error:
        READERS[reader](path)
    assert error.value.exit_code == ExitCode.INPUT_MISSING == 66


def test_an_object_deleted_while_it_is_read_is_the_same_error(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    path = f"{faulty_bucket}/object"
    storage.write_bytes(path, OLD)
    with ReadAhead(path, BLOCK) as stream:
        storage.delete(path)
        with pytest.raises(ChangedError, match="changed while it was read"):
            stream.readall()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(paths=MEDIA, cut_at=100, times=3),
        Fault(paths=MEDIA, sent_bytes=100, times=3),
        Fault(paths=MEDIA, sent_bytes=100, honest=False, times=3),
        Fault(paths=MEDIA, shift_range=1, times=3),
        Fault(paths=MEDIA, without_range=True),
    ],
    ids=["cut", "short", "short-and-silent", "shifted", "whole"],
)
def test_a_fault_that_passes_costs_nothing_but_time(
    faulty_bucket: str, proxy: FaultProxy, fault: Fault, reader: str
) -> None:
    proxy.faults.append(fault)
    storage.write_bytes(f"{faulty_bucket}/object", OLD)
    assert READERS[reader](f"{faulty_bucket}/object") == OLD


def test_a_large_object_is_not_read_whole_for_each_part(
    faulty_bucket: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that drops Range headers would cost the square of the object's size."""
    monkeypatch.setattr(media_answer, "MOST_SKIPPED_BYTES", 1_000)
    storage.write_bytes(f"{faulty_bucket}/object", OLD)
    proxy.faults.append(Fault(paths=MEDIA, without_range=True))
    with pytest.raises(ConfigError, match="sends the whole object where a part was asked for"):
        read_ahead(f"{faulty_bucket}/object")


def test_a_part_beyond_the_end_is_empty(faulty_bucket: str, proxy: FaultProxy) -> None:
    """And one that begins before it ends with the file."""
    path = f"{faulty_bucket}/object"
    storage.write_bytes(path, OLD)
    storage.write_bytes(f"{faulty_bucket}/empty", b"")
    assert storage.read_bytes(path, SIZE, SIZE + 9) == b""
    assert storage.read_bytes(path, SIZE + 9) == b""
    assert storage.read_bytes(path, SIZE - 9, SIZE + 9) == OLD[-9:]
    assert storage.read_bytes(f"{faulty_bucket}/empty", 0, 9) == b""
    assert read_ahead(f"{faulty_bucket}/empty") == b""


@pytest.mark.parametrize("reader", [*READERS, "stat"])
def test_a_transfer_that_hardly_moves_is_broken_off(
    faulty_bucket: str, proxy: FaultProxy, reader: str
) -> None:
    """A byte now and then satisfies a timeout for ever; the log says how little came."""
    path = f"{faulty_bucket}/object"
    storage.write_bytes(path, OLD)
    storage.reconnect(
        storage.Patience(deadline_s=0.3, read_timeout_s=0.2, first_wait_s=0.01, quiet_s=60)
    )
    pattern = "/o/object\\?" if reader == "stat" else MEDIA
    proxy.faults.append(Fault(paths=pattern, bytes_per_s=100, piece_bytes=1))
    with pytest.raises(StorageUnreachableError, match=r"only [\d,]+ bytes came in"):
        (READERS | {"stat": describe})[reader](path)


def test_a_stream_that_was_read_to_its_end_is_what_its_checksum_says(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    path = f"{faulty_bucket}/object"
    storage.write_bytes(path, OLD)
    proxy.faults.append(Fault(paths=MEDIA, corrupt_body=True, times=1))
    with pytest.raises(StorageUnreachableError, match="was damaged on its way: crc32c"):
        read_ahead(path)


def put_encoded(emulator: str, path: str, stored: bytes) -> None:
    """Write an object with Content-Encoding: gzip, a custom time and a hold."""
    bucket, name = path.removeprefix("gs://").split("/", 1)
    url = f"{emulator}/upload/storage/v1/b/{bucket}/o?uploadType=media&contentEncoding=gzip"
    requests.post(f"{url}&name={name}", data=stored, timeout=30).raise_for_status()
    about = {"customTime": "2020-01-01T00:00:00Z", "temporaryHold": True}
    requests.patch(
        f"{emulator}/storage/v1/b/{bucket}/o/{name}", json=about, timeout=30
    ).raise_for_status()


@pytest.mark.parametrize("reader", READERS)
def test_what_is_stored_compressed_is_read_as_what_it_is(
    bucket: str, emulator: str, reader: str
) -> None:
    """As `gcloud storage cp -z` leaves a file; in parts, too."""
    path = f"{bucket}/object"
    put_encoded(emulator, path, gzip.compress(OLD))
    assert storage.stat(path).encoding == "gzip"
    assert next(storage.list_files(bucket)).encoding == "gzip"
    assert READERS[reader](path) == OLD


@pytest.mark.parametrize("reader", READERS)
def test_a_compressed_file_stays_one(bucket: str, emulator: str, reader: str) -> None:
    """Uploaders guess the encoding of a .tar.gz by its name; the file is the stored bytes."""
    path = f"{bucket}/file.tar.gz"
    put_encoded(emulator, path, OLD)
    assert READERS[reader](path) == OLD


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("stored", [OLD, gzip.compress(OLD)[:-9]], ids=["plain", "cut"])
def test_what_is_not_compressed_as_it_says_is_named(
    bucket: str, emulator: str, reader: str, stored: bytes
) -> None:
    path = f"{bucket}/object"
    put_encoded(emulator, path, stored)
    with pytest.raises(DataError, match=r"Content-Encoding: gzip.*--clear-content-encoding"):
        READERS[reader](path)
