"""Parquet files with images and labels, as Hugging Face's datasets and others write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from job import storage
from job.contract.configs import RecordsConfig
from job.contract.errors import DataError
from job.dataset.description import load_dataset
from job.dataset.tfrecord import ShardReader, decode_example
from job.images.normalise import decode_any
from job.making.maker import make_tfrecords
from tests.job.making.test_sources import Listing
from tests.job.pictures import jpeg

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def feature_names(names: list[str]) -> dict[str, Any]:
    return {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}


def table(
    labels: list[Any],
    names: list[str] | None = ["pie", "soup"],  # noqa: B006
    first: int = 0,
    label_type: Any = None,
    contents: list[bytes | None] | None = None,
) -> Any:
    contents = contents or [jpeg(first + number) for number in range(len(labels))]
    images = [{"bytes": one, "path": f"{first + n}.jpg"} for n, one in enumerate(contents)]
    made = pyarrow.table(
        {
            "image": pyarrow.array(images, IMAGE),
            "label": pyarrow.array(labels, label_type),
        }
    )
    if names is None:
        return made
    text = json.dumps({"info": {"features": feature_names(names)}})
    return made.replace_schema_metadata({b"huggingface": text.encode()})


def write(path: Path, made: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(made, path, **options)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A repository of the Hub: three rows of each class for training, one of each for testing."""
    write(tmp_path / "data/train-00000-of-00002.parquet", table([1, 0, 1, 0]), row_group_size=3)
    write(tmp_path / "data/train-00001-of-00002.parquet", table([0, 1], first=4))
    write(tmp_path / "data/validation-00000-of-00001.parquet", table([0, 1], first=6))
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / ".gitattributes").write_text("*.parquet lfs")
    return tmp_path


def test_splits_come_from_file_names_and_classes_from_the_schema(hub: Path) -> None:
    found = Listing(hub)
    assert found.kind == "Parquet, as Hugging Face writes it"
    assert (
        found.said == "2 classes in Parquet, as Hugging Face writes it, split by the files' names"
    )
    assert found.classes == ["pie", "soup"]
    validation = "data/validation-00000-of-00001.parquet"
    assert sorted(found.test) == [f"{validation}/0", f"{validation}/1"]
    assert len(found.train) == 6
    assert found.labels["data/train-00000-of-00002.parquet/0"] == 1
    assert found.passed_over == {"no image": {".md": 1, "": 1}}
    assert found.seen == 8 + 2


@pytest.mark.parametrize("remote", [False, True])
def test_records_hold_the_pixels_and_labels_of_the_rows(
    hub: Path, tmp_path_factory: pytest.TempPathFactory, bucket: str, remote: bool
) -> None:
    source = str(hub)
    if remote:
        source = storage.join(bucket, "hub")
        for path in hub.rglob("*.*"):
            storage.upload(str(path), storage.join(source, str(path.relative_to(hub))))
    output = str(tmp_path_factory.mktemp("out") / "dataset")
    make_tfrecords(RecordsConfig(source=source, output=output, num_processes=1, shorter_side=48))
    dataset = load_dataset(output)
    assert dataset.source["passed_over"] == {"no image": {"": 1, ".md": 1}}
    found = {}
    for split, part in dataset.splits.items():
        for shard in part.shards:
            for record in ShardReader(dataset.shard_path(shard)):
                example = decode_example(record)
                found[example.filename] = (split, example.class_text, example.encoded)
    labels = ["soup", "pie", "soup", "pie", "pie", "soup", "pie", "soup"]
    for number, label in enumerate(labels):
        split, class_text, encoded = found.pop(f"{number}.jpg")
        assert (split, class_text) == ("test" if number > 5 else "train", label)
        np.testing.assert_array_equal(decode_any(encoded, 10_000), decode_any(jpeg(number), 10_000))
    assert not found


def test_plain_binary_and_texts_are_taken_from_a_single_file(tmp_path: Path) -> None:
    made = pyarrow.table({"img": [jpeg(0), jpeg(1)], "md5": ["x", "y"], "class": ["soup", "pie"]})
    write(tmp_path / "mine.parquet", made)
    found = Listing(tmp_path / "mine.parquet", test_fraction=0.0)
    assert found.classes == ["pie", "soup"]
    assert found.labels == {"mine.parquet/0": 1, "mine.parquet/1": 0}


