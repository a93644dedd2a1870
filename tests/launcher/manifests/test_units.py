"""Sizes, CPUs and times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import UsageError
from launcher.manifests import quantities, units


@given(st.integers(1, 2**45))
def test_sizes_are_never_rounded_down(size: int) -> None:
    """What is written holds what was asked for, and not a Mi more."""
    written = quantities.parse_bytes(quantities.format_bytes(size), "size")
    assert size <= written < size + 2**20


@given(st.integers(1, 10_000_000))
def test_cpus_round_trip(millis: int) -> None:
    """CPUs are written and read back alike."""
    assert quantities.parse_millicpus(quantities.format_millicpus(millis), "cpus") == millis


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
        quantities.parse_bytes(text, "--memory")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1m"), (61, "1m 1s"), (3600, "1h"), (183600, "2d 3h")]
)
def test_times_are_written_in_two_units(seconds: float, text: str) -> None:
    """Long times need no seconds."""
    assert units.format_seconds(seconds) == text


@given(
    number=st.decimals("0.001", "99999", places=3),
    unit=st.sampled_from(["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]),
)
def test_what_is_typed_and_what_a_server_says_are_read_alike(number: object, unit: str) -> None:
    """One grammar: a size that somebody asks for is the size that a node is compared with."""
    text = f"{number}{unit}"
    assert 0 <= quantities.parse_bytes(text, "size") - quantities.parse(text) < 1


@pytest.mark.parametrize("text", ["", "0", "1.5m", "-1", "1e3", "4 cores", "2Gi", "٣", ".5"])
def test_wrong_cpus(text: str) -> None:
    with pytest.raises(UsageError, match="number of CPUs"):
        quantities.parse_millicpus(text, "--cpus")


@pytest.mark.parametrize(
    ("text", "amount"), [("1e3", 1000), ("500m", 0.5), ("1.5Gi", 1.5 * 2**30), ("12E", 1.2e19)]
)
def test_a_servers_amounts(text: str, amount: float) -> None:
    assert quantities.parse(text) == amount
