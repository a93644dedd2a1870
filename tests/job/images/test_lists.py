"""Lists of images in whatever form people have them."""

import contextlib
import csv
import io
import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract.errors import DataError
from job.images.lists import Columns, Row, location_of, rows_of

PATHS = ("path", "file", "filename", "file_name", "image", "image_path", "img", "img_path")
LABELS = ("label", "class", "category", "target")
SPLITS = ("split", "set", "subset", "fold")
PLAIN_TEXT = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=20
)
CELL = st.one_of(PLAIN_TEXT, st.sampled_from(["a, b", "x;y", 'say "hi"', "über", "1", "0.5"]))


def read(
    content: "bytes | str", name: str = "l.csv", *columns: str, labelled: bool = True
) -> list[Row]:
    data = content.encode() if isinstance(content, str) else content
    return list(rows_of(io.BytesIO(data), name, Columns(*columns), labelled=labelled))


def written(rows: list[list[str]], separator: str) -> str:
    target = io.StringIO()
    csv.writer(target, delimiter=separator).writerows(rows)
    return target.getvalue()


@given(
    st.data(),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.lists(
        st.tuples(PLAIN_TEXT, CELL, st.sampled_from(["train", "Test", "VAL"])),
        min_size=1,
        max_size=5,
    ),
)
@settings(deadline=None, max_examples=150)
def test_any_separator_order_case_and_encoding_gives_the_same_rows(
    data: st.DataObject, separator: str, encoding: str, rows: list[tuple[str, str, str]]
) -> None:
    header = [data.draw(st.sampled_from(names)) for names in (PATHS, LABELS, SPLITS)]
    spell = data.draw(st.sampled_from([str.lower, str.upper, str.title]))
    order = data.draw(st.permutations(range(4)))
    table = [[spell(one) for one in header] + ["notes"]]
    table += [[f"img/{path}.jpg", label, split, "x"] for path, label, split in rows]
    text = written([[cells[place] for place in order] for cells in table], separator)
    found = read(text.encode(encoding))
    assert [(row.path, row.label, row.split, row.fault) for row in found] == [
        (f"img/{path}.jpg", label.strip(), {"train": "train"}.get(split, "test"), "")
        for path, label, split in rows
    ]


