"""Of what a process writes, the beginning and the end are kept in little space."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.process.kept_log import BoundedLog

HEAD, TAIL = 10, 7
GAP = re.compile(rb"\n\[([\d,]+) bytes are missing here: the log is too long\]\n")


@given(st.lists(st.binary(max_size=25), max_size=30))
def test_a_short_log_is_whole_and_a_long_one_has_its_beginning_and_its_end(
    pieces: list[bytes],
) -> None:
    with contextlib.closing(BoundedLog(HEAD, TAIL)) as log:
        for piece in pieces:
            log.write(piece)
        seen, kept = log.seen, log.content()
    written = b"".join(pieces)
    assert seen == len(written)
    gap = GAP.search(kept)
    if gap is None:
        assert kept == written
        assert len(kept) <= HEAD + 2 * TAIL
        return
    begin, end = kept[: gap.start()], kept[gap.end() :]
    assert begin == written[:HEAD]
    assert written.endswith(end)
    assert TAIL <= len(end) <= 2 * TAIL
    assert len(begin) + int(gap[1].replace(b",", b"")) + len(end) == len(written)


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with room for 64 KiB."""
    if os.geteuid():
        pytest.skip("mounting a small file system needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small file system")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_disk_costs_lines_and_says_so(small_disk: Path) -> None:
    """Once there is room again, the log goes on."""
    other = small_disk / "other"
    with contextlib.closing(BoundedLog()) as log:
        log.write(b"begin\n")
        other.write_bytes(b"x" * 60 * 1024)
        log.write(b"y" * 64 * 1024)
        assert b"bytes are missing here: the disk took nothing]" in log.content()
        other.unlink()
        log.write(b"end\n")
        kept = log.content()
        assert kept.startswith(b"begin\n")
        assert kept.endswith(b"]\nend\n")
        assert kept.count(b"missing") == 1
