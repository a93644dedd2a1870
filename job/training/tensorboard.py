"""TensorBoard events of a run, written into local files.

Written with TensorBoard's own event writer: no TensorFlow filesystem is involved, and a resumed
run says where it goes on, so that TensorBoard hides the steps that a crash left behind it.
"""

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from job.contract import layout


@dataclass(frozen=True)
class Picture:
    """An image with its caption."""

    pixels: npt.NDArray[np.uint8]  # [height, width, 3]
    caption: str


class Summaries:
    """The curves, texts and pictures of a run, under logs/train and logs/test.

    Args:
        run: Run directory, or its local mirror (`job/storage/run_mirror.py`).
        first_step: The step that training starts or goes on from; later points that an earlier
            attempt wrote are hidden.
    """

    def __init__(self, run: str, *, first_step: int) -> None:
        self._run = run
        self._first_step = first_step
        self._writers: dict[str, EventFileWriter] = {}

    def scalars(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve of `kind`, "train" or "test"."""
        self._add(
            kind,
            step,
            [summary_pb2.Summary.Value(tag=t, simple_value=v) for t, v in values.items()],
        )

    def text(self, kind: str, step: int, tag: str, markdown: str) -> None:
        """Add a text in Markdown."""
        content = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[markdown.encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        )
        metadata = text_metadata.create_summary_metadata(display_name=tag, description="")
        self._add(
            kind, step, [summary_pb2.Summary.Value(tag=tag, tensor=content, metadata=metadata)]
        )

    def pictures(self, kind: str, step: int, tag: str, pictures: Sequence[Picture]) -> None:
        """Add pictures, each under `tag` and its caption."""
        values = []
        for number, picture in enumerate(pictures):
            height, width, _ = picture.pixels.shape
            image = summary_pb2.Summary.Image(
                height=height,
                width=width,
                colorspace=3,
                encoded_image_string=_png(picture.pixels),
            )
            values.append(
                summary_pb2.Summary.Value(tag=f"{tag}/{number:02d} {picture.caption}", image=image)
            )
        self._add(kind, step, values)

    def flush(self) -> None:
        """Write what is pending to the disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Write everything."""
        for writer in self._writers.values():
            writer.close()

    def _add(self, kind: str, step: int, values: Sequence[summary_pb2.Summary.Value]) -> None:
        event = event_pb2.Event(
            step=step, wall_time=time.time(), summary=summary_pb2.Summary(value=values)
        )
        self._writer(kind).add_event(event)

    def _writer(self, kind: str) -> EventFileWriter:
        if kind not in self._writers:
            writer = EventFileWriter(layout.logs_dir(self._run, kind), flush_secs=5)
            # TensorBoard drops what it read before of this step and later ones.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            writer.add_event(
                event_pb2.Event(step=self._first_step + 1, wall_time=time.time(), session_log=start)
            )
            self._writers[kind] = writer
        return self._writers[kind]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
