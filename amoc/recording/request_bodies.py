"""Pure. Parses the bodies of recorded requests: JSON, a form, files, or bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from amoc.recording.exchange import Body, File, FormBody, JsonBody, RawBody

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MAX_DEPTH = 20
"""For JSON that becomes Python; deeper JSON is sent as text."""
MAX_FIELDS = 2_000
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,200})', re.IGNORECASE)
_NAME = re.compile(r';\s*name="([^"]*)"', re.IGNORECASE)
_FILE = re.compile(r';\s*filename="([^"]*)"', re.IGNORECASE)
_PART_TYPE = re.compile(rb"^content-type:\s*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


class Param(NamedTuple):
    """A field as given in a HAR file, in addition to or instead of the text."""

    name: str
    value: str
    file: str | None
    type: str


def parse(media: str, content: bytes, params: Sequence[Param]) -> Body | None:
    """Parse the body of a request with Content-Type `media`; None if there is none."""
    kind = media.partition(";")[0].strip().lower()
    if kind == MULTIPART:
        found = _multipart(media, content)
        return found if found is not None else _of_params(params, True)
    if kind == FORM:
        return _form(content) or _of_params(params, False)
    if not content:
        return _of_params(params, False) if params else None
    if kind.endswith(("/json", "+json")) and (body := _json(content)) is not None:
        return body
    return RawBody(content, media)


def _json(content: bytes) -> JsonBody | None:
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return JsonBody(value) if _depth_is_fine(value, MAX_DEPTH) else None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth_is_fine(value: object, left: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return left > 0 and all(_depth_is_fine(one, left - 1) for one in inner)
    # 1e999 is infinite, for which Python has no literal.
    return not isinstance(value, float) or abs(value) < float("inf")


def _form(content: bytes) -> FormBody | None:
    try:
        fields = parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return FormBody(fields, [], False) if fields else None


def _of_params(params: Sequence[Param], is_multipart: bool) -> FormBody | None:
    fields = [(one.name, one.value) for one in params if one.file is None]
    files = [
        (one.name, File(one.file, one.value.encode() or None, one.type))
        for one in params
        if one.file is not None
    ]
    return FormBody(fields, files, is_multipart or bool(files)) if params else None


def _multipart(media: str, content: bytes) -> FormBody | None:
    """Return the parts of a multipart form; None if they cannot be read."""
    boundary = _BOUNDARY.search(media)
    if boundary is None or not content:
        return None
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, File]] = []
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary[1].strip().encode())
    for piece in pieces[1 : MAX_FIELDS + 1]:
        head, gap, value = piece.partition(b"\r\n\r\n")
        said = head.decode("utf-8", "replace")
        name = _NAME.search(said)
        if not gap or name is None:
            continue
        if file := _FILE.search(said):
            kind = _PART_TYPE.search(head.replace(b"\r\n", b"\n"))
            media_type = kind[1].decode("latin-1").strip() if kind else ""
            files.append((name[1], File(file[1], _unharmed(value), media_type)))
        else:
            fields.append((name[1], value.decode("utf-8", "replace")))
    return FormBody(fields, files, True) if fields or files else None


def _unharmed(content: bytes) -> bytes | None:
    """Return a file's content; None if the recording replaced non-text bytes, or left it out."""
    return None if not content or "\ufffd".encode() in content else content
