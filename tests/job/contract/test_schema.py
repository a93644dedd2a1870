"""Files that are read back: a typed value or one line, whatever the bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies

from job.contract import schema
from job.contract.errors import DataError
from tests.job.mutations import mutations

HASH = "0123456789abcdef" * 4


@dataclass(frozen=True, kw_only=True)
class Part:
    bytes: schema.Count
    sha256: schema.Sha256


@dataclass(frozen=True, kw_only=True)
class Note:
    step: schema.Count
    files: Mapping[schema.PlainName, Part] = field(default_factory=dict)
    paths: tuple[schema.InnerPath, ...] = ()
    settings: Mapping[str, schema.Scalar] = field(default_factory=dict)
    loss: float | None = None
    about: schema.Open = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.step == 13:
            raise ValueError("step 13 is never written")


NOTE = Note(
    step=7,
    files={"a.bin": Part(bytes=3, sha256=HASH)},
    paths=("variables/variables.index",),
    settings={"lr": 1e-06, "epochs": 20, "preset": "article", "resume": False},
    about={"tool": ["1.2", {"deep": None}]},
)


def read(content: bytes) -> Note:
    return schema.read(content, Note, what="gs://b/note.json")


def test_what_is_written_is_read_back() -> None:
    assert read(schema.write(NOTE)) == NOTE


def test_a_loss_that_is_not_finite_is_written_as_json_can_say_it() -> None:
    content = schema.write(Note(step=1, loss=float("nan")))
    json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert read(content).loss is None


@given(strategies.binary(max_size=200))
def test_any_bytes_give_a_value_or_one_line(content: bytes) -> None:
    check_one_line(content)


@pytest.mark.parametrize("seed", range(10))
def test_any_damage_gives_a_value_or_one_line(seed: int) -> None:
    for content in mutations(schema.write(NOTE), seed, 200):
        check_one_line(content)


def check_one_line(content: bytes) -> None:
    try:
        note = read(content)
    except DataError as error:
        check_line(str(error))
    else:
        assert read(schema.write(note)) == note
        assert all("/" not in name and name not in (".", "..") for name in note.files)


def check_line(text: str) -> None:
    assert text.startswith("gs://b/note.json")
    assert text.isprintable()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"step": "7"}', "step: expected int, got str"),
        (b'{"step": 7.0}', "step: expected int, got float"),
        (b'{"step": true}', "step: expected int, got bool"),
        (b'{"step": -1}', "step: expected int >= 0"),
        (b"{}", "object missing required field step"),
        (b"[]", "expected object, got array"),
        (b'{"step": 13}', "step 13 is never written"),
        (b'{"step": 1, "files": {"..": {}}}', "a key of files: expected a plain file name"),
        (
            b'{"step": 1, "files": {"a": {"bytes": 1, "sha256": "../x"}}}',
            "files[...].sha256: expected a SHA-256 of 64 hexadecimal digits",
        ),
        (b'{"step": 1, "paths": ["a/../b"]}', "paths[0]: expected a path that stays below its"),
        (b'{"step": 1, "about": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32 levels"),
    ],
)
def test_the_line_names_the_key_and_what_is_expected(content: bytes, line: str) -> None:
    with pytest.raises(DataError) as error:
        read(content)
    assert line in str(error.value)


@pytest.mark.parametrize("name", ["a", "..a", "a..b", "Käse 1.json", "x" * 255])
def test_plain_names_are_taken(name: str) -> None:
    assert schema.convert([name], list[schema.PlainName], what="names") == [name]
    assert schema.convert([f"{name}/{name}"], list[schema.InnerPath], what="names")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a\\b", "a\nb", "a\0", "a\x1b[2J", "x" * 256, "a\x7f", "a\n"]
)
def test_names_that_are_no_plain_ones_are_refused(name: str) -> None:
    for kind, found in (
        (list[schema.PlainName], [name]),
        (list[schema.InnerPath], [f"a/{name}"]),
        (list[schema.InnerPath], [f"{name}/a"]),
    ):
        with pytest.raises(DataError):
            schema.convert(found, kind, what="names")


def test_brackets_in_texts_are_no_depth() -> None:
    text = json.dumps({"step": 1, "about": {"text": '["\\' * 100}})
    assert read(text.encode()).about["text"] == '["\\' * 100


def test_a_file_larger_than_its_kind_may_be_is_refused() -> None:
    with pytest.raises(DataError, match="larger than the 10 bytes"):
        schema.read(b" " * 11, Note, what="x", max_bytes=10)


@pytest.mark.parametrize("found", ["{}", '{"format": 3}', '{"format": "1"}', '{"format": true}'])
def test_another_format_is_named(found: str) -> None:
    with pytest.raises(DataError, match=r"has format .*, this program reads 1"):
        schema.read(found.encode(), Note, what="x", formats=(1,))


def test_a_text_that_is_no_utf8_cannot_be_written() -> None:
    with pytest.raises(DataError, match="cannot be written as JSON"):
        schema.write({"name": "\udcff"})
