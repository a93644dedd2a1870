"""Sources: what is listed, with which label and split, and what is refused."""

import gzip
import io
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract.errors import DataError, InputMissingError
from job.images import archives
from job.making.catalogue import ImageCatalogue, PlannedImage
from job.making.listed import SourceOptions
from job.making.sources import open_source
from tests.job.pictures import food101_files, jpeg, write_archive, write_files


class Listing:
    """A source, listed and arranged."""

    def __init__(self, path: Path, seed: int = 0, test_fraction: float = 0.1, **more: Any) -> None:
        with ImageCatalogue() as catalogue:
            options = SourceOptions(seed=seed, test_fraction=test_fraction, **more)
            listed = open_source(str(path), options).list_into(catalogue, lambda _: None)
            self.kind, self.classes, self.said = listed.kind, listed.classes, listed.said
            catalogue.arrange(self.classes, seed)
            self.digest = catalogue.digest()
            self.rejects = catalogue.rejects()
            self.seen = sum(catalogue.seen.values())
            self.passed_over = {why: dict(by) for why, by in catalogue.passed_over.items()}
            count = {split: catalogue.count(split) for split in ("train", "test")}
            self.train = self._ids(catalogue.planned(0, count["train"]))
            self.test = self._ids(catalogue.planned(count["train"], sum(count.values())))
            self.images = list(catalogue.planned(0, sum(count.values())))

    @staticmethod
    def _ids(images: "list[PlannedImage] | object") -> list[str]:
        return [image.source_id for image in images]  # type: ignore[attr-defined]

    @property
    def labels(self) -> dict[str, int]:
        return {image.source_id: image.label for image in self.images}


@pytest.mark.parametrize("below", ["", "food-101"])
def test_a_food101_folder_keeps_its_official_split(tmp_path: Path, below: str) -> None:
    write_files(tmp_path / below, food101_files(train=3, test=2))
    found = Listing(tmp_path)
    assert found.kind == "Food-101"
    assert found.classes == ["apple_pie", "sushi"]
    assert sorted(found.test) == [f"{c}/{n}" for c in found.classes for n in (1003, 1004)]
    assert len(found.train) == 6
    assert found.labels["sushi/1000"] == 1
    assert not found.rejects


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_an_archive_is_planned_like_its_unpacked_folder(tmp_path: Path, name: str) -> None:
    files = food101_files()
    folder = Listing(write_files(tmp_path / "folder", files))
    archive = Listing(write_archive(tmp_path / name, files))
    assert archive.kind == "Food-101"
    assert archive.digest == folder.digest


def test_images_come_shuffled_and_the_seed_decides_how(tmp_path: Path) -> None:
    write_files(tmp_path, food101_files())
    found = Listing(tmp_path)
    assert found.train != sorted(found.train)
    assert found.train == Listing(tmp_path).train
    assert found.train != Listing(tmp_path, seed=1).train
    assert sorted(found.train) == sorted(Listing(tmp_path, seed=1).train)


def test_what_the_official_lists_and_the_files_disagree_on_is_rejected(tmp_path: Path) -> None:
    files = food101_files(train=3, test=1)
    del files["images/sushi/1000.jpg"]
    files["images/sushi/9.jpg"] = jpeg(9)
    files["images/sushi/1001.png"] = jpeg(9)
    files["images/soup/1.jpg"] = jpeg(9)
    files["meta/train.txt"] += b"\nsoup/1\n"
    reasons = {(r.source_id, r.reason) for r in Listing(write_files(tmp_path, files)).rejects}
    assert reasons == {
        ("sushi/1000", "named in meta/train.txt, but not there"),
        ("sushi/9", "in neither meta/train.txt nor meta/test.txt"),
        ("sushi/1001", "listed a second time"),
        ("soup/1", "class soup is not in meta/classes.txt"),
    }


def test_an_image_in_both_official_lists_is_an_error(tmp_path: Path) -> None:
    files = food101_files()
    files["meta/test.txt"] += b"\napple_pie/1000"
    with pytest.raises(DataError, match="both name 'apple_pie/1000'"):
        Listing(write_files(tmp_path, files))


