"""Archives that claim what they do not hold, next to those that every tar program makes."""

import gzip
import io
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from job.contract.errors import DataError
from job.images import archives, tar_members, unpacked
from job.images.tar_members import BLOCK, TarMember

GIB = 1 << 30


def header(name: str = "a.jpg", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def pax(*records: tuple[str, str]) -> bytes:
    content = b""
    for key, value in records:
        body = f" {key}={value}\n".encode()
        length = len(body)
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        content += f"{length}".encode() + body
    return header("pax", len(content), tarfile.XHDTYPE) + padded(content)


END = bytes(2 * BLOCK)
FILE = header(size=3) + padded(b"abc")


def found(content: bytes) -> list[tuple[str, str, bytes]]:
    """Names, kinds and contents of all members."""
    stream = io.BytesIO(content)
    return [(m.name, m.kind, m.read(1 << 20)) for m in tar_members.members(stream, "x.tar")]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("length", [1, 99, 100, 101, 255])
def test_what_tar_programs_write_is_read(format_: int, length: int) -> None:
    name = ("ordner/" + "ä" * 300)[: length - 4] + ".jpg" if length > 8 else "x"
    if format_ == tarfile.USTAR_FORMAT:
        name = "x" * min(length, 100)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format_) as archive:
        for one, content in ((name, b"abc" * 300), ("second", b""), ("third", b"z" * 512)):
            info = tarfile.TarInfo(one)
            info.size, info.mtime = len(content), 1.5
            archive.addfile(info, io.BytesIO(content))
    assert found(target.getvalue()) == [
        (name, "file", b"abc" * 300), ("second", "file", b""), ("third", "file", b"z" * 512)
    ]  # fmt: skip


