"""dataset.json: what is written is read back, and what does not fit together is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from job.contract.errors import DataError, InputMissingError
from job.dataset.description import Dataset, Shard, Split, from_json, load_dataset, to_json

SHARD = Shard("train-00000-of-00001.tfrecord", 3, 300, "ab" * 32)
DATASET = Dataset(
    path="/data",
    name="pies",
    classes=("apple_pie", "pizza"),
    splits={"train": Split((SHARD,)), "test": Split()},
    options={"seed": 0},
)


def changed(**changes: Any) -> bytes:
    content = json.loads(to_json(DATASET))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = content
        for name in parents:
            target = target[int(name) if name.isdigit() else name]
        target[last] = value
    return json.dumps(content).encode()


def test_a_dataset_survives_writing_and_loading(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes(to_json(DATASET))
    loaded = load_dataset(str(tmp_path))
    assert to_json(loaded) == to_json(DATASET)
    assert loaded.split("train").examples == 3
    assert loaded.shard_path(SHARD) == str(tmp_path / SHARD.file)


def test_a_folder_without_dataset_json_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="not a complete dataset"):
        load_dataset(str(tmp_path))


def test_an_empty_split_is_refused_where_it_is_needed() -> None:
    with pytest.raises(DataError, match="no examples in split 'test'"):
        DATASET.split("test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "expected object, got array"),
        (changed(format=2), "format 2"),
        (changed(classes=[]), "classes: expected array of length >= 1"),
        (changed(classes=["a", "a"]), "class twice"),
        (changed(splits={}), "no split 'train'"),
        (changed(splits__train__examples=4), "says 4 examples"),
        (changed(splits__train__shards__0__file="../x"), "file: expected a plain file name"),
        (changed(splits__train__shards__0__records=-1), "records: expected int >= 0"),
        (changed(splits__train__shards__0__sha256="ab"), "sha256: expected a SHA-256"),
    ],
)
def test_a_wrong_description_is_refused_with_its_reason(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_json("/data", content)
