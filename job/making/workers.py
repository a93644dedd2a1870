"""What a worker process does: read image files, normalise them, serialise the examples."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2

from job import storage
from job.dataset.tfrecord import ImageExample, encode_example
from job.images.normalise import UnusableImageError, normalise
from job.making.catalogue import PlannedImage
from job.storage.interface import NotFoundError

MAX_FILE_BYTES = 64 << 20
"""Larger files are rejected unread: no photograph is, and memory must stay bounded."""

_CHUNK_IMAGES = 16
_CHUNK_BYTES = 1 << 20
# A request to a bucket is nearly all waiting.
_PARALLEL_READS = 16


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How images are made: see `job.images.normalise.normalise`."""

    shorter_side: int
    jpeg_quality: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Task:
    """One image to do; without `data` the worker reads its location."""

    image: PlannedImage
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an image: a serialised example and its fingerprint, or a reason."""

    position: int
    record: bytes
    fingerprint: bytes
    reason: str = ""


def prepare() -> None:
    """Set up a process: parallelism is over images, not within one."""
    cv2.setNumThreads(1)


def do_chunk(tasks: Sequence[Task], options: ImageOptions) -> list[Outcome]:
    """Do some images, in their order."""
    return [_do(task.image, data, options) for task, data in _with_data(tasks)]


def chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Group tasks so that a chunk is worth its way to a worker, and never large."""
    chunk: list[Task] = []
    size = 0
    for task in tasks:
        chunk.append(task)
        size += task.image.bytes or 0
        if len(chunk) == _CHUNK_IMAGES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _with_data(tasks: Sequence[Task]) -> Iterator[tuple[Task, bytes | None]]:
    if not any(storage.is_remote(task.image.location) for task in tasks if task.data is None):
        yield from ((task, _read(task)) for task in tasks)
        return
    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        yield from zip(tasks, pool.map(_read, tasks), strict=True)


def _read(task: Task) -> bytes | None:
    """Give a file's content, one byte more than allowed if it is too large, None if missing."""
    if task.data is not None:
        return task.data
    try:
        return storage.read_bytes(task.image.location, 0, MAX_FILE_BYTES + 1)
    except NotFoundError:
        return None


def _do(image: PlannedImage, data: bytes | None, options: ImageOptions) -> Outcome:
    if data is None:
        return _rejected(image, "there is no such file")
    if len(data) > MAX_FILE_BYTES:
        return _rejected(image, f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        normal = normalise(
            data,
            shorter_side=options.shorter_side,
            jpeg_quality=options.jpeg_quality,
            max_pixels=options.max_pixels,
        )
    except UnusableImageError as error:
        return _rejected(image, " ".join(str(error).split())[:200])
    record = encode_example(
        ImageExample(
            encoded=normal.encoded,
            height=normal.height,
            width=normal.width,
            label=image.label,
            class_text=image.class_text,
            filename=image.filename,
            source_id=image.source_id,
        )
    )
    return Outcome(image.position, record, normal.fingerprint)


def _rejected(image: PlannedImage, reason: str) -> Outcome:
    return Outcome(image.position, b"", b"", reason)
