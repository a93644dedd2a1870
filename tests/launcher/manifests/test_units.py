"""Sizes, CPUs and times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import UsageError
from launcher.manifests import units


@given(st.integers(1, 2**45))
def test_sizes_are_never_rounded_down(size: int) -> None:
    """What is written holds what was asked for, and not a Mi more."""
    written = units.parse_bytes(units.format_bytes(size), "size")
    assert size <= written < size + 2**20


@given(st.integers(1, 10_000_000))
def test_cpus_round_trip(millis: int) -> None:
    """CPUs are written and read back alike."""
    assert units.parse_millicpus(units.format_millicpus(millis), "cpus") == millis


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("7d", 604800), ("1d1h1m1s", 90061)]
)
def test_times(text: str, seconds: int) -> None:
    """Times are read in days, hours, minutes and seconds."""
    assert units.parse_seconds(text, "time") == seconds


@pytest.mark.parametrize("text", ["", "7", "1h 30m", "-1h", "0s", "1w", "30m1h", "99999d", "٣h"])
def test_wrong_times(text: str) -> None:
    """Anything else is refused with examples."""
    with pytest.raises(UsageError, match=r"^--ttl"):
        units.parse_seconds(text, "--ttl")


@pytest.mark.parametrize("text", ["", "8 GB", "0Gi", "-1Gi", "1e3", "Gi", "8GiB", "٣Gi"])
def test_wrong_sizes(text: str) -> None:
    """Sizes are Kubernetes' own."""
    with pytest.raises(UsageError, match="size such as"):
        units.parse_bytes(text, "--memory")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1m"), (61, "1m 1s"), (3600, "1h"), (183600, "2d 3h")]
)
def test_times_are_written_in_two_units(seconds: float, text: str) -> None:
    """Long times need no seconds."""
    assert units.format_seconds(seconds) == text
