"""TFRecords as TensorFlow Datasets writes them."""

import io
import json
from pathlib import Path

import pytest

from job import storage
from job.contract.configs import RecordsConfig
from job.contract.errors import DataError
from job.dataset.description import load_dataset
from job.dataset.example import Value, encode_features
from job.dataset.tfrecord import ShardReader, ShardWriter, decode_example, stream_records
from job.images.lists import Columns
from job.making.maker import make_tfrecords
from tests.job.making.test_sources import Listing
from tests.job.pictures import jpeg


def write_shard(path: Path, records: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def examples(labels: list[Value], first: int = 0) -> list[bytes]:
    return [
        encode_features({"image": jpeg(number), "label": label})
        for number, label in enumerate(labels, first)
    ]


@pytest.fixture
def food101(tmp_path: Path) -> Path:
    """As TFDS lays it out: two shards for training, one for validation, of two classes."""
    folder = tmp_path / "food101/2.0.0"
    write_shard(folder / "food101-train.tfrecord-00000-of-00002", examples([1, 0]))
    write_shard(folder / "food101-train.tfrecord-00001-of-00002", examples([0, 1], 2))
    write_shard(folder / "food101-validation.tfrecord-00000-of-00001", examples([1], 4))
    (folder / "label.labels.txt").write_text("apple_pie\nsushi\n")
    (folder / "features.json").write_text("{}")
    (folder / "dataset_info.json").write_text(json.dumps({"name": "food101"}))
    return tmp_path / "food101"


@pytest.mark.parametrize("below", ["", "2.0.0"])
def test_splits_and_names_are_those_of_the_dataset(food101: Path, below: str) -> None:
    found = Listing(food101 / below)
    assert found.kind == "TFRecords, as TFDS writes them"
    assert found.said == f"2 classes in {found.kind}, split by the files' names"
    assert found.classes == ["apple_pie", "sushi"]
    assert [one.rpartition("-validation")[2] for one in found.test] == [
        ".tfrecord-00000-of-00001/0"
    ]
    assert len(found.train) == 4
    assert found.passed_over == {"no image": {".json": 2, ".txt": 1}}
    assert found.seen == 8


@pytest.mark.parametrize("remote", [False, True])
def test_records_hold_the_images_and_labels(
    food101: Path, tmp_path_factory: pytest.TempPathFactory, bucket: str, remote: bool
) -> None:
    source = str(food101)
    if remote:
        source = storage.join(bucket, "tfds")
        for path in food101.rglob("*.*"):
            if path.is_file():
                storage.upload(str(path), storage.join(source, str(path.relative_to(food101))))
    output = str(tmp_path_factory.mktemp("out") / "dataset")
    make_tfrecords(RecordsConfig(source=source, output=output, num_processes=1, shorter_side=48))
    dataset = load_dataset(output)
    found = {
        (split, example.class_text, example.encoded)
        for split, part in dataset.splits.items()
        for shard in part.shards
        for example in map(decode_example, ShardReader(dataset.shard_path(shard)))
    }
    labels = ["sushi", "apple_pie", "apple_pie", "sushi", "sushi"]
    assert found == {
        ("test" if number > 3 else "train", label, jpeg(number))
        for number, label in enumerate(labels)
    }


def test_missing_shards_are_said(food101: Path) -> None:
    (food101 / "2.0.0/food101-train.tfrecord-00001-of-00002").unlink()
    said = Listing(food101 / "2.0.0").said
    assert said.endswith("; 1 of 2 shards of food101-train.tfrecord are missing")


def test_records_that_cannot_be_used_are_rejects(tmp_path: Path) -> None:
    records = [*examples([0, 1, 7]), b"no example", encode_features({"label": 1}), *examples([-1])]
    path = write_shard(tmp_path / "x-train.tfrecord-00000-of-00001", [*records, *examples([0])])
    (tmp_path / "label.labels.txt").write_text("pie\nsoup\n")
    damaged = bytearray(path.read_bytes())
    damaged[-10] ^= 1
    path.write_bytes(damaged)
    found = Listing(tmp_path)
    assert [reject.reason for reject in found.rejects] == [
        "label 7 has no name among 2",
        "the record is no Example",
        "the record has no image",
        "label -1 has no name among 2",
        "the record is damaged or beyond measure",
    ]
    assert found.seen == 8 == len(found.images) + len(found.rejects) + 1


def test_texts_as_labels_and_other_names_of_features(tmp_path: Path) -> None:
    records = [encode_features({"photo": jpeg(0), "dish": b"pie", "file_name": b"a/7.jpg"})]
    write_shard(tmp_path / "train.tfrecord", records)
    with pytest.raises(DataError, match="it has: dish, file_name, photo; call them"):
        Listing(tmp_path)
    found = Listing(tmp_path, columns=Columns("photo", "dish"))
    assert found.classes == ["pie"]
    assert found.images[0].filename == "7.jpg"


def test_other_features_are_refused_with_their_names(tmp_path: Path) -> None:
    write_shard(tmp_path / "train.tfrecord", [encode_features({"image": 1, "label": 1})])
    with pytest.raises(DataError, match="'image' holds no image file; its records have image, la"):
        Listing(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "record 1: the file ends within it"),
        (lambda data: data[:-300], "the file ends within it"),
        (lambda data: data[:5], "record 0: the file ends within it"),
        (lambda data: b"x" + data, "record 0: its header's checksum is wrong"),
    ],
)
def test_a_damaged_shard_is_one_line(tmp_path: Path, change: object, message: str) -> None:
    path = write_shard(tmp_path / "train.tfrecord", examples([0, 1]))
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        Listing(tmp_path)


def test_records_beyond_measure_are_passed_over(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "x.tfrecord", [b"a" * 10, b"b" * 3_000_000, b"c"])
    stream = io.BytesIO(path.read_bytes())
    assert list(stream_records(stream, "x", 100)) == [b"a" * 10, None, b"c"]
