"""Making datasets, as a user does it: whole ones, interrupted ones, and by many tasks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from job import storage
from job.contract.configs import RecordsConfig
from job.contract.errors import ConfigError, DataError, PreemptedError
from job.dataset.description import Dataset, load_dataset
from job.dataset.tfrecord import ShardReader, decode_example
from job.making.catalogue import ImageCatalogue
from job.making.maker import make_tfrecords
from job.making.outcomes import Workshop, outcomes_of_stream
from job.making.preparation import prepare_records
from job.making.spool import RecordSpool
from job.making.workers import ImageOptions, Outcome
from tests.job.pictures import encoded, food101_files, jpeg, scene, write_archive, write_files


def make(source: Path | str, output: Path | str, **settings: Any) -> Dataset:
    options = {"num_processes": 1, "shard_size_mb": 0.02, "shorter_side": 32} | settings
    make_tfrecords(RecordsConfig(source=str(source), output=str(output), **options))
    return load_dataset(str(output))


def contents(folder: Path | str) -> dict[str, bytes]:
    """Every file of a dataset by name."""
    base = str(folder).rstrip("/") + "/"
    return {
        found.path.removeprefix(base): storage.read_bytes(found.path)
        for found in storage.list_files(str(folder))
    }


def examples(dataset: Dataset, split: str) -> list[Any]:
    return [
        decode_example(record)
        for shard in dataset.splits[split].shards
        for record in ShardReader(dataset.shard_path(shard))
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source", food101_files())


def test_a_dataset_holds_every_image_once_with_its_label_and_split(
    source: Path, tmp_path: Path
) -> None:
    dataset = make(source, tmp_path / "data", name="food", shard_size_mb=0.01)
    assert dataset.name == "food"
    assert len(dataset.splits["train"].shards) > 1
    found = examples(dataset, "train") + examples(dataset, "test")
    assert {one.source_id for one in found} == {
        f"{c}/{1000 + n}" for c in ("apple_pie", "sushi") for n in range(16)
    }
    assert len(examples(dataset, "test")) == 8
    for one in found:
        assert one.class_text == dataset.classes[one.label] == one.source_id.split("/")[0]
        assert one.filename == one.source_id + ".jpg"
        assert tf.io.decode_jpeg(one.encoded).shape == (one.height, one.width, 3)
    assert min(found[0].height, found[0].width) == 32


def test_dataset_json_describes_the_files_that_are_there(source: Path, tmp_path: Path) -> None:
    dataset = make(source, tmp_path / "data")
    names = set(contents(tmp_path / "data"))
    shards = {shard.file for split in dataset.splits.values() for shard in split.shards}
    assert names == shards | {"dataset.json", "rejects.jsonl"}
    for split in dataset.splits.values():
        for shard in split.shards:
            data = (tmp_path / "data" / shard.file).read_bytes()
            assert len(data) == shard.bytes
            assert len(ShardReader(dataset.shard_path(shard))) == shard.records
    assert dataset.options["shorter_side"] == 32
    assert dataset.source["kind"] == "Food-101"


def test_shards_are_the_same_bytes_however_they_are_made(source: Path, tmp_path: Path) -> None:
    """By one process or two, from the folder or from its archive."""
    one = contents_of_shards(make(source, tmp_path / "one"))
    assert contents_of_shards(make(source, tmp_path / "two", num_processes=2)) == one
    archive = write_archive(tmp_path / "food.tar.gz", food101_files())
    assert contents_of_shards(make(archive, tmp_path / "three", num_processes=2)) == one
    other_seed = contents_of_shards(make(source, tmp_path / "four", seed=1))
    assert other_seed != one


def contents_of_shards(dataset: Dataset) -> dict[str, bytes]:
    found = contents(dataset.path)
    return {name: data for name, data in found.items() if name.endswith(".tfrecord")}


def test_any_tensorflow_program_reads_the_shards(source: Path, tmp_path: Path) -> None:
    dataset = make(source, tmp_path / "data")
    paths = [dataset.shard_path(shard) for shard in dataset.split("train").shards]
    records = map(tf.train.Example.FromString, tf.data.TFRecordDataset(paths).as_numpy_iterator())
    labels = [one.features.feature["image/class/label"].int64_list.value[0] for one in records]
    assert sorted(labels) == [0] * 12 + [1] * 12
    assert labels != sorted(labels)


def test_keeping_the_size_keeps_the_bytes(source: Path, tmp_path: Path) -> None:
    dataset = make(source, tmp_path / "data", shorter_side=0)
    for one in examples(dataset, "train"):
        assert one.encoded == (source / "images" / f"{one.source_id}.jpg").read_bytes()


def bad_files() -> dict[str, bytes]:
    return {
        "images/sushi/1000.jpg": b"",
        "images/sushi/1001.jpg": jpeg(1)[:-100],
        "images/sushi/1002.jpg": b"<html>",
        "images/sushi/1003.jpg": encoded(scene(1), "PNG"),
    }


@pytest.mark.parametrize("archived", [False, True])
def test_unusable_images_are_listed_with_their_reason(tmp_path: Path, archived: bool) -> None:
    files = food101_files() | bad_files()
    source = (
        write_archive(tmp_path / "a.tar.gz", files)
        if archived
        else write_files(tmp_path / "a", files)
    )
    dataset = make(source, tmp_path / "data", max_reject_fraction=0.1)
    assert sum(split.examples for split in dataset.splits.values()) == 32 - 3
    lines = (tmp_path / "data/rejects.jsonl").read_text().splitlines()
    rejects = {line["source_id"]: line["reason"] for line in map(json.loads, lines)}
    assert rejects["sushi/1000"] == "the file is empty"
    assert rejects["sushi/1001"].startswith("damaged JPEG")
    assert rejects["sushi/1002"].startswith("not an image")
    assert dataset.rejects["images"] == len(rejects) == 3


def test_too_many_unusable_images_stop_the_work(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", food101_files() | bad_files())
    with pytest.raises(DataError, match=r"of 32 images.*sushi/1\d\d\d\.jpg: "):
        make(source, tmp_path / "data", max_reject_fraction=0.05)
    assert not (tmp_path / "data/dataset.json").exists()
    assert (tmp_path / "data/rejects.jsonl").read_text()
    make(source, tmp_path / "data", max_reject_fraction=0.2)


def test_missing_files_of_a_csv_are_rejected(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    csv = tmp_path / "images.csv"
    csv.write_text("a.jpg,pie,train\nb.jpg,soup,test\nnone.jpg,soup,train\n")
    dataset = make(csv, tmp_path / "data", max_reject_fraction=0.5)
    assert dataset.rejects["reasons"] == {"there is no such file": 1}


def test_a_source_without_usable_training_images_is_an_error(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {"pie/a.jpg": b"", "soup/b.jpg": b""})
    with pytest.raises(DataError, match="no training example"):
        make(source, tmp_path / "data", max_reject_fraction=1.0)
    with pytest.raises(DataError, match="no images"):
        make(write_files(tmp_path / "other", {"readme.txt": b""}), tmp_path / "more")


def test_a_test_image_that_training_sees_is_reported(tmp_path: Path) -> None:
    files = food101_files()
    files["images/sushi/1015.jpg"] = jpeg(0, comment=b"the first apple pie, with other metadata")
    files["images/sushi/1003.jpg"] = files["images/sushi/1004.jpg"]
    dataset = make(write_files(tmp_path / "source", files), tmp_path / "data")
    assert dataset.leakage["test_examples_in_train"] == 1
    assert dataset.leakage["first_pairs"] == [{"test": "sushi/1015", "train": "apple_pie/1000"}]
    assert dataset.leakage["duplicates_within"] == {"train": 1, "test": 0}


@pytest.mark.parametrize("archived", [False, True])
def test_many_tasks_make_the_dataset_of_one(tmp_path: Path, archived: bool) -> None:
    """Whichever task ends last writes dataset.json."""
    files = food101_files() | bad_files()
    source = (
        write_archive(tmp_path / "a.tar.gz", files)
        if archived
        else write_files(tmp_path / "a", files)
    )
    make(source, tmp_path / "one", max_reject_fraction=0.2)
    for index in (2, 0, 3, 1):
        assert not (tmp_path / "many/dataset.json").exists()
        config = RecordsConfig(
            source=str(source),
            output=str(tmp_path / "many"),
            num_processes=1,
            shard_size_mb=0.02,
            shorter_side=32,
            max_reject_fraction=0.2,
            task_index=index,
            num_tasks=4,
        )
        make_tfrecords(config)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_complete_dataset_is_left_as_it_is(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    make(source, tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()} == before


def test_another_dataset_in_the_same_place_is_refused(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "data")
    with pytest.raises(ConfigError, match="shorter_side 32, now 16"):
        make(source, tmp_path / "data", shorter_side=16)
    (source / "images/sushi/1000.jpg").write_bytes(jpeg(77, 60, 60))
    with pytest.raises(ConfigError, match="images have changed"):
        make(source, tmp_path / "data")


def start(source: Path, output: Path, *flags: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "job.make_tfrecords", f"--source={source}"]
    command += [f"--output={output}", "--shard_size_mb=0.005", "--num_processes=2", *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_keeps_its_finished_shards(tmp_path: Path, kill: signal.Signals) -> None:
    source = write_files(tmp_path / "source", food101_files(train=70, test=10))
    data = tmp_path / "data"
    process = start(source, data)
    wait_for(lambda: len(list(data.glob("building/*.tfrecord.json"))) >= 5, process)
    process.send_signal(kill)
    _, errors = process.communicate()
    if kill == signal.SIGTERM:
        assert process.returncode == 143
        assert "start the same command again" in errors
    assert not (data / "dataset.json").exists()
    finished = {note.name.removesuffix(".json") for note in data.glob("building/*.tfrecord.json")}
    before = {name: (data / name).stat().st_ino for name in finished}
    make(source, data, shorter_side=256, shard_size_mb=0.005)
    assert {name: (data / name).stat().st_ino for name in finished} == before
    make(source, tmp_path / "whole", shorter_side=256, shard_size_mb=0.005)
    assert contents(data) == contents(tmp_path / "whole")


def test_an_interrupted_archive_goes_on_from_what_was_encoded(tmp_path: Path) -> None:
    """The spool is found again, and nothing in it is encoded twice."""
    source = write_archive(tmp_path / "a.tar.gz", food101_files())
    config = RecordsConfig(source=str(source), output=str(tmp_path / "data"))
    options = ImageOptions(config.shorter_side, config.jpeg_quality, config.max_pixels)

    def encode(stop_after: int) -> int:
        seen: list[Outcome] = []

        def count(outcome: Outcome) -> None:
            if len(seen) == stop_after:
                raise PreemptedError("now")
            seen.append(outcome)

        with (
            ImageCatalogue() as catalogue,
            RecordSpool(str(tmp_path / "scratch"), "spool") as spool,
            suppress(PreemptedError),
        ):
            plan = prepare_records(config, catalogue, lambda: None)
            assert plan.source.streamed
            workshop = Workshop(options, num_processes=1, on_outcome=count)
            for _ in outcomes_of_stream(plan.source, catalogue, plan.shards, spool, workshop):
                pass
        return len(seen)

    assert encode(stop_after=20) == 20
    assert encode(stop_after=100) == 12


def test_a_finished_shard_that_was_lost_is_made_again(source: Path, tmp_path: Path) -> None:
    """Notes alone are not believed."""
    arguments = {"task_index": 0, "num_tasks": 2, "num_processes": 1, "shard_size_mb": 0.02}
    config = RecordsConfig(source=str(source), output=str(tmp_path / "data"), **arguments)
    make_tfrecords(config)
    lost = tmp_path / "data" / next(iter((tmp_path / "data").glob("*.tfrecord"))).name
    lost.write_bytes(b"")
    make_tfrecords(config)
    assert lost.stat().st_size


def test_buckets_can_be_source_and_output(bucket: str, source: Path, tmp_path: Path) -> None:
    for path in source.rglob("*.*"):
        storage.upload(str(path), storage.join(bucket, "src", str(path.relative_to(source))))
    archive = write_archive(tmp_path / "food.tar.gz", food101_files())
    storage.upload(str(archive), storage.join(bucket, "food.tar.gz"))
    local = contents_of_shards(make(source, tmp_path / "local"))
    for name in ("src", "food.tar.gz"):
        output = storage.join(bucket, f"data-{name}")
        dataset = make(storage.join(bucket, name), output)
        assert contents_of_shards(dataset) == local
        assert not any("building" in name for name in contents(output))


def test_the_command_ends_with_65_and_one_line(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", food101_files() | bad_files())
    process = start(source, tmp_path / "data")
    _, errors = process.communicate()
    assert process.returncode == 65
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert os.listdir(tmp_path / "data")
