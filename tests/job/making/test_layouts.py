"""Arrangements of images that people have: what each is taken for, or why it is refused."""

import bz2
import io
import lzma
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow
import pytest

from job.contract.errors import DataError
from job.making.classes import check_classes, class_order
from tests.job.making.test_sources import Listing
from tests.job.pictures import food101_files, write_files


def images(*folders: str, count: int = 3) -> dict[str, bytes]:
    """Files of images: `count` in each folder. Nothing but names is looked at here."""
    return {f"{folder}/{number}.jpg": b"x" for folder in folders for number in range(count)}


def texts(*names: str) -> dict[str, bytes]:
    return dict.fromkeys(names, b"text")


@pytest.mark.parametrize(
    ("files", "said", "test"),
    [
        (images("pie", "soup"), "2 classes as folders", None),
        (images("food/pie", "food/soup"), "2 classes as folders in food/", None),
        (images("images/pie", "images/soup") | texts("readme.md"), "folders in images/", None),
        (images("train/pie", "train/soup", "val/pie"), "train/ and val/ (val/ for testing)", 3),
        (images("Train/pie", "Train/soup", "TEST/pie"), "in TEST/ and Train/", 3),
        (
            images("train/pie", "train/soup", "valid/pie", "test/soup")
            | texts("README.roboflow.txt", "README.dataset.txt"),
            "2 classes in test/, train/ and valid/ (test/ and valid/ for testing), as ImageFolder",
            6,
        ),
        (images("d/d/training/pie", "d/d/training/soup", "d/d/validation/pie"), "in d/d/", 3),
        (images("train/images/pie", "train/images/soup", "test/images/pie"), "test/ and train/", 3),
        (images("train/pie", "train/soup"), "2 classes in train/, as ImageFolder", None),
        (
            images("pie/train", "pie/test", "soup/train", "soup/test"),
            "2 classes as folders, each with a folder for each split",
            6,
        ),
        (
            images("pie", "soup") | texts("docs/licence.pdf", "annotations/a.xml"),
            "2 classes as folders; annotations/ and docs/ have no images and make no class",
            None,
        ),
        (images("train", "plane", "car"), "3 classes as folders", None),
        (
            images("pie", "soup") | images("__MACOSX/pie", ".cache/x") | texts("pie/._0.jpg"),
            "2 classes as folders",
            None,
        ),
    ],
)
def test_a_tree_is_recognised(
    tmp_path: Path, files: dict[str, bytes], said: str, test: int | None
) -> None:
    found = Listing(write_files(tmp_path, files), test_fraction=0.0)
    assert said in found.said
    assert set(found.classes) <= {"pie", "soup", "train", "plane", "car"}
    assert len(found.test) == (test or 0)
    assert not found.rejects
    assert found.seen == len(files)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (texts("a.txt", "b.pdf"), "no images among 2 files"),
        (images("."), r"3 images in no folder of a class \(3 \.jpg\)"),
        (images("train", "test"), "test/ and train/ have images but no class folders"),
        (images("images/train", "images/val") | texts("labels/train/0.txt"), "no class folders"),
        (images("train/images", "valid/images") | texts("train/labels/0.txt"), "boxes"),
        (images("train/pie", "train/soup", "extra/pie"), "train/ hold class folders as splits do"),
        (images("pie"), "pie is the only class"),
        (images("asian/ramen", "asian/sushi", "pie"), "as asian/ramen/; say --nested=join"),
        (images("pie", "pie/old", "soup"), "as pie/old/; say --nested=join"),
        (images("train/asian/ramen", "train/pie", "test/pie"), "--nested=join"),
        (images(unicodedata.normalize("NFC", "crème"), unicodedata.normalize("NFD", "crème")),
         "two Unicode forms"),
    ],
)  # fmt: skip
def test_what_is_no_layout_is_refused_with_what_was_seen(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        check_classes(Listing(write_files(tmp_path, files)).classes, str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("nested", "classes"),
    [("join", ["asian/ramen", "asian/sushi", "pie"]), ("top", ["asian", "pie"])],
)
def test_nested_class_folders_mean_what_the_flag_says(
    tmp_path: Path, nested: str, classes: list[str]
) -> None:
    write_files(tmp_path, images("asian/ramen", "asian/sushi", "pie"))
    found = Listing(tmp_path, nested=nested)
    assert found.classes == classes
    assert len(found.images) == 9


@pytest.mark.parametrize("root", ["", "food-101/", "a/b/"])
@pytest.mark.parametrize("meta", ["meta/", "meta/meta/"])
def test_food101_is_found_however_deep_it_was_packed(tmp_path: Path, root: str, meta: str) -> None:
    files = {
        root + name.replace("meta/", meta): content for name, content in food101_files().items()
    }
    found = Listing(write_files(tmp_path, files))
    assert found.kind == "Food-101"
    assert found.said == f"2 classes in {root}images/, split by meta/train.txt and meta/test.txt"
    assert (len(found.train), len(found.test)) == (24, 8)


def test_a_class_that_the_official_list_names_twice_is_named(tmp_path: Path) -> None:
    files = food101_files() | {"meta/classes.txt": b"apple_pie\nsushi\nsushi\n"}
    with pytest.raises(DataError, match=r"classes\.txt names sushi twice"):
        Listing(write_files(tmp_path, files))


CSV = b"file_name,text,label\n0.jpg,hot,pie\n1.jpg,cold,soup\n3.jpg,lost,pie\n"


def test_metadata_labels_images_that_lie_beside_it(tmp_path: Path) -> None:
    files = images("data") | {"data/metadata.csv": CSV} | texts("data/0.txt", "readme.md")
    found = Listing(write_files(tmp_path, files))
    assert found.kind == "Hugging Face imagefolder"
    assert found.classes == ["pie", "soup"]
    assert {image.source_id: image.class_text for image in found.images} == {
        "data/0.jpg": "pie",
        "data/1.jpg": "soup",
    }
    (reject,) = found.rejects
    assert (reject.source_id, reject.reason) == (
        "data/3.jpg",
        "named in the metadata, but not there",
    )
    assert found.passed_over == {
        "no image": {".csv": 1, ".txt": 1, ".md": 1},
        "not in the metadata": {".jpg": 1},
    }


def test_metadata_of_each_split_gives_its_split(tmp_path: Path) -> None:
    lines = b'{"file_name": "0.jpg", "label": 7}\n{"file_name": "1.jpg", "label": 10}\n'
    files = images("train", "validation", count=2)
    files |= {"train/metadata.jsonl": lines, "validation/metadata.jsonl": lines}
    found = Listing(write_files(tmp_path, files))
    assert found.classes == ["7", "10"]
    assert sorted(found.test) == ["validation/0.jpg", "validation/1.jpg"]


def test_captions_are_no_labels(tmp_path: Path) -> None:
    """Class folders keep their meaning beside them; without folders the columns are named."""
    captions = {"metadata.csv": b"file_name,text\n0.jpg,a pie\n"}
    found = Listing(write_files(tmp_path / "folders", images("pie", "soup") | captions))
    assert found.kind == "class folders"
    with pytest.raises(DataError, match=r"it has: file_name, text; .*--label_column"):
        Listing(write_files(tmp_path / "flat", images(".") | captions))


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def packed(files: dict[str, bytes], ending: str) -> bytes:
    if ending == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()
    pack = {
        ".tar": lambda data: data,
        ".tar.bz2": bz2.compress,
        ".tar.xz": lzma.compress,
        ".tar.zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True),
    }[ending]
    return pack(tar_of(files))


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_an_archive_is_taken_for_what_its_folder_is(tmp_path: Path, ending: str) -> None:
    files = images("food/train/pie", "food/train/soup", "food/val/pie") | texts("food/readme.txt")
    folder = Listing(write_files(tmp_path / "folder", files))
    (tmp_path / f"a{ending}").write_bytes(packed(files, ending))
    archive = Listing(tmp_path / f"a{ending}")
    assert archive.digest == folder.digest
    assert archive.said == folder.said
    assert archive.passed_over == folder.passed_over


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_an_archive_that_was_cut_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    content = packed(images("pie", "soup", count=40), ending).rstrip(b"\0")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"a{ending}.*cut short"):
        Listing(path)