@given(st.lists(st.tuples(PLAIN_TEXT, st.integers(-5, 2000)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_lines_of_json_say_what_a_table_says(rows: list[tuple[str, int]]) -> None:
    lines = "".join(json.dumps({"label": n, "File_Name": f"{p}.jpg"}) + "\n" for p, n in rows)
    table = written([["File_Name", "label"], *([f"{p}.jpg", str(n)] for p, n in rows)], ",")
    assert [(r.path, r.label) for r in read(lines, "l.jsonl")] == [
        (r.path, r.label) for r in read(table)
    ]


@given(st.binary(max_size=300), st.sampled_from(["l.csv", "l.tsv", "l.jsonl", "l.txt"]))
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_rows_or_an_error(content: bytes, name: str) -> None:
    for labelled in (True, False):
        with contextlib.suppress(DataError):
            read(content, name, labelled=labelled)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/1.jpg,pie\nb/2.jpg,soup\n", "l.csv"),
        ("a/1.jpg;pie\nb/2.jpg;soup\n", "l.csv"),
        ("sep=;\r\npath;label\r\na/1.jpg;pie\r\nb/2.jpg;soup\r\n", "l.csv"),
        ("a/1.jpg\tpie\nb/2.jpg\tsoup\n", "l.tsv"),
        ("a/1.jpg pie\nb/2.jpg soup\n", "l.txt"),
        ('"a/1.jpg","pie"\n\n"b/2.jpg","soup"\n', "l.csv"),
        ("./a//1.jpg,pie\nb\\2.jpg,soup", "l.csv"),
    ],
)
def test_lists_need_no_header_where_a_row_says_what_it_is(text: str, name: str) -> None:
    assert [(row.path, row.label) for row in read(text, name)] == [
        ("a/1.jpg", "pie"),
        ("b/2.jpg", "soup"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,photo\n1,a.jpg\n", "it has: id, photo; call them path,label.*--path_column"),
        ("photo,label\na.jpg,pie\n", "it has: photo, label"),
        ("path,kind\na.jpg,pie\n", "it has: path, kind"),
        ("path,class,label\na.jpg,1,pie\n", "'class' and 'label' may be the label; .*--label_col"),
        ("pie,a.jpg\n", "it has: pie, a.jpg"),
        ("a.jpg\n", "it has: a.jpg"),
        ("a.jpg,pie,train,x\n", "it has: a.jpg, pie, train, x"),
    ],
)
def test_columns_are_never_guessed(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("id,photo,kind\n1,a.jpg,pie\n", ("photo", "kind"), ("a.jpg", "pie", None)),
        ("ID,Photo,Kind\n1,a.jpg,pie\n", ("photo", "KIND"), ("a.jpg", "pie", None)),
        ("pie,a.jpg,val\n", ("2", "1", "3"), ("a.jpg", "pie", "test")),
        ("photo,label,phase\na.jpg,pie,train\n", ("photo", "", "phase"), ("a.jpg", "pie", "train")),
        ("path,class,label\na.jpg,1,pie\n", ("", "label"), ("a.jpg", "pie", None)),
    ],
)
def test_columns_can_be_chosen(
    text: str, columns: tuple[str, ...], expected: tuple[str, str, "str | None"]
) -> None:
    (row,) = read(text, "l.csv", *columns)
    assert (row.path, row.label, row.split) == expected


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DataError, match=r"no column 'kind' \(--label_column\); it has path, label"):
        read("path,label\na.jpg,pie\n", "l.csv", "", "kind")


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (["", "pie"], "path is missing"),
        (["b.jpg", ""], "label is missing"),
        (["b.jpg"], "label is missing"),
        (["b\0.jpg", "pie"], "control characters"),
        (["b.jpg", "p\x1bie"], "control characters"),
        (["b" * 300 + ".jpg", "pie"], "longer than a file's"),
        (["b.jpg", "1" * 5000], "label is longer"),
        (["b.jpg", "pie", "fold 3"], "split must be train or test"),
    ],
)
def test_what_is_wrong_with_an_entry_is_its_own_fault(cells: list[str], fault: str) -> None:
    table = [["path", "label", "split"], ["a.jpg", "pie", "train"], cells, ["c.jpg", "pie", "test"]]
    if len(cells) == 2:
        cells.append("train")
    first, bad, last = read(written(table, ","))
    assert (first.fault, last.fault) == ("", "")
    assert bad.fault.startswith("line 3: ")
    assert fault in bad.fault


@pytest.mark.parametrize(
    "value", ["[1]", "3", '{"path": ["a"], "label": "x"}', "{", '{"path": 1e999}']
)
def test_lines_that_are_no_entries_are_faults(value: str) -> None:
    first, bad = read('{"path": "a.jpg", "label": "pie"}\n' + value, "l.jsonl")
    assert first.label == "pie"
    assert bad.fault.startswith("line 2: ")


@pytest.mark.parametrize(
    "content", [b"path,label\na.jpg,caf\xe9\n", "p,l\na,b\n".encode("utf-16-le")]
)
def test_other_encodings_are_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"UTF-8"):
        read(content)


def test_utf_16_is_read_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        (row,) = read("path,label\na.jpg,crème\n".encode("utf-16"))
    assert row.label == "crème"
    assert "l.csv is read as UTF-16" in caplog.text


def test_paths_are_relative_to_their_list() -> None:
    assert location_of("/d/l.csv", "a.jpg") == "/d/a.jpg"
    assert location_of("l.csv", "a.jpg") == "a.jpg"
    assert location_of("gs://b/x/l.csv", "sub/a.jpg") == "gs://b/x/sub/a.jpg"
    assert location_of("/d/l.csv", "gs://b/a.jpg") == "gs://b/a.jpg"
    assert location_of("/l.csv", "a.jpg") == "/a.jpg"
