"""The report is true, stands alone, and believes nothing that a dataset tells it."""

import html.parser
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.configs import TrainConfig, to_dict
from job.evaluation.counts import Tally, count
from job.evaluation.figures import matrix_drawing, reliability_svg
from job.evaluation.metrics import judge, most_confused
from job.evaluation.report import ConfusedPair, Subject, metrics_document, page, write
from job.evaluation.shown_examples import Exhibit
from job.evaluation.verdicts import percent, summary
from tests.job.browser import rendered_dom

SUBJECT = Subject(
    run="/runs/one",
    step=40,
    checkpoint="/runs/one/checkpoints/step-00000040",
    data="/data/digits",
    dataset="digits",
    split="test",
    image_size_px=32,
    precision="float32",
    batch_size=8,
    seconds=1.5,
    finished_at="2026-11-23 12:00 UTC",
)
HOSTILE = [
    "<script>document.title='owned'</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</script><script>document.title='owned'</script>",
    "{{ 7 * 7 }}&amp;",
]


def make_tally(classes: int, examples: int, skill: float, seed: int = 0) -> Tally:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    logits = rng.normal(size=(examples, classes))
    logits[np.arange(examples), labels] += skill
    return count(logits, labels)


def make_page(classes: list[str], tally: Tally) -> str:
    exhibit = Exhibit(
        np.full((8, 8, 3), 99, np.uint8), f"{classes[0]}/1.jpg", 0, 0.25, ((1, 0.5), (0, 0.25))
    )
    return page(
        SUBJECT,
        classes,
        tally,
        pairs=[ConfusedPair(pair, (exhibit,)) for pair in most_confused(tally, 5)],
        hardest=[exhibit],
        config=to_dict(TrainConfig(data="/data/digits", run=classes[0])),
    )


class _Addresses(html.parser.HTMLParser):
    """Collects what a browser would go and fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                self.found.append(value or "")


def test_metrics_json_holds_the_numbers_of_the_tally(tmp_path) -> None:
    tally = make_tally(10, 200, 2.0)
    write(str(tmp_path), metrics_document(SUBJECT, list("abcdefghij"), tally), "<p>")
    document = json.loads((tmp_path / "metrics.json").read_text())
    quality = judge(tally)
    assert document["examples"] == 200
    assert document["top1"] == quality.top1.hits / 200
    assert document["top5"] == quality.top5.hits / 200
    assert document["top1_interval"][0] < document["top1"] < document["top1_interval"][1]
    assert document["ece"] == quality.ece
    assert np.trace(document["confusion_matrix"]) == quality.top1.hits
    assert [entry["class"] for entry in document["per_class"]] == list("abcdefghij")
    assert sum(entry["examples"] for entry in document["reliability"]) == 200


def test_numbers_that_are_not_defined_are_null_and_the_json_is_strict() -> None:
    tally = count(np.eye(3)[[0, 0]], np.array([0, 0]))
    text = json.dumps(metrics_document(SUBJECT, ["a", "b", "c"], tally), allow_nan=False)
    entry = json.loads(text)["per_class"][2]
    assert entry["recall"] is None
    assert entry["precision"] is None
    assert entry["f1"] is None


@pytest.mark.parametrize("classes", [1, 2, 10, 101])
def test_the_page_fetches_nothing(classes: int) -> None:
    text = make_page([f"class_{i}" for i in range(classes)] + ["x"], make_tally(classes + 1, 99, 1))
    addresses = _Addresses()
    addresses.feed(text)
    assert addresses.found
    assert all(found.startswith(("data:image/", "#")) for found in addresses.found)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub('base64,[^"]*', "", text))
    assert "default-src 'none'" in text


def test_hostile_names_are_shown_and_not_obeyed(tmp_path) -> None:
    tally = make_tally(4, 60, 0.5)
    text = make_page(HOSTILE, tally)
    for name in HOSTILE[:3]:
        assert name not in text
    assert "<img src=x" not in text
    assert "{{ 7 * 7 }}&amp;amp;" in text
    (tmp_path / "report.html").write_text(text)
    dom = rendered_dom(str(tmp_path / "report.html"), str(tmp_path / "profile"))
    assert "<title>owned</title>" not in dom
    assert dom.count("<script") == 2


def test_the_page_renders_and_its_script_runs(tmp_path) -> None:
    classes = [f"class_{i}" for i in range(101)]
    text = make_page(classes, make_tally(101, 1000, 2.0))
    # Sorted by name at the end, as if the reader had asked for it twice; the page's own policy
    # would not let this script run, so it goes for this one test.
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    ask = "<script>const b = document.querySelector('th button'); b.click(); b.click();</script>"
    (tmp_path / "report.html").write_text(policy.sub("", text).replace("</body>", ask + "</body>"))
    dom = rendered_dom(str(tmp_path / "report.html"), str(tmp_path / "profile"))
    body = dom[dom.index("<tbody") :]
    names = re.findall(r'<th scope="row">([^<]*)</th>', body)
    assert names == sorted((name.replace("_", " ") for name in classes), reverse=True)
    assert dom.count('scope="row"') == 101


def test_the_page_s_own_policy_lets_its_script_run(tmp_path) -> None:
    (tmp_path / "report.html").write_text(make_page(["a", "b"], make_tally(2, 10, 1.0)))
    dom = rendered_dom(str(tmp_path / "report.html"), str(tmp_path / "profile"))
    assert '<html lang="en" class="scripted">' in dom


def test_a_perfect_model_is_not_said_to_be_infallible() -> None:
    tally = count(np.eye(3) * 50, np.arange(3))
    text = make_page(["a", "b", "c"], tally)
    assert "No image was taken for another class" in text
    assert "all 3 images" in text
    assert "at least 43.9 %" in text


@given(st.floats(0, 1))
def test_only_all_is_a_hundred_percent_and_only_nothing_is_zero(share: float) -> None:
    text = percent(share)
    assert (text == "100 %") == (share == 1.0)
    assert (text == "0 %") == (share == 0.0)


def test_undefined_shares_are_a_dash() -> None:
    assert percent(None) == "-"


def test_the_summary_names_the_best_and_the_worst_class() -> None:
    predicted, labels = np.array([0, 0, 1, 0, 2]), np.array([0, 0, 1, 1, 1])
    text = summary(judge(count(np.eye(3)[predicted], labels)), ["pie", "rice", "soup"])
    assert "3 of 5 images" in text
    assert "knows pie best (2 of 2) and rice least (1 of 3)" in text


def test_figures_take_their_colours_from_the_page_and_are_the_same_each_time() -> None:
    quality = judge(make_tally(10, 300, 1.5))
    drawing = reliability_svg(quality)
    assert drawing == reliability_svg(quality)
    assert "var(--hit)" in drawing
    assert not re.search(r"#0\d0\d0\d", drawing)
    assert "<style" not in drawing
    assert "http" not in drawing


def test_every_counted_cell_is_drawn_once() -> None:
    tally = make_tally(101, 2000, 2.0)
    drawing = matrix_drawing(tally.confusion)
    squares = [
        (shade.kind, int(row), int(column))
        for shade in drawing.shades
        for column, row in re.findall(r"M(\d+) (\d+)h1v1h-1z", shade.path)
    ]
    expected = [
        ("hit" if row == column else "miss", int(row), int(column))
        for row, column in np.argwhere(tally.confusion)
    ]
    assert sorted(squares) == sorted(expected)
    assert {cell[:2] for cell in drawing.cells} == {square[1:] for square in squares}
