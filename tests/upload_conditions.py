"""Real GCS's conditions on large uploads, for an emulator that does not know them.

fake-gcs-server honours ifGenerationMatch when an object comes in one request, and ignores it when
it comes in several (resumable). GCS checks it twice: when the upload begins, and again when its
last byte has come.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

_BEGIN = re.compile(r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o$")
_LAST_CHUNK = re.compile(r"bytes (?:\d+-(?P<last>\d+)|\*)/(?P<total>\d+)")


@dataclass(frozen=True)
class _Condition:
    bucket: str
    name: str
    generation: int


@dataclass
class UploadConditions:
    """Follows the resumable uploads that pass by.

    `generation_of(bucket, name)` asks the server for an object's generation; 0 if it is not there.
    """

    generation_of: Callable[[str, str], int]
    _uploads: dict[str, _Condition] = field(default_factory=dict)

    def broken_by(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether GCS would answer this request with 412."""
        condition = self._begun_by(method, path, body) or self._ended_by(method, path, headers)
        return condition is not None and condition.generation != self.generation_of(
            condition.bucket, condition.name
        )

    def note(self, method: str, path: str, body: bytes, location: str) -> None:
        """Remember an upload that the server has let begin; it goes on at `location`."""
        condition = self._begun_by(method, path, body)
        if condition is not None:
            self._uploads[_upload_id(location)] = condition

    def _begun_by(self, method: str, path: str, body: bytes) -> _Condition | None:
        url = urlsplit(path)
        query = parse_qs(url.query)
        begin = _BEGIN.fullmatch(url.path)
        resumable = query.get("uploadType") == ["resumable"] and "ifGenerationMatch" in query
        if method != "POST" or begin is None or not resumable:
            return None
        name = query["name"][0] if "name" in query else json.loads(body)["name"]
        return _Condition(unquote(begin["bucket"]), name, int(query["ifGenerationMatch"][0]))

    def _ended_by(self, method: str, path: str, headers: Mapping[str, str]) -> _Condition | None:
        sent = {name.lower(): value for name, value in headers.items()}.get("content-range", "")
        chunk = _LAST_CHUNK.fullmatch(sent)
        if method != "PUT" or chunk is None or chunk["last"] is None:
            return None
        if int(chunk["last"]) + 1 != int(chunk["total"]):
            return None
        return self._uploads.get(_upload_id(path))


def _upload_id(url: str) -> str:
    return parse_qs(urlsplit(url).query).get("upload_id", [""])[0]
