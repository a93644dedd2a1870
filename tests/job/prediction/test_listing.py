"""Images are listed once, frozen, and shared out without gap or overlap."""

import itertools
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.images.rejected import RejectedError
from job.prediction import listing_sources
from job.prediction.image_reader import ImageReader
from job.prediction.listing import (
    LARGEST_PART,
    NAMES_PER_FILE,
    SMALLEST_PART,
    Entry,
    Found,
    Listing,
    NamesReader,
    freeze,
    load,
    new_entries,
    part_size,
)
from tests.job.pictures import jpeg, write_archive, write_files
from tests.job.trained_run import make_dataset

FILES = {f"{number % 3}/{number:03d}.jpg": jpeg(number) for number in range(7)}


def listed(images: str) -> list[str]:
    return [entry.name for entry in listing_sources.find(images).entries]


def frozen(output: Path, images: str) -> Listing:
    return freeze(str(output), images, listing_sources.find, 1)


def entries_of(listing: Listing) -> list[Entry]:
    names = NamesReader(listing)
    return [entry for part in range(listing.parts) for entry in names.entries(part)]


@given(count=st.integers(1, 10**9), num_tasks=st.integers(1, 300), frozen_for=st.integers(1, 300))
def test_every_image_belongs_to_one_part_and_every_part_to_one_task(
    count: int, num_tasks: int, frozen_for: int
) -> None:
    """Whatever the number of tasks, and however many it was listed for."""
    size = part_size(count, frozen_for)
    listing = Listing("out", "images", "folder", "a", count, 0, size, "")
    assert SMALLEST_PART <= size <= LARGEST_PART
    assert listing.part_range(0).start == 0
    assert listing.part_range(listing.parts - 1).stop == count
    for part in {1, listing.parts // 2, listing.parts - 1} - {0}:
        if part < listing.parts:
            assert listing.part_range(part).start == listing.part_range(part - 1).stop
            assert len(listing.part_range(part)) > 0
    tasks = [listing.parts_of_task(task, num_tasks) for task in range(num_tasks)]
    assert tasks[0].start == 0
    assert tasks[-1].stop == listing.parts
    assert all(one.stop == other.start for one, other in itertools.pairwise(tasks))
    assert max(map(len, tasks)) - min(map(len, tasks)) <= 1


@given(
    names=st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1),
    places=st.integers(0, 2**60),
)
def test_entries_survive_being_written_down(names: list[str], places: int) -> None:
    """Line breaks, surrogates of names that are no UTF-8, and large numbers included."""
    for name in [*names, "\udcff.jpg"]:
        entry = Entry(name, places, places, None)
        line = entry.to_line()
        assert line.count(b"\n") == 1
        assert Entry(*json.loads(line)) == entry


def test_a_listing_of_many_files_of_names_is_read_back(tmp_path) -> None:
    count = NAMES_PER_FILE + 100
    entries = (Entry(f"gs://b/{number:09d}", 1, 2) for number in range(count))
    listing = freeze(str(tmp_path), "gs://b", lambda _: Found("folder", entries), 100)
    assert listing.count == listing.bytes == count
    assert load(str(tmp_path)) == listing
    assert [entry.name for entry in entries_of(listing)] == [
        f"gs://b/{number:09d}" for number in range(count)
    ]