@pytest.mark.parametrize("name", ["a.rar", "a.7z", "a.gz", "a.jpg", "a"])
def test_files_that_are_no_source_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=name):
        Listing(tmp_path / name)


def test_every_file_is_counted(tmp_path: Path) -> None:
    """Images, rejects and what was passed over are all there is, by ending."""
    png = b"\x89PNG\r\n\x1a\n" + b"x" * 20
    files = images("pie", "soup") | texts("pie/0.txt", "pie/Thumbs.db", "soup/desktop.ini")
    files |= texts("top.jpg", "docs/a.pdf", "pie/IMG.CR2", "soup/drawing.svg", "pie/1.jpg.2")
    files |= {"pie/photo.jpg.1": png, "soup/noending": b"x", "soup/photo.jpg_large": png}
    found = Listing(write_files(tmp_path, files))
    assert {image.source_id for image in found.images} == {*images("pie", "soup")} | {
        "pie/photo.jpg.1",
        "soup/noending",
        "soup/photo.jpg_large",
    }
    assert {r.source_id: r.reason.partition(";")[0] for r in found.rejects} == {
        "pie/IMG.CR2": "no decoder for .cr2: a camera's raw file",
        "soup/drawing.svg": "no decoder for .svg: a drawing without pixels",
    }
    assert found.passed_over == {
        "image in no folder of a class": {".jpg": 1},
        "no image": {".txt": 1, ".db": 1, ".ini": 1, ".pdf": 1, ".2": 1},
    }
    passed = sum(sum(endings.values()) for endings in found.passed_over.values())
    assert found.seen == len(files) == len(found.images) + len(found.rejects) + passed


def test_names_that_nobody_should_have_are_rejects(tmp_path: Path) -> None:
    files = images("pie", "soup") | {"pie/a\nb.jpg": b"x", "pie/\x1b[2Jc.jpg": b"x"}
    write_files(tmp_path, files)
    (tmp_path / "soup" / "caf\udce9.jpg").write_bytes(b"x")
    (tmp_path / "pie" / ("l" * 251 + ".jpg")).write_bytes(b"x")
    found = Listing(tmp_path)
    assert {(r.source_id, r.reason) for r in found.rejects} == {
        ("pie/a\\nb.jpg", "the name has control characters"),
        ("pie/\\x1b[2Jc.jpg", "the name has control characters"),
        ("soup/caf\\udce9.jpg", "the name is not UTF-8"),
    }
    assert len(found.images) == 7


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["-1", "2.5", "10"], ["-1", "2.5", "10"]),
        (["10", "9", "b"], ["10", "9", "b"]),
        (["B", "a"], ["B", "a"]),
        (["9" * 5000, "1"], ["1", "9" * 5000]),
    ],
)
def test_classes_have_one_order(names: Iterable[str], expected: list[str]) -> None:
    assert class_order(names) == expected
