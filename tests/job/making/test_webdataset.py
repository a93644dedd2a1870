"""Tar archives of samples, as WebDataset writes them."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from job import storage
from job.contract.configs import RecordsConfig
from job.contract.errors import DataError
from job.dataset.description import load_dataset
from job.dataset.tfrecord import ShardReader, decode_example
from job.making.maker import make_tfrecords
from tests.job.making.test_sources import Listing
from tests.job.pictures import jpeg


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def samples(labels: list[str], first: int = 0, ending: str = "cls") -> dict[str, bytes]:
    files = {}
    for number, label in enumerate(labels, first):
        files[f"{number:04}.{ending}"] = label.encode()
        files[f"{number:04}.jpg"] = jpeg(number)
    return files


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards for training, one of them compressed, one for validation."""
    write_tar(tmp_path / "food-train-0000.tar", samples(["pie", "soup"]))
    write_tar(tmp_path / "food-train-0001.tar.gz", samples(["soup", "pie"], 2), "w:gz")
    write_tar(tmp_path / "food-val-0000.tar", samples(["soup"], 4))
    return tmp_path


def test_samples_are_labelled_by_their_cls(shards: Path) -> None:
    found = Listing(shards)
    assert found.kind == "tars, as WebDataset"
    assert found.said == "2 classes in tars, as WebDataset, split by the files' names"
    assert found.classes == ["pie", "soup"]
    assert found.test == ["food-val-0000.tar/0004.jpg"]
    assert found.labels["food-train-0000.tar/0001.jpg"] == 1
    assert found.passed_over == {"label of an image": {".cls": 5}}
    assert found.seen == 10


@pytest.mark.parametrize("remote", [False, True])
def test_records_hold_the_images_and_labels_of_the_samples(
    shards: Path, tmp_path_factory: pytest.TempPathFactory, bucket: str, remote: bool
) -> None:
    source = str(shards)
    if remote:
        source = storage.join(bucket, "shards")
        for path in shards.iterdir():
            storage.upload(str(path), storage.join(source, path.name))
    output = str(tmp_path_factory.mktemp("out") / "dataset")
    make_tfrecords(RecordsConfig(source=source, output=output, num_processes=1, shorter_side=48))
    dataset = load_dataset(output)
    found = {}
    for split, part in dataset.splits.items():
        for shard in part.shards:
            for record in ShardReader(dataset.shard_path(shard)):
                example = decode_example(record)
                found[example.filename] = (split, example.class_text, example.encoded)
    labels = ["pie", "soup", "soup", "pie", "soup"]
    assert found == {
        f"{number:04}.jpg": ("test" if number > 3 else "train", label, jpeg(number))
        for number, label in enumerate(labels)
    }


def test_one_archive_is_enough_and_json_may_hold_the_label(tmp_path: Path) -> None:
    texts = [json.dumps({"label": label, "width": 64}) for label in ("soup", "pie")]
    path = write_tar(tmp_path / "mine.tar", samples(texts, ending="json"))
    found = Listing(path, test_fraction=0.0)
    assert found.classes == ["pie", "soup"]
    assert found.labels == {"mine.tar/0000.jpg": 1, "mine.tar/0001.jpg": 0}


def test_numbers_have_the_names_in_the_file_beside_the_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "train/0.tar", samples(["1", "0"]))
    write_tar(tmp_path / "test/0.tar", samples(["1"], 2))
    found = Listing(tmp_path)
    assert found.classes == ["0", "1"]
    assert "numbers without names" in found.said
    (tmp_path / "classnames.txt").write_text("soup\npie\n")
    found = Listing(tmp_path)
    assert found.classes == ["pie", "soup"]
    assert found.labels["train/0.tar/0000.jpg"] == 0


def test_samples_that_cannot_be_used_are_rejects(tmp_path: Path) -> None:
    files = samples(["pie", "soup", ""]) | {
        "a.jpg": b"x",
        "b.cls": b"pie",
        "b.jpg": b"x",
        "b.seg.png": b"x",
        "c.cls": b"\xff",
        "c.jpg": b"x",
        "d.json": b"{",
        "d.jpg": b"x",
        "e.json": b'{"label": [1]}',
        "e.jpg": b"x",
        "e2.json": b'{"label": 1' + b"0" * 300 + b"}",
        "e2.jpg": b"x",
        "e3.json": b'{"label": true}',
        "e3.jpg": b"x",
        "f.cls": b"pie",
        "g.cls": b"pie",
        "g.cr2": b"x",
    }
    found = Listing(write_tar(tmp_path / "train.tar", files))
    reasons = {reject.filename: reject.reason for reject in found.rejects}
    assert set(reasons) == {
        "0002.jpg", "a.jpg", "b.jpg", "b.seg.png", "c.jpg", "d.jpg", "e.jpg", "e2.jpg", "e3.jpg",
        "g.cr2",
    }  # fmt: skip
    assert reasons["0002.jpg"] == "no label"
    assert reasons["a.jpg"] == "no .cls and no .json beside it in its shard"
    assert reasons["b.jpg"].startswith("its sample has 2 images")
    assert reasons["d.jpg"] == "its .json is damaged or too long"
    passed_over = sum(sum(by.values()) for by in found.passed_over.values())
    assert found.seen == len(files) == len(found.images) + len(found.rejects) + passed_over


def test_class_folders_in_a_tar_stay_class_folders(tmp_path: Path) -> None:
    files = {f"{name}/{number}.jpg": b"x" for name in ("pie", "soup") for number in range(3)}
    files["pie/1.json"] = b'{"label": "other"}'
    assert Listing(write_tar(tmp_path / "a.tar", files)).kind == "class folders"


def test_shards_that_contradict_each_other_are_refused(shards: Path) -> None:
    write_tar(shards / "rest.tar", samples(["pie"]))
    with pytest.raises(DataError, match=r"rest\.tar tell no split"):
        Listing(shards)


def test_shards_of_two_kinds_are_refused(shards: Path) -> None:
    (shards / "train.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match="shards of several kinds"):
        Listing(shards)


def test_tars_without_samples_are_refused_as_before(tmp_path: Path) -> None:
    write_tar(tmp_path / "train.tar", {"a.txt": b"x"})
    with pytest.raises(DataError, match="no images among 1 file"):
        Listing(tmp_path)
