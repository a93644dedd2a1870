"""Texts for people: nothing in them can steer a terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.wording import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\xe9 \u98df", "caf\xe9 \u98df"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj.\u202egnp", r"gpj.\u202egnp"),
        ("back\x08\r", r"back\x08\r"),
        ("undecodable \udcff", r"undecodable \udcff"),
        ("a line\n\ta tab", "a line\n\ta tab"),
    ],
)
def test_escapes_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_name_keeps_no_line_breaks() -> None:
    assert printable("a\nerror: forged", keep="") == r"a\nerror: forged"


@given(text=st.text(st.characters()))
def test_whatever_it_is_can_be_printed(text: str) -> None:
    printable(text).encode("utf-8")
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text