LIST_MANY = """
import sys
from pathlib import Path

from job.prediction.listing import Entry, Found, NamesReader, freeze

count = int(sys.argv[2])
entries = (Entry(f"gs://bucket/photos/{number:012d}.jpg", 1, 2) for number in range(count))
listing = freeze(sys.argv[1], "gs://bucket", lambda _: Found("folder", entries), 100)
names = NamesReader(listing)
seen = sum(len(names.entries(part)) for part in listing.parts_of_task(42, 100))
assert abs(seen - count // 100) <= listing.part_size
# Not getrusage: its maximum counts the process that this one was forked from.
peak = next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
print(listing.count, int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_million_names_need_little_memory(tmp_path) -> None:
    """All that the process ever held, interpreter and libraries included."""
    command = [sys.executable, "-c", LIST_MANY, str(tmp_path), str(10**7)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, peak_bytes = map(int, said.split())
    assert count == 10**7
    assert peak_bytes < 200e6, peak_bytes
    print(f"{count:,} names: {peak_bytes / 1e6:.0f} MB")


def test_tasks_that_list_at_once_agree(tmp_path) -> None:
    """Each sees other images; one of the listings becomes everybody's."""
    barrier = threading.Barrier(6)
    results: list[Listing] = []

    def find(number: int) -> Found:
        barrier.wait()
        return Found("folder", (Entry(f"{number}/{i}", 1, 1) for i in range(number + 1)))

    def task(number: int) -> None:
        results.append(freeze(str(tmp_path), "images", lambda _: find(number), 6))

    threads = [threading.Thread(target=task, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert len(set(results)) == 1
    assert len(entries_of(results[0])) == results[0].count
    names = list(Path(layout.listing_dir(str(tmp_path))).glob("*/names-*"))
    assert len(names) == 1


def test_folders_give_images_sorted_and_nothing_else(tmp_path) -> None:
    more = {".hidden.jpg": b"x", "notes.txt": b"x", "without-ending": b"x", "P.JPEG": b"x"}
    folder = str(write_files(tmp_path, FILES | more))
    assert listed(folder) == sorted(
        [f"{folder}/{name}" for name in [*FILES, "without-ending", "P.JPEG"]]
    )


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("*.jpg", []),
        ("0/*.jpg", ["0/000.jpg", "0/003.jpg", "0/006.jpg"]),
        ("**/*.jpg", sorted(FILES)),
        ("*/00[0-1].jpg", ["0/000.jpg", "1/001.jpg"]),
        ("?/00[!0-5].jpg", ["0/006.jpg"]),
    ],
)
def test_globs_match_within_folders(tmp_path, pattern, matched) -> None:
    folder = str(write_files(tmp_path, FILES))
    assert listed(f"{folder}/{pattern}") == [f"{folder}/{name}" for name in matched]


def test_buckets_are_listed_by_folder_prefix_and_glob(bucket, tmp_path) -> None:
    for name, content in FILES.items():
        storage.write_bytes(f"{bucket}/a/{name}", content)
    everything = sorted(f"{bucket}/a/{name}" for name in FILES)
    assert listed(f"{bucket}/a") == listed(f"{bucket}/a/") == everything
    assert listed(f"{bucket}/a/0/00") == [name for name in everything if "/0/00" in name]
    assert listed(f"{bucket}/**/*6.jpg") == [f"{bucket}/a/0/006.jpg"]
    listing = frozen(tmp_path / "out", f"{bucket}/a")
    first = entries_of(listing)[0]
    storage.write_bytes(first.name, b"another image")
    with ImageReader(listing) as reader, pytest.raises(RejectedError, match="changed"):
        reader.read(first)


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl"])
def test_a_list_names_images_relative_to_itself(tmp_path, kind) -> None:
    write_files(tmp_path / "images", FILES)
    wanted = [f"images/{name}" for name in FILES]
    lines = [*reversed(wanted), wanted[0], "images/missing.jpg"]
    text = {
        "txt": "\n".join(lines),
        "csv": "label,image\n" + "\n".join(f"x,{line}" for line in lines),
        "jsonl": "\n".join(json.dumps({"path": line}) for line in lines),
    }[kind]
    (tmp_path / f"list.{kind}").write_text(text)
    listing = frozen(tmp_path / "out", str(tmp_path / f"list.{kind}"))
    found = entries_of(listing)
    assert [entry.name for entry in found] == sorted(
        str(tmp_path / name) for name in [*wanted, "images/missing.jpg"]
    )
    with ImageReader(listing) as reader:
        assert reader.read(found[0]) == FILES[min(FILES)]
        with pytest.raises(RejectedError, match="not_found"):
            reader.read(found[-1])


