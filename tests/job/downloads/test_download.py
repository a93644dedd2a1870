"""Downloads over bad lines from bad servers: whole and checked in the end, or not used at all."""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job.contract.configs import DownloadConfig
from job.contract.errors import (
    ConfigError,
    DataError,
    DeniedError,
    InputMissingError,
    JobError,
    NoSpaceError,
    StorageUnreachableError,
)
from job.downloads.assets import ASSETS, download
from job.downloads.http import Persistence, fetch
from job.downloads.partial_file import Expected, PartialFile
from job.downloads.slim_archive import CHECKPOINT, extract_checkpoint
from tests.http_mirror import Mirror

CONTENT = np.random.default_rng(0).bytes(700_000)
RIGHT = Expected(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
QUICK = Persistence(attempts=3, first_wait_s=0.001, connect_timeout_s=2, read_timeout_s=2)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror(CONTENT) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "pretrained.tar.gz"


def get(mirror: Mirror, target: Path, expected: Expected = RIGHT) -> None:
    fetch(mirror.url, str(target), expected, QUICK)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_arrives_whole_and_alone(mirror: Mirror, target: Path) -> None:
    get(mirror, target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == [target.name]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(st.integers(0, 300_000), max_size=5),
    ranges=st.booleans(),
    etag=st.sampled_from(['"strong"', 'W/"weak"', None]),
    last_modified=st.sampled_from(["Mon, 23 Nov 2026 10:00:00 GMT", None]),
)
def test_any_line_that_breaks_off_is_mended(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    ranges: bool,
    etag: str | None,
    last_modified: str | None,
) -> None:
    """With and without Range and validators, wherever it breaks."""
    target = tmp_path_factory.mktemp("breaks") / "file"
    with Mirror(CONTENT) as mirror:
        mirror.cut_after, mirror.ranges = list(cuts), ranges
        mirror.etag, mirror.last_modified = etag, last_modified
        fetch(mirror.url, str(target), RIGHT, Persistence(attempts=9, first_wait_s=0.001))
    assert target.read_bytes() == CONTENT


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(st.integers(0, 6_000), max_size=4),
    ranges=st.booleans(),
    honours_if_range=st.booleans(),
    cap=st.sampled_from([1 << 30, 1_000]),
    shift=st.sampled_from([0, 0, 1]),
    etag=st.sampled_from(['"strong"', 'W/"weak"', None]),
    with_length=st.booleans(),
    replaced=st.booleans(),
    known=st.booleans(),
)
def test_a_file_that_changes_cut_short_or_sent_whole_is_never_a_mixture(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    ranges: bool,
    honours_if_range: bool,
    cap: int,
    shift: int,
    etag: str | None,
    with_length: bool,
    replaced: bool,
    known: bool,
) -> None:
    """It is the one or the other, or there is one error; a cut that nothing tells of excepted."""
    old, new = CONTENT[:5_000], CONTENT[5_000:10_001]
    target = tmp_path_factory.mktemp("breaks") / "file"
    expected = Expected(len(old), hashlib.sha256(old).hexdigest()) if known else Expected()
    with Mirror(old) as mirror:
        mirror.cut_after, mirror.ranges, mirror.cap = list(cuts), ranges, cap
        mirror.honours_if_range, mirror.shift, mirror.etag = honours_if_range, shift, etag
        mirror.with_length = with_length
        mirror.replacements = [new] if replaced else []
        try:
            fetch(mirror.url, str(target), expected, Persistence(attempts=9, first_wait_s=0.001))
        except (StorageUnreachableError, DataError):
            assert not target.exists()
            return
    got = target.read_bytes()
    if known:
        assert got == old
    elif with_length:
        assert got in (old, new)
    else:
        assert old.startswith(got) or new.startswith(got)


def test_a_transfer_that_hardly_moves_is_broken_off(mirror: Mirror, target: Path) -> None:
    """A byte now and then satisfies a timeout for ever."""
    mirror.trickle_s = 0.01
    hasty = Persistence(attempts=2, first_wait_s=0.001, read_timeout_s=0.2)
    with pytest.raises(StorageUnreachableError, match=r"only [\d,]+ bytes came in"):
        fetch(mirror.url, str(target), RIGHT, hasty)
    mirror.trickle_s = 0.0
    get(mirror, target)
    assert target.read_bytes() == CONTENT


def test_only_what_is_missing_is_asked_for(mirror: Mirror, target: Path) -> None:
    mirror.cut_after = [400_000]
    get(mirror, target)
    first, second = mirror.ranges_asked
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 250_000