def test_what_this_systems_tar_writes_is_read(tmp_path: Path) -> None:
    """Folders, links, a FIFO, a sparse file with many holes, a name of 200 characters."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / ("n" * 200)).write_bytes(b"long")
    (folder / "one").write_bytes(b"1" * 1000)
    (folder / "link").symlink_to("one")
    (folder / "hard").hardlink_to(folder / "one")
    with (folder / "sparse").open("wb") as file:
        for hole in range(60):
            file.seek(hole << 20)
            file.write(b"data")
    subprocess.run(["mkfifo", str(folder / "pipe")], check=True)
    for form in ("gnu", "posix"):
        path = tmp_path / f"{form}.tar"
        subprocess.run(
            ["tar", "--sparse", f"--format={form}", "-cf", str(path), "-C", str(folder), "."],
            check=True,
        )
        members = {name.removeprefix("./"): kind for name, kind, _ in found(path.read_bytes())}
        assert members.pop("sparse", "sparse") == "sparse"
        assert {k: v for k, v in members.items() if "sparse" not in v} == {
            ".": "folder", "n" * 200: "file", "pipe": "device", "link": "link",
        } | {"one": members["one"], "hard": members["hard"]}  # fmt: skip
        assert {members["one"], members["hard"]} == {"file", "link"}


def test_what_is_no_file_is_passed_over_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    content = b"".join(
        [
            header("link", kind=tarfile.SYMTYPE),
            header("device", kind=tarfile.CHRTYPE),
            header("odd", 5, b"V") + padded(b"12345"),
            pax(("GNU.sparse.major", "1")) + FILE,
            FILE,
            END,
        ]
    )
    with caplog.at_level("INFO"):
        names = [m.name for m in tar_members.files(io.BytesIO(content), "x.tar")]
    assert names == ["a.jpg"]
    assert [record.getMessage() for record in caplog.records] == [
        "x.tar: 1 devices passed over",
        "x.tar: 1 links passed over",
        "x.tar: 1 sparse files passed over",
        "x.tar: 1 members of unknown kinds passed over",
    ]


def size_field(value: bytes) -> bytes:
    """A header whose size is written as it stands, its checksum right."""
    raw = bytearray(header())
    raw[124:136] = value.ljust(12, b"\0")
    raw[148:156] = b" " * 8
    raw[148:156] = f"{sum(raw):06o}\0 ".encode()
    return bytes(raw)


HOSTILE = {
    "2^50 bytes": header(size=1 << 50),
    "negative": size_field(b"\xff" * 12),
    "2^62 and more": size_field(b"\x80" + b"\x7f" * 11),
    "minus in octal": size_field(b"-0000000007"),
    "words for a size": size_field(b"many"),
    "pax size of 5,000 digits": pax(("size", "9" * 5000)) + FILE,
    "pax size below 0": pax(("size", "-1")) + FILE,
    "pax without length": header("pax", 300, tarfile.XHDTYPE) + padded(b"x" * 300) + FILE,
    "pax that ends in its length": header("pax", 3, tarfile.XHDTYPE) + padded(b"123") + FILE,
    "pax record of no length": header("pax", 6, tarfile.XHDTYPE) + padded(b"0 a=b\n") + FILE,
    "pax record beyond its header": header("pax", 6, tarfile.XHDTYPE) + padded(b"999 a=") + FILE,
    "a thousand long names": (header("n", 3, tarfile.GNUTYPE_LONGNAME) + padded(b"abc")) * 1000,
    "a thousand pax headers": pax(("path", "x")) * 1000 + FILE,
    "data behind the end": FILE + END + FILE,
    "cut within a header": FILE + FILE[:100],
    "cut within a member": FILE + header(size=3),
    "nothing": b"",
    "text": b"<html>" * 200,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_is_one_line(name: str) -> None:
    with pytest.raises(DataError, match=r"x\.tar is damaged, cut short or no archive") as error:
        found(HOSTILE[name])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_header_of_two_gib_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    """2 MB of gzip."""
    path = tmp_path / "bomb.tar.gz"
    start = f"{2 * GIB} path=".encode() if kind == tarfile.XHDTYPE else b""
    piece = gzip.compress(b"n" * (16 << 20), 1)
    path.write_bytes(gzip.compress(header("x", 2 * GIB, kind) + start) + 128 * piece)
    code = (
        "import resource, sys\n"
        "from job.contract.errors import DataError\n"
        "from job.images import archives\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: print([m.name for m in archives.members(sys.argv[1])])\n"
        "except DataError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    said, grown_kib = answer.stdout.splitlines()
    assert said == "[]" or "is damaged, cut short" in said
    assert int(grown_kib) < 64 << 10


def test_a_member_with_a_name_beyond_measure_is_passed_over() -> None:
    long = tar_members.MAX_NAME_BYTES + 1
    content = (
        header("n", long, tarfile.GNUTYPE_LONGNAME)
        + padded(b"n" * long)
        + FILE
        + pax(("path", "p" * long))
        + FILE
        + FILE
        + END
    )
    assert [kind for _, kind, _ in found(content)] == ["nameless", "nameless", "file"]


def test_a_member_that_no_stream_can_hold_ends_at_once(tmp_path: Path) -> None:
    path = tmp_path / "endless.tar.gz"
    path.write_bytes(gzip.compress(header(size=1 << 50)))
    with pytest.raises(DataError, match="cut short within a member"):
        list(archives.members(str(path)))


def test_a_stream_that_unpacks_beyond_measure_is_left(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    zeros = gzip.compress(bytes(16 << 20), 9)
    path.write_bytes(gzip.compress(header(size=GIB)) + 64 * zeros)
    target = tmp_path / "unpacked"
    for use in (lambda: list(archives.members(str(path))),
                lambda: archives.unpack(str(path), str(target))):  # fmt: skip
        with pytest.raises(DataError, match="unpacks to more than 256 times its size"):
            use()
    assert [one.name for one in tmp_path.iterdir()] == ["bomb.tar.gz"]
    assert path.stat().st_size * unpacked.MOST_PER_BYTE < GIB


def seeds() -> list[bytes]:
    """Small archives of all forms, for mutation."""
    made = [FILE + END, pax(("path", "p" * 200), ("size", "3")) + FILE + END]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=form) as archive:
            for name in ("a/b.jpg", "n" * 90 + ("" if form == tarfile.USTAR_FORMAT else "n" * 90)):
                info = tarfile.TarInfo(name)
                info.size = 700
                archive.addfile(info, io.BytesIO(b"z" * 700))
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, "a/b.jpg"
            archive.addfile(info)
        made.append(target.getvalue()[: 12 * BLOCK] + END)
    return made


def mutated(content: bytes, choose: random.Random) -> bytes:
    """Damage some bytes; headers keep a right checksum every other time, to get further."""
    raw = bytearray(content)
    for _ in range(choose.randrange(1, 6)):
        block = choose.randrange(len(raw) // BLOCK) * BLOCK
        at = block + choose.choice([0, 124, 130, 156, 257, 345, 482, choose.randrange(BLOCK)])
        for offset in range(at, min(at + choose.randrange(1, 13), len(raw))):
            raw[offset] = choose.choice([0, 0xFF, 0x80, 0x20, 0x37, choose.randrange(256)])
        if choose.random() < 0.7:
            raw[block + 148 : block + 156] = b" " * 8
            total = sum(raw[block : block + BLOCK])
            raw[block + 148 : block + 156] = f"{total:06o}\0 ".encode()
    cut = choose.randrange(len(raw)) if choose.random() < 0.1 else len(raw)
    return bytes(raw[:cut])


def check_mutations(seed: int, count: int) -> None:
    choose = random.Random(seed)
    pool = seeds()
    for _ in range(count):
        content = mutated(choose.choice(pool), choose)
        if choose.random() < 0.2:
            packed = bytearray(gzip.compress(content, 1))
            packed[choose.randrange(len(packed))] ^= 1 << choose.randrange(8)
            content = bytes(packed)
        try:
            read_all(content)
        except DataError as error:
            one_line(error)


def read_all(content: bytes) -> None:
    stream: io.BufferedIOBase = io.BytesIO(content)
    if content.startswith(b"\x1f\x8b"):
        stream = unpacked.limited(gzip.GzipFile(fileobj=stream), lambda: len(content), "x")
    for member in tar_members.files(stream, "x"):
        check(member, len(content))


def check(member: TarMember, most: int) -> None:
    assert len(member.read(100)) <= 100
    assert len(member.name.encode("utf-8", "surrogateescape")) <= tar_members.MAX_NAME_BYTES
    assert member.start >= 0


def one_line(error: DataError) -> None:
    assert len(str(error).splitlines()) == 1


def test_two_thousand_damaged_archives_give_members_or_one_line() -> None:
    check_mutations(seed=17, count=2000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_twenty_thousand_damaged_archives_give_members_or_one_line(seed: int) -> None:
    check_mutations(seed, count=2000)


@given(strategies.binary(max_size=2000))
@settings(deadline=None)
def test_any_bytes_give_members_or_one_line(content: bytes) -> None:
    try:
        read_all(content)
    except DataError as error:
        one_line(error)