@pytest.mark.parametrize("text", ['{"path": [3]}', "{", '{"label": "x"}', '{"path": "a\\u0000"}'])
def test_a_bad_line_of_a_list_is_an_entry_that_is_not_there(tmp_path, text) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "list.jsonl").write_text(f'"a.jpg"\n{text}\n')
    good, bad = listing_sources.find(str(tmp_path / "list.jsonl")).entries
    assert (good.name, good.size) == (f"{tmp_path}/a.jpg", 1)
    assert bad.name.startswith(f"{tmp_path}/list.jsonl#line 2: ")
    assert bad.generation is None


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_unknown_columns_are_named_or_chosen(tmp_path, kind) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    rows = {"csv": "id,photo\n1,a.jpg\n", "jsonl": '{"id": 1, "photo": "a.jpg"}\n'}
    (tmp_path / f"list.{kind}").write_text(rows[kind])
    with pytest.raises(DataError, match=r"it has: id, photo; .*--path_column"):
        listed(str(tmp_path / f"list.{kind}"))
    (entry,) = listing_sources.find(str(tmp_path / f"list.{kind}"), "photo").entries
    assert entry.size == 1


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("where", ["here", "in a bucket"])
def test_an_archive_is_read_in_place(tmp_path, bucket, ending, where) -> None:
    archive = str(write_archive(tmp_path / f"images.{ending}", FILES | {"meta/x.txt": b"x"}))
    if where == "in a bucket":
        storage.upload(archive, f"{bucket}/images.{ending}")
        archive = f"{bucket}/images.{ending}"
    listing = frozen(tmp_path / "out", archive)
    found = entries_of(listing)
    assert [entry.name for entry in found] == [f"{archive}#food-101/{name}" for name in FILES]
    with ImageReader(listing) as reader:
        contents = {entry.name.partition("#food-101/")[2]: reader.read(entry) for entry in found}
    assert contents == FILES


def test_a_damaged_archive_is_named(tmp_path) -> None:
    archive = write_archive(tmp_path / "images.tar.gz", FILES)
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"images\.tar\.gz is damaged, cut short"):
        listed(str(archive))


def test_the_records_of_a_dataset_are_images(tmp_path) -> None:
    dataset = make_dataset(tmp_path / "data", (9, 4))
    shard = Path(dataset.path, dataset.splits["test"].shards[0].file)
    content = bytearray(shard.read_bytes())
    content[-30] ^= 1
    shard.write_bytes(content)
    listing = frozen(tmp_path / "out", dataset.path)
    found = entries_of(listing)
    assert len(found) == 9 + 9 + 4
    assert listed(str(shard)) == [f"{shard}#{number}" for number in range(9)]
    with ImageReader(listing) as reader:
        assert reader.read(found[0])[:2] == b"\xff\xd8"
        with pytest.raises(RejectedError, match=r"damaged.*checksum"):
            reader.read(found[8])


def test_nothing_there_is_an_error_that_names_it(tmp_path, bucket) -> None:
    for images in (str(tmp_path / "gone"), f"{bucket}/gone", str(tmp_path / "list.txt")):
        with pytest.raises(InputMissingError, match=r"gone|list\.txt"):
            frozen(tmp_path / "out", images)


def test_every_file_is_an_entry_or_passed_over_and_new_ones_are_found(tmp_path) -> None:
    images = write_files(
        tmp_path / "images",
        {"a.jpg": jpeg(1), "b.CR2": b"x", "Thumbs.db": b"x", "c.jpg.1": jpeg(2), "c.txt.1": b"x"},
    )
    listing = frozen(tmp_path / "out", f"{images}/")
    assert [entry.name.rpartition("/")[2] for entry in entries_of(listing)] == [
        "a.jpg",
        "b.CR2",
        "c.jpg.1",
    ]
    assert listing.passed_over == {".1": 1, ".db": 1}
    assert frozen(tmp_path / "out", str(images)) == listing
    with ImageReader(listing) as reader, pytest.raises(RejectedError, match="raw file"):
        reader.read(entries_of(listing)[1])
    write_files(images, {"0.jpg": jpeg(3), "z.jpg": jpeg(3), "z.txt": b""})
    found = listing_sources.find(str(images))
    assert new_entries(listing, found.entries) == 2


def test_a_zip_is_read_in_any_order(tmp_path, bucket) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
        archive.writestr("__MACOSX/._a.jpg", b"x")
    storage.upload(str(path), f"{bucket}/images.zip")
    for source in (str(path), f"{bucket}/images.zip"):
        listing = frozen(tmp_path / source.replace("/", "-"), source)
        found = entries_of(listing)
        assert [entry.name for entry in found] == [f"{source}#{name}" for name in FILES]
        assert listing.passed_over == {".jpg": 1}
        with ImageReader(listing) as reader:
            for entry in reversed(found):
                assert reader.read(entry) == FILES[entry.name.partition("#")[2]]
