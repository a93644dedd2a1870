"""YAML of strangers: plain data, or one error, in bounded time and memory."""

import contextlib
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from job.contract.plain_yaml import NotPlainError, load

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{','.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-13-45", "2024-13-45"),
        ("2024-01-02", "2024-01-02"),
        ("1e-06", 1e-06),
        ("012", 12),
        ("0x1f", "0x1f"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("yes", True),
        ("~", None),
        ("", None),
        ("!!str 12", "12"),
        ("x: &x {a: 1}\ny: {<<: *x, b: 2}", {"x": {"a": 1}, "y": {"a": 1, "b": 2}}),
    ],
)  # fmt: skip
def test_plain_data(text: str, value: Any) -> None:
    """Dates stay texts, numbers are those of YAML 1.2, aliases and merges work."""
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "more than 200,000 values, aliases counted"),
        (MERGES, "more than 200,000 values, aliases counted"),
        ("[" * 500, "more than 64 levels deep"),
        ("&a [*a]", "stands within itself"),
        ("9" * 5000, "a number of 5,000 digits"),
        ("!!int x", "its tag does not fit"),
        ("!!bool maybe", "its tag does not fit"),
        ("!!timestamp x", "not one of plain data"),
        ("!!binary abc", "not one of plain data"),
        ("!!python/object:os.system x", "not one of plain data"),
        ("{[a]: b}", "unhashable"),
        ("\ud800", "surrogate"),
        ("a\0b", "unacceptable character"),
        ("---\na\n---\nb", "another document"),
        ("x" * (5 << 20), "characters, more than"),
    ],
)
def test_what_is_no_plain_data(text: str, problem: str) -> None:
    """Each is refused at once, whatever it would become."""
    began = time.process_time()
    with pytest.raises(NotPlainError, match=problem):
        load(text)
    assert time.process_time() - began < 5.0  # Bombs took 20 s and gigabytes.


@given(text=st.text(max_size=60) | st.text("[]{}&*!:-<>|#'\"?%@`, \n01ex.~a", max_size=60))
@example(text="!!float 1:2")
@example(text="? - a\n: *b")
def test_any_text_is_data_or_an_error(text: str) -> None:
    with contextlib.suppress(NotPlainError):
        load(text)