def test_a_later_start_goes_on(mirror: Mirror, target: Path) -> None:
    """The process that gave up kept its part; the next one, with the line mended, completes it."""
    mirror.cut_after = [300_000, 0, 0, 0]
    with pytest.raises(StorageUnreachableError, match=r"the first 0\.\d MB are kept"):
        get(mirror, target)
    assert not target.exists()
    get(mirror, target)
    assert target.read_bytes() == CONTENT
    assert mirror.ranges_asked[-1] not in (None, "bytes=0-")


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_file_that_changed_meanwhile_starts_over(
    mirror: Mirror, target: Path, honours_if_range: bool
) -> None:
    """Whether the server heeds If-Range or not: the two halves never mix unnoticed."""
    mirror.cut_after = [300_000, 0, 0, 0]
    with pytest.raises(StorageUnreachableError):
        get(mirror, target, Expected())
    mirror.content, mirror.etag = CONTENT[::-1] + b"longer", '"second"'
    mirror.honours_if_range = honours_if_range
    get(mirror, target, Expected())
    assert target.read_bytes() == mirror.content


def test_a_part_from_another_address_is_not_continued(mirror: Mirror, target: Path) -> None:
    mirror.cut_after = [300_000, 0, 0, 0]
    with pytest.raises(StorageUnreachableError):
        get(mirror, target)
    fetch(mirror.url + "?other", str(target), RIGHT, QUICK)
    assert mirror.ranges_asked[-1] is None
    assert target.read_bytes() == CONTENT


