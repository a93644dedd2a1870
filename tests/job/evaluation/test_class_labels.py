"""Classes may be called anything: in figures and in TensorBoard their names are only shown."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from job.evaluation.class_labels import drawable, markdown
from job.training.evaluation_summary import confusion_picture

NAMES = [
    "apple pie", "$x^2$", "$", "寿司", "拉麺", "焼鳥", "פיצה", "🍕", "<b>bold</b>", "a|b",
    "x" * 300, "x" * 301, "two\nlines", "\x1b[31mred", "", "\\frac{1}{", "_snake_", "é",
]  # fmt: skip


def test_a_picture_of_any_names_is_drawn_without_a_warning() -> None:
    """Warnings are errors here; missing glyphs and collapsing layouts would warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = confusion_picture(np.eye(len(NAMES), dtype=np.int64), NAMES)
    assert pixels.shape == (960, 960, 3)
    assert pixels.std() > 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=12, unique=True))
@example(["1 ??", "寿司", "拉麺", "0 ?"])
def test_labels_are_short_lines_that_differ(names: list[str]) -> None:
    labels = drawable(names)
    assert len(set(labels)) == len(names)
    assert all(len(label) < 50 and "\n" not in label for label in labels)


def test_names_that_can_be_drawn_are_left_alone() -> None:
    assert drawable(["apple_pie", "crème brûlée", "$5 menu"]) == [
        "apple_pie",
        "crème brûlée",
        "$5 menu",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_letters_only(name: str) -> None:
    """Nothing in a name ends a table's cell, begins a tag or a heading."""
    text = markdown(name)
    assert text
    assert not set(text) & set("|<>`*_[]\n\x1b")