def test_class_folders_are_split_by_fraction(tmp_path: Path) -> None:
    files = {f"{c}/{n}.jpg": b"x" for c in ("pie", "soup") for n in range(200)}
    files |= {"readme.txt": b"", "pie/.hidden": b"", ".git/config": b""}
    found = Listing(write_files(tmp_path, files), test_fraction=0.25)
    assert found.kind == "class folders"
    assert found.classes == ["pie", "soup"]
    assert len(found.images) == 400
    assert 60 < len(found.test) < 140


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=30), st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_adding_images_moves_no_other_between_splits(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("classes")
    before = Listing(write_files(folder, {"a/keep": b"", "b/keep": b""}), seed, 0.5)
    after = Listing(write_files(folder, {f"a/{n}": b"" for n in numbers}), seed, 0.5)
    assert set(before.train) <= set(after.train)
    assert set(before.test) <= set(after.test)
    order = [one for one in after.train if one in before.train]
    assert order == before.train


def csv_source(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "images.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_a_csv_gives_paths_labels_and_splits(tmp_path: Path) -> None:
    text = 'label,path,split\npie,a.jpg,train\n"soup, hot",sub/b.jpg,test\n\npie,/abs/c.jpg,train\n'
    found = Listing(csv_source(tmp_path, text))
    assert found.classes == ["pie", "soup, hot"]
    assert sorted(found.train) == ["/abs/c.jpg", "a.jpg"]
    locations = {image.source_id: image.location for image in found.images}
    assert locations["sub/b.jpg"] == str(tmp_path / "sub/b.jpg")
    assert locations["/abs/c.jpg"] == "/abs/c.jpg"


def test_a_csv_needs_no_header_and_sorts_number_labels_as_numbers(tmp_path: Path) -> None:
    text = "".join(f"{n}.jpg,{n % 12}\n" for n in range(200))
    found = Listing(csv_source(tmp_path, text), test_fraction=0.5)
    assert found.classes == [str(n) for n in range(12)]
    assert found.labels["11.jpg"] == 11
    assert found.train
    assert found.test


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.jpg,pie\nb.jpg,\n", "line 3: its label is missing"),
        ("path,label,split\na.jpg,pie,7\n", "line 2: split must be train or test .*, not '7'"),
        ("path,label,split\na.jpg,pie\n", "line 2: split must be train or test .*, not ''"),
    ],
)
def test_a_wrong_row_is_rejected_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    (reject,) = Listing(csv_source(tmp_path, text)).rejects
    assert re.fullmatch(message, reject.reason)


def test_a_csv_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a.jpg,pie\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="not in UTF-8"):
        Listing(path)


def test_nothing_at_the_path_is_missing_input(tmp_path: Path) -> None:
    for name in ("none", "none.tar.gz", "none.csv"):
        with pytest.raises(InputMissingError, match="none"):
            Listing(tmp_path / name)


def test_hostile_members_are_only_names(tmp_path: Path) -> None:
    """Links, devices and paths that climb out of the folder neither are followed nor listed."""
    path = write_archive(tmp_path / "a.tar", food101_files(train=2, test=1))
    with tarfile.open(path, "a") as archive:
        for name in ("../../etc/images/../passwd", "/etc/images/pie/../../x", "images/.ssh/key"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"images/sushi/kind{kind.decode()}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        duplicate = tarfile.TarInfo("other/images/sushi/1000.jpg")
        archive.addfile(duplicate, io.BytesIO())
    found = Listing(path)
    assert len(found.images) == 6
    assert not found.rejects
    assert found.passed_over == {
        "its name climbs out of the source": {"": 2},
        "no image": {".txt": 3, "": 1},
        "image in no folder of a class": {".jpg": 1},
    }


def test_names_that_are_not_utf8_are_rejected(tmp_path: Path) -> None:
    files = food101_files(train=2, test=1) | {"images/sushi/\udcff.jpg": b""}
    (reject,) = Listing(write_archive(tmp_path / "a.tar", files)).rejects
    assert reject.reason == "the name is not UTF-8"


def test_official_lists_must_be_complete(tmp_path: Path) -> None:
    files = food101_files()
    del files["meta/classes.txt"]
    with pytest.raises(DataError, match=r"no meta/classes\.txt"):
        Listing(write_archive(tmp_path / "a.tar.gz", files))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97, 0.9999])
@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar"])
def test_an_archive_cut_short_is_named(tmp_path: Path, share: float, name: str) -> None:
    path = write_archive(tmp_path / name, food101_files(train=40))
    content = path.read_bytes()
    # Behind the last member a plain archive has only zeros, of which any number will do.
    path.write_bytes(content.rstrip(b"\0")[: int(len(content.rstrip(b"\0")) * share)])
    with pytest.raises(DataError, match=r"cut short|not complete"):
        Listing(path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", food101_files())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        Listing(path)


def test_a_damaged_header_does_not_pass_for_the_end(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar", food101_files())
    content = bytearray(path.read_bytes())
    header = content.index(b"food-101/images/sushi/1003.jpg")
    content[header + 5] ^= 0xFF
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content))
    for name in ("a.tar", "a.tar.gz"):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            list(archives.members(str(tmp_path / name)))


def test_an_archive_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", food101_files())
    with ImageCatalogue() as catalogue:
        archive = open_source(str(path), SourceOptions())
        catalogue.arrange(archive.list_into(catalogue, lambda _: None).classes, seed=0)
        write_archive(path, food101_files(classes=("bread", "sushi")))
        with pytest.raises(DataError, match="has changed"):
            list(archive.read_images(catalogue.planned_as_listed(), 1 << 20))


def test_large_members_are_never_read_whole(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", food101_files())
    with ImageCatalogue() as catalogue:
        archive = open_source(str(path), SourceOptions())
        catalogue.arrange(archive.list_into(catalogue, lambda _: None).classes, seed=0)
        read = list(archive.read_images(catalogue.planned_as_listed(), 100))
    assert len(read) == 32
    assert {len(data) for _, data in read} == {100}