def test_an_archive_is_not_unpacked_on_the_way(mirror: Mirror, target: Path) -> None:
    """Servers say Content-Encoding: gzip of .tar.gz files; the file is what is stored there."""
    mirror.headers = {"Content-Encoding": "gzip"}
    get(mirror, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_is_busy_is_asked_again(mirror: Mirror, target: Path) -> None:
    mirror.statuses = [503, 429]
    get(mirror, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_is_slow_is_asked_again(mirror: Mirror, target: Path) -> None:
    mirror.pause_s = 0.4
    hasty = Persistence(attempts=2, first_wait_s=0.001, read_timeout_s=0.1)
    with pytest.raises(StorageUnreachableError, match="no answer in time"):
        fetch(mirror.url, str(target), RIGHT, hasty)
    assert len(mirror.ranges_asked) == 2
    get(mirror, target)


@pytest.mark.parametrize(
    ("status", "error"), [(404, InputMissingError), (410, InputMissingError), (403, DeniedError)]
)
def test_a_refusal_is_told_at_once(
    mirror: Mirror, target: Path, status: int, error: type[JobError]
) -> None:
    mirror.statuses = [status]
    with pytest.raises(error, match=rf"answers {status} .*--url"):
        get(mirror, target)
    assert len(mirror.ranges_asked) == 1
    assert names(target.parent) == []


def test_wrong_bytes_are_kept_aside_and_not_used(mirror: Mirror, target: Path) -> None:
    mirror.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DataError, match=r"has sha256 .* instead of .*kept as .*\.corrupt"):
        get(mirror, target)
    assert names(target.parent) == [f"{target.name}.corrupt"]
    mirror.content = CONTENT
    get(mirror, target)
    assert target.read_bytes() == CONTENT


def test_a_file_of_another_length_is_not_even_begun(mirror: Mirror, target: Path) -> None:
    mirror.content = CONTENT + b"more"
    with pytest.raises(DataError, match="offers 700,004 bytes, the file must have 700,000"):
        get(mirror, target)
    assert names(target.parent) == []


def test_a_short_file_of_unknown_length_is_kept_aside(mirror: Mirror, target: Path) -> None:
    """Without Content-Length a cut looks like an end; the length tells."""
    mirror.with_length, mirror.cut_after = False, [500_000]
    with pytest.raises(DataError, match="has 500,000 bytes instead of 700,000"):
        get(mirror, target)
    assert names(target.parent) == [f"{target.name}.corrupt"]


def test_a_file_that_is_there_is_checked_and_not_downloaded_again(
    mirror: Mirror, target: Path
) -> None:
    get(mirror, target)
    asked = len(mirror.ranges_asked)
    get(mirror, target)
    assert len(mirror.ranges_asked) == asked
    target.write_bytes(CONTENT[:-5])
    with pytest.raises(DataError, match="kept as"):
        get(mirror, target)
    assert not target.exists()


def test_a_file_that_cannot_fit_is_not_begun(mirror: Mirror, target: Path) -> None:
    """The server promises more than any disk has."""
    mirror.with_length = False
    mirror.headers = {"Content-Length": str(10**18)}
    with pytest.raises(NoSpaceError, match=r"needs 1000000000\.00 GB more"):
        get(mirror, target, Expected())
    assert names(target.parent) == []


def test_a_disk_that_fills_up_keeps_the_part(mirror: Mirror, target: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails half way."""
    program = (
        "import resource, signal, sys\n"
        "from job.process import entry\n"
        "from job.contract.configs import DownloadConfig\n"
        "from job.downloads.assets import download\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "sys.exit(entry.run(download, DownloadConfig, program='p', description='d'))\n"
    )
    args = ["vgg19", f"--output={target.parent}", f"--url={mirror.url}"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 74
    assert ended.stderr.splitlines()[-1].startswith("error: no space left for ")
    part = target.parent / f"{ASSETS['vgg19'].file}.part"
    assert part.stat().st_size == 300_000
    fetch(mirror.url, str(part)[: -len(".part")], RIGHT, QUICK)
    assert mirror.ranges_asked[-1] == "bytes=300000-"


def test_two_processes_do_not_write_one_file(mirror: Mirror, target: Path) -> None:
    with PartialFile(str(target)), pytest.raises(ConfigError, match="another process"):
        get(mirror, target)


@pytest.mark.parametrize("url", ["ftp://x/y", "food-101.tar.gz", "http:///nowhere", ""])
def test_an_address_that_is_none_is_refused(target: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="not an address"):
        fetch(url, str(target), Expected(), QUICK)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (
            "http://me:hush@127.0.0.1:9/a.tar.gz?X-Goog-Signature=hush&x=hush#hush",
            "cannot download",
        ),
        ("http://hush@127.0.0.1:9/a?hush", "cannot download"),
        ("http://me:hush@[::1/a?sig=hush", "cannot be asked for"),
        ("http://me:hush@127.0.0.1:99999/a?sig=hush", "cannot"),
        ("ftp://me:hush@host/a", "is not an address"),
    ],
)
def test_passwords_and_signatures_are_not_told(target: Path, url: str, error: str) -> None:
    with pytest.raises(JobError, match=error) as caught:
        fetch(url, str(target), Expected(), QUICK)
    assert "hush" not in str(caught.value)


def test_no_server_is_one_clear_line(target: Path) -> None:
    with Mirror(b"") as gone:
        url = gone.url
    with pytest.raises(StorageUnreachableError, match="the connection is refused; check the netw"):
        fetch(url, str(target), Expected(), QUICK)
    assert names(target.parent) == []


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def plain(name: str, content: bytes = b"weights") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


@pytest.mark.parametrize("name", ["vgg_19.ckpt", "./vgg_19.ckpt", "models/vgg_19.ckpt"])
def test_the_checkpoint_comes_out_of_its_archive(mirror: Mirror, tmp_path: Path, name: str) -> None:
    mirror.content = archive(plain("README", b"hello"), plain(name, CONTENT))
    config = DownloadConfig(what="vgg19", output=str(tmp_path / "new"), url=mirror.url)
    download(config)
    assert (tmp_path / "new" / CHECKPOINT).read_bytes() == CONTENT
    assert names(tmp_path / "new") == [CHECKPOINT]
    asked = len(mirror.ranges_asked)
    download(config)
    assert len(mirror.ranges_asked) == asked


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        (plain("../vgg_19.ckpt"), "outside"),
        (plain("models/../../x"), "outside"),
        (plain("/tmp/vgg_19.ckpt"), "outside"),
        (special("vgg_19.ckpt", tarfile.SYMTYPE, "/etc/passwd"), "link or a device"),
        (special("vgg_19.ckpt", tarfile.LNKTYPE, "other"), "link or a device"),
        (special("vgg_19.ckpt", tarfile.CHRTYPE), "link or a device"),
        (special("vgg_19.ckpt", tarfile.FIFOTYPE), "link or a device"),
        (plain("somethingelse.ckpt"), "holds no vgg_19.ckpt"),
    ],
)
def test_an_unsafe_archive_is_kept_aside(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes], fault: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "a.tar.gz"
    path.write_bytes(archive(plain("first", b"1"), member))
    with pytest.raises(DataError, match=fault):
        extract_checkpoint(str(path), str(folder))
    assert names(folder) == ["a.tar.gz.corrupt"]
    assert names(tmp_path) == ["out"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """Before anything is written: the size in the header is enough."""
    info = tarfile.TarInfo("vgg_19.ckpt")
    info.size = 1 << 40
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf() + bytes(10_000)))
    with pytest.raises(DataError, match=r"more than 2\.1 GB"):
        extract_checkpoint(str(path), str(tmp_path))
    assert names(tmp_path) == ["a.tar.gz.corrupt"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_damaged_archive_is_kept_aside(tmp_path: Path, damage: str) -> None:
    whole = archive(plain("vgg_19.ckpt", CONTENT))
    content = {
        "cut": whole[:-4000],
        "flipped": whole[:300_000] + bytes([whole[300_000] ^ 1]) + whole[300_001:],
        "text": b"<html>please log in</html>",
        "empty": b"",
    }[damage]
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged.*kept as .*a\.tar\.gz\.corrupt"):
        extract_checkpoint(str(path), str(tmp_path))
    assert names(tmp_path) == ["a.tar.gz.corrupt"]


def test_a_bucket_is_no_place_for_downloads() -> None:
    with pytest.raises(ConfigError, match="gs://b/c is a bucket"):
        download(DownloadConfig(what="food101", output="gs://b/c"))


def test_the_official_archive_is_known_by_length_and_hash() -> None:
    assert ASSETS["food101"].expected.bytes == 4_996_278_331
    assert len(ASSETS["food101"].expected.sha256) == 64
