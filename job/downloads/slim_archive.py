"""The archive of the pretrained VGG19, unpacked without trusting it."""

import os
import shutil
import tempfile
from pathlib import PurePosixPath

from job.contract.errors import DataError, NoSpaceError
from job.downloads.partial_file import set_aside
from job.images import archives, tar_members
from job.storage.local import errors_of

CHECKPOINT = "vgg_19.ckpt"
"""What the archive must hold: one file in TensorFlow's V1 format."""

_MOST_BYTES = 2 << 30


def extract_checkpoint(archive: str, folder: str) -> None:
    """Unpack vgg_19.ckpt from a .tar.gz into `folder`; all of it or nothing appears there.

    The whole archive is read, so that gzip's checksum is checked too. Whatever is not a plain
    file inside the folder condemns it: members that climb out, links, devices.

    Args:
        archive: Local file. One that cannot be used is renamed to ARCHIVE.corrupt.
        folder: Existing local folder.

    Raises:
        DataError: The archive is damaged, not what it should be, or unsafe.
        NoSpaceError: The disk is too small.
    """
    with tempfile.TemporaryDirectory(prefix=".extracting-", dir=folder) as staging:
        unpacked = os.path.join(staging, CHECKPOINT)
        try:
            _unpack(archive, unpacked, folder)
        except DataError as error:
            fault = str(error).removeprefix(archive).strip()
            raise set_aside(archive, f"{archive} {fault}", archive) from error
        os.replace(unpacked, os.path.join(folder, CHECKPOINT))


def _unpack(archive: str, target: str, folder: str) -> None:
    total = 0
    with archives.opened(archive) as stream:
        for member in tar_members.members(stream, archive):
            total += member.size
            _check_member(member, total)
            if member.kind == "file" and PurePosixPath(member.name).name == CHECKPOINT:
                _check_room(folder, member.size)
                with errors_of(target), open(target, "wb") as file:
                    while piece := member.read(1 << 20):
                        file.write(piece)
    if not os.path.exists(target):
        raise DataError(f"holds no {CHECKPOINT}")


def _check_member(member: tar_members.TarMember, total: int) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"is unsafe: its member {member.name!r:.200} lies outside of the folder")
    if member.kind not in ("file", "folder"):
        raise DataError(f"is unsafe: its member {member.name!r:.200} is a link or a device")
    if total > _MOST_BYTES:
        raise DataError(f"is unsafe: it unpacks to more than {_MOST_BYTES / 1e9:.1f} GB")


def _check_room(folder: str, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise NoSpaceError(
            f"{folder} has {free / 1e9:.2f} GB left, {CHECKPOINT} needs {size / 1e9:.2f} GB; free "
            "some or choose another --output"
        )
