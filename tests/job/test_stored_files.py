"""Every file that is read back, damaged in every way: a value or one line, never a traceback."""

import contextlib
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from job.contract import schema
from job.contract.configs import TrainConfig, to_dict
from job.contract.errors import DataError, JobError
from job.dataset import description
from job.dataset.description import Dataset, Shard, Split
from job.downloads.partial_file import PartialFile
from job.making import shards
from job.prediction import listing, parts
from job.prediction.listing import Entry, Found
from job.serving import model_files
from launcher.describe import dataset_facts, prediction
from launcher.errors import LauncherError
from launcher.observe import run_directory
from tests.job.mutations import mutation, mutations

URL = "https://example.com/file"
HASH = "0123456789abcdef" * 4
DATASET = Dataset(
    path="data",
    name="two",
    classes=("a", "b"),
    splits={
        "train": Split((Shard("train-00000-of-00001.tfrecord", 3, 300, HASH),)),
        "test": Split(),
    },
    source={"path": "images", "digest": HASH},
)
MODEL = {
    "format": 1,
    "step": 3,
    "classes": ["a", "b"],
    "image_size_px": 224,
    "precision": "float32",
    "config": {"head": "gap", "width_multiplier": 0.5},
    "files": {"variables/variables.index": {"bytes": 3, "sha256": HASH}},
}
MANIFEST = {
    "step": 7,
    "files": {"model.index": {"bytes": 3, "sha256": HASH}},
    "dataset": HASH,
    "metrics": {"top1": 0.5},
    "state": {"loss_scale": 1.0},
}
PROGRESS = {
    "state": "training",
    "step": 3,
    "total_steps": 7,
    "time": 1e9,
    "loss": 1.5,
    "workers": [{"busy_s": 0.5, "input_wait": 0.1, "memory_peak_bytes": 5}],
}
NOTE = {
    "shard": {"file": "train-00000-of-00001.tfrecord", "records": 3, "bytes": 300, "sha256": HASH},
    "rejects": [{"source_id": "a/1", "filename": "1.jpg", "reason": "empty"}],
    "fingerprints": [["a/0", "00ff"]],
}
ROW = {
    "image": "a.jpg",
    "generation": 1,
    "top": [{"class": "a", "label": 0, "probability": 0.5}],
    "model": "m",
}
REJECT = {"image": "b.jpg", "generation": None, "reason": "empty", "detail": "no bytes"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """One folder of each kind, all files sound."""
    top = tmp_path_factory.mktemp("stored")
    documents = {
        "data/dataset.json": json.loads(description.to_json(DATASET)),
        "data/building/train-00000-of-00001.tfrecord.json": NOTE,
        "model/model.json": MODEL,
        "run/config.json": to_dict(TrainConfig(data="d", run="r")),
        "run/dataset.json": {"name": "two", "fingerprint": HASH, "classes": ["a", "b"]},
        "run/progress.json": PROGRESS,
        "run/checkpoints/step-00000007/MANIFEST.json": MANIFEST,
        "run/checkpoints/best.json": {"step": 7, "metrics": {"top1": 0.5}},
        "downloads/file.part.json": {"url": URL, "validator": "x", "total": 20},
    }
    for name, document in documents.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(json.dumps(document))
    (top / "run/checkpoints/step-00000007/model.index").write_bytes(b"abc")
    store = _store(top)
    store.commit(0, parts.PartRows([ROW], [REJECT]))
    summary = parts.summary_of(_frozen(top), parts.Counts(1, {"empty": 1}), {"tta": "none"})
    (top / "out/summary.json").write_bytes(schema.write(summary))
    return top


def _frozen(top: Path) -> listing.Listing:
    entries = iter([Entry("a.jpg", 3, 1), Entry("b.jpg", None, None)])
    return listing.freeze(str(top / "out"), "images", lambda _: Found("folder", entries), 1)


def _store(top: Path) -> parts.PartStore:
    return parts.PartStore(_frozen(top), "jsonl")


def _recall(top: Path) -> object:
    with PartialFile(str(top / "downloads/file")) as part:
        part.append(b"something")
        return part.recall(URL)


def _run_facts(top: Path) -> object:
    return run_directory.read(str(top / "run"))


READERS: dict[str, Callable[[Path], object]] = {
    "data/dataset.json": lambda top: (
        dataset_facts.read(str(top / "data")), description.load_dataset(str(top / "data"))
    ),
    "data/building/train-00000-of-00001.tfrecord.json": lambda top: shards.read_note(
        str(top / "data"), "train-00000-of-00001.tfrecord"
    ),
    "model/model.json": lambda top: model_files.read_facts(str(top / "model")),
    "run/progress.json": _run_facts,
    "downloads/file.part.json": _recall,
    "out/listing/listing.json": lambda top: listing.load(str(top / "out")),
    "out/counts/part-00000-of-00001.jsonl.json": lambda top: _store(top).counts(0),
    "out/part-00000-of-00001.jsonl": lambda top: _store(top).read_rows(0),
    "out/rejects-00000-of-00001.jsonl": lambda top: _store(top).read_rows(0),
    "out/summary.json": lambda top: (
        parts.read_summary(str(top / "out")), prediction.totals(str(top / "out"))
    ),
}  # fmt: skip
"""What reads each kind of file, given the folder of `tree`."""


@pytest.mark.parametrize("name", READERS)
def test_a_sound_file_is_read(tree: Path, name: str) -> None:
    READERS[name](tree)


@pytest.mark.parametrize("name", READERS)
def test_any_damage_gives_a_value_or_one_line(tree: Path, name: str) -> None:
    check_damaged(tree, name, mutations((tree / name).read_bytes(), seed=17, count=150))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("seed", range(10))
def test_twenty_thousand_damages_give_a_value_or_one_line(tree: Path, name: str, seed: int) -> None:
    check_damaged(tree, name, mutations((tree / name).read_bytes(), seed=seed, count=2000))


@pytest.mark.parametrize("name", READERS)
@given(content=strategies.binary(max_size=64))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_give_a_value_or_one_line(tree: Path, name: str, content: bytes) -> None:
    check_damaged(tree, name, iter([content]))


def check_damaged(tree: Path, name: str, contents: Iterator[bytes]) -> None:
    path = tree / name
    sound = path.read_bytes()
    try:
        for content in contents:
            path.write_bytes(content)
            try:
                READERS[name](tree)
            except (JobError, LauncherError) as error:
                assert len(str(error).splitlines()) == 1, (content, str(error))  # noqa: PT017
            except Exception as error:  # noqa: BLE001 (whatever else is what this looks for)
                pytest.fail(f"{error!r} of {content!r}")
    finally:
        path.write_bytes(sound)


def test_names_of_images_survive_any_damage(tree: Path) -> None:
    """The files of names are compressed lines, millions of them: their reader is its own."""
    (path,) = (tree / "out/listing").glob("*/names-*")
    sound = path.read_bytes()
    choose = random.Random(17)
    try:
        for _ in range(300):
            lines = [
                mutation(line, choose) if choose.random() < 0.5 else line
                for line in gzip.decompress(sound).splitlines()
            ]
            packed = gzip.compress(b"\n".join(lines), 1)
            cut = choose.randrange(len(packed)) if choose.random() < 0.2 else len(packed)
            path.write_bytes(packed[:cut])
            frozen = listing.load(str(tree / "out"))
            assert frozen is not None
            with contextlib.suppress(DataError):
                listing.NamesReader(frozen).entries(0)
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize(
    "name", ["../../escaped", "/tmp/escaped", "variables/../../x", "..", "note"]
)
def test_no_name_in_a_model_leaves_its_folder(tree: Path, name: str) -> None:
    path = tree / "model/model.json"
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"variables/variables.index", name.encode()))
    try:
        with pytest.raises(DataError, match="files"):
            model_files.read_facts(str(tree / "model"))
    finally:
        path.write_bytes(sound)
