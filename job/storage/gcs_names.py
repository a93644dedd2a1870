"""gs:// paths, taken apart and checked before anything is sent."""

import re

from job.contract.errors import ConfigError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LONGEST_NAME_BYTES = 1024


def split(path: str) -> tuple[str, str]:
    """Split gs://bucket/name into its two parts; the name may be empty. Both are checked."""
    bucket, _, name = path.removeprefix("gs://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"{path}: {bucket!r} cannot be a bucket: names have 3 to 222 of a-z 0-9 . _ - and "
            "begin and end with a letter or digit"
        )
    if len(name.encode()) > _LONGEST_NAME_BYTES or name in (".", "..") or set(name) & {"\r", "\n"}:
        raise ConfigError(
            f"{path}: not a name for an object: at most {_LONGEST_NAME_BYTES} bytes of UTF-8, "
            "without line breaks"
        )
    return bucket, name


def split_file(path: str) -> tuple[str, str]:
    """Split the path of an object, whose name cannot be empty."""
    bucket, name = split(path)
    if not name or name.endswith("/"):
        raise ConfigError(f"{path} names a folder where a file is needed")
    return bucket, name
