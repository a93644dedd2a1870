"""Numbers of parts survive being written down, and nonsense is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract import part_ranges
from job.contract.errors import ConfigError


@given(st.sets(st.integers(0, 10**5), min_size=1, max_size=50))
def test_numbers_survive_being_written_down(numbers: set[int]) -> None:
    text = part_ranges.format_numbers(numbers)
    assert part_ranges.parse(text) == sorted(numbers)


def test_neighbours_are_written_as_ranges() -> None:
    assert part_ranges.format_numbers([7, 3, 0, 5, 4]) == "0,3-5,7"


@pytest.mark.parametrize("text", ["x", "3-", "5-3", "1,,2", "-1", "1.5"])
def test_nonsense_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a number nor a range"):
        part_ranges.parse(text)