def test_texts_may_be_stored_as_a_dictionary_and_the_split_as_a_column(tmp_path: Path) -> None:
    labels = pyarrow.array(["soup", "pie", "soup"]).dictionary_encode()
    images = pyarrow.array([jpeg(0), jpeg(1), jpeg(2)], pyarrow.large_binary())
    made = {"image": images, "label": labels, "split": ["train", "validation", "unsure"]}
    write(tmp_path / "all.parquet", pyarrow.table(made))
    found = Listing(tmp_path)
    assert found.labels == {"all.parquet/0": 1, "all.parquet/1": 0}
    assert found.test == ["all.parquet/1"]
    assert [reject.reason for reject in found.rejects] == ["unknown split 'unsure'"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    made = pyarrow.table([[jpeg(0)], [0], [1]], names=["image", "label", "label"])
    write(tmp_path / "train.parquet", made)
    with pytest.raises(DataError, match="two columns have one name; it has image"):
        Listing(tmp_path)


def test_names_come_from_a_description_beside_the_files(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", table([0, 1], names=None))
    features = {"default": {"features": feature_names(["pie", "soup"])}}
    (tmp_path / "dataset_infos.json").write_text(json.dumps(features))
    assert Listing(tmp_path).classes == ["pie", "soup"]


def test_numbers_without_names_are_classes_in_the_order_of_numbers(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", table([10, 2, 1], names=None))
    found = Listing(tmp_path)
    assert found.classes == ["1", "2", "10"]
    assert "numbers without names" in found.said


def test_classes_have_the_order_of_all_sources_and_need_rows(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", table([0, 2], names=["soup", "tea", "pie"]))
    found = Listing(tmp_path)
    assert found.classes == ["pie", "soup"]
    assert found.said.endswith("; no images, so no class: tea")


def test_rows_that_cannot_be_used_are_rejects(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", table([0, None, 1, -1, 2]))
    found = Listing(tmp_path)
    assert [(reject.source_id, reject.reason) for reject in found.rejects] == [
        ("train.parquet/1", "no label"),
        ("train.parquet/3", "label -1 has no name among 2"),
        ("train.parquet/4", "label 2 has no name among 2"),
    ]
    assert found.seen == 5 == len(found.images) + len(found.rejects)


def test_rows_without_bytes_are_rejects_of_the_second_pass(tmp_path: Path) -> None:
    contents = [jpeg(0), None, b"", b"no image at all", jpeg(4)]
    write(tmp_path / "src/train.parquet", table([0, 1, 0, 1, 1], contents=contents))
    output = str(tmp_path / "out")
    make_tfrecords(
        RecordsConfig(
            source=str(tmp_path / "src"), output=output, num_processes=1, max_reject_fraction=0.9
        )
    )
    lines = storage.read_bytes(f"{output}/rejects.jsonl").decode().splitlines()
    reasons = {found["filename"]: found["reason"] for found in map(json.loads, lines)}
    assert set(reasons) == {"1.jpg", "2.jpg", "3.jpg"}
    assert reasons["1.jpg"] == reasons["2.jpg"] == "the file is empty"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (pyarrow.table({"text": ["a"], "label": [0]}), r"it has text \(string\), label \(int64\)"),
        (pyarrow.table({"image": [b"x"], "caption": ["a"]}), "it has: image, caption"),
        (pyarrow.table({"image": [b"x"], "label": [[1, 2]]}), "one number or text; it has image"),
        (pyarrow.table({"image": [b"x"], "label": [0.5]}), r"label \(double\)"),
        (table([0, 1], names=["pie", "pie"]), "name class pie twice"),
        (table([], label_type=pyarrow.int64()), "holds no rows"),
    ],
)
def test_other_schemas_are_refused_with_their_columns(
    tmp_path: Path, made: Any, message: str
) -> None:
    write(tmp_path / "train.parquet", made)
    with pytest.raises(DataError, match=message) as caught:
        Listing(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train.parquet": table([0]), "b.parquet": table([1])},
            "b.parquet tell no split",
        ),
        ({"a/train.parquet": table([0]), "b/train.parquet": table([1])}, "shards in a/, b/"),
        (
            {"train.parquet": table([0]), "test.parquet": table([1], names=["soup", "pie"])},
            "names its classes differently",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    for name, made in files.items():
        write(tmp_path / name, made)
    with pytest.raises(DataError, match=message):
        Listing(tmp_path)


@pytest.mark.parametrize("cut", [0, 4, 300])
def test_a_damaged_file_is_one_line(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "train.parquet", table([0, 1]))
    whole = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(whole[:cut])
    with pytest.raises(DataError, match="damaged, cut short or no Parquet"):
        Listing(tmp_path)


def test_parquet_beside_images_stays_a_companion(tmp_path: Path) -> None:
    for name in ("pie", "soup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(jpeg(1))
    write(tmp_path / "embeddings.parquet", pyarrow.table({"x": [1]}))
    assert Listing(tmp_path).kind == "class folders"
