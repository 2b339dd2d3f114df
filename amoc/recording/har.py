"""Pure. Reads HAR files (HTTP Archive 1.2) as written by browsers, proxies and test tools.

Their contents are not trusted: the type of every value is checked, and each error is one line that
names the entry, the field, the rule and the value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import TypeVar

from amoc.base.errors import UsageError
from amoc.base.text import cut
from amoc.recording import request_bodies
from amoc.recording.exchange import Answer, Body, Exchange, Recording

MAX_BYTES = 512 << 20
MAX_ENTRIES = 50_000
MAX_TEXT = 4 << 20
"""Characters of an answer that are searched for values."""
_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,30}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_TEXTUAL = re.compile(r"text/|.*[/+](json|xml|javascript|x-www-form-urlencoded)")
_COMPRESSED = {b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "compressed with gzip"}
T = TypeVar("T")


def parse(content: bytes, name: str) -> Recording:
    """Parse the HAR file `name`.

    Raises:
        UsageError: It is not a HAR file, or something in it is invalid.
    """
    for magic, kind in _COMPRESSED.items():
        if content.startswith(magic):
            raise UsageError(f"{name} must be a HAR file, but is {kind}; unpack it first")
    try:
        document = json.loads(content)
    except RecursionError:
        raise UsageError(f"{name} must be a HAR file, but nests too deeply") from None
    except ValueError as error:
        raise UsageError(f"{name} must be a HAR file, but is not valid JSON: {error}") from None
    log = _field(document, "log", dict, f"{name}: the document")
    entries = _field(log, "entries", list, f"{name}: log")
    if len(entries) > MAX_ENTRIES:
        raise UsageError(
            f"{name} must have at most {MAX_ENTRIES:,} entries, but has {len(entries):,}"
        )
    exchanges = [
        _exchange(one, number, f"{name}: entry {number}") for number, one in enumerate(entries, 1)
    ]
    exchanges.sort(key=lambda one: one.started_s)
    return Recording(exchanges, _titles(log, name))


def _titles(log: Mapping[str, object], name: str) -> dict[str, str]:
    titles = {}
    for number, page in enumerate(_optional(log, "pages", list, f"{name}: log") or [], 1):
        where = f"{name}: page {number}"
        page_id = _field(page, "id", str, where)
        titles[page_id] = _optional(page, "title", str, where) or ""
    return titles


def _exchange(entry: object, number: int, where: str) -> Exchange:
    request = _field(entry, "request", dict, where)
    method = _field(request, "method", str, f"{where}: request")
    if not _METHOD.fullmatch(method):
        raise UsageError(f"{where}: request.method must be an HTTP method, got {cut(method)}")
    url = _field(request, "url", str, f"{where}: request")
    headers = _headers(request, f"{where}: request")
    began = _moment(_optional(entry, "startedDateTime", str, where), where)
    took = _number(entry, "time", where)
    answer = _answer(_optional(entry, "response", dict, where) or {}, f"{where}: response")
    resource = _any(entry, "_resourceType", where)
    return Exchange(
        number,
        _optional(entry, "pageref", str, where) or "",
        began,
        began + min(max(took, 0.0), 1e9) / 1000,
        method.upper(),
        url,
        headers,
        _body(request, f"{where}: request"),
        answer,
        resource == "document" if isinstance(resource, str) else _navigates(headers, answer),
    )


def _navigates(headers: list[tuple[str, str]], answer: Answer) -> bool:
    """Return whether a request opened a page; for recording tools that do not record this."""
    said = dict(headers)
    if "sec-fetch-mode" in said:
        is_frame = said.get("sec-fetch-dest", "document") != "document"
        return said["sec-fetch-mode"] == "navigate" and not is_frame
    return "text/html" in said.get("accept", "") and answer.type in ("text/html", "")


def _answer(response: Mapping[str, object], where: str) -> Answer:
    status = _number(response, "status", where)
    headers = _headers(response, where)
    content = _optional(response, "content", dict, where) or {}
    kind = (_optional(content, "mimeType", str, f"{where}.content") or "").partition(";")[0]
    kind = kind.strip().lower()
    text = ""
    size = _number(content, "size", f"{where}.content")
    is_cut = size > 0 and content.get("text") is None
    if not kind or _TEXTUAL.match(kind):
        found = _optional(content, "text", str, f"{where}.content") or ""
        if _optional(content, "encoding", str, f"{where}.content") == "base64":
            found = _decoded(found, f"{where}.content.text").decode("utf-8", "replace")
        text = found[:MAX_TEXT]
    location = next((value for name, value in headers if name == "location"), "")
    location = location or _optional(response, "redirectURL", str, where) or ""
    return Answer(int(status), headers, kind, text, location, is_cut)


def _body(request: Mapping[str, object], where: str) -> Body | None:
    post = _optional(request, "postData", dict, where)
    if post is None:
        return None
    where = f"{where}.postData"
    kind = _optional(post, "mimeType", str, where) or ""
    text = _optional(post, "text", str, where) or ""
    if _optional(post, "encoding", str, where) == "base64":
        content = _decoded(text, f"{where}.text")
    else:
        content = text.encode("utf-8", "surrogatepass")
    params = [
        request_bodies.Param(
            _field(one, "name", str, f"{where}.params"),
            _optional(one, "value", str, f"{where}.params") or "",
            _optional(one, "fileName", str, f"{where}.params"),
            _optional(one, "contentType", str, f"{where}.params") or "",
        )
        for one in _optional(post, "params", list, where) or []
    ]
    return request_bodies.parse(kind, content, params)


def _headers(message: Mapping[str, object], where: str) -> list[tuple[str, str]]:
    """Return headers with names in lower case, without invalid ones such as ``:authority``."""
    found = []
    for one in _optional(message, "headers", list, where) or []:
        name = _field(one, "name", str, f"{where}.headers").lower()
        value = _optional(one, "value", str, f"{where}.headers") or ""
        if _HEADER.fullmatch(name):
            # Browsers join several headers of one name with a line feed.
            found += [(name, each) for each in value.split("\n") if _is_sendable(each)]
    return found


def _is_sendable(value: str) -> bool:
    return all((" " <= one <= "\xff" and one != "\x7f") or one == "\t" for one in value)


def _moment(text: str | None, where: str) -> float:
    if text is None:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{where}: startedDateTime must be an ISO 8601 time, got {cut(text)}"
        ) from None


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{where} must be base64, as its encoding says") from None


def _field(holder: object, name: str, kind: type[T], where: str) -> T:
    found = _optional(holder, name, kind, where)
    if found is None:
        raise UsageError(f"{where} has no {name}")
    return found


def _optional(holder: object, name: str, kind: type[T], where: str) -> T | None:
    """Return a field of the right type; None if it is missing or null."""
    found = _any(holder, name, where)
    if found is None or isinstance(found, kind):
        return found
    raise UsageError(f"{where}: {name} must be {_CALLED[kind]}, got {cut(found)}")


def _number(holder: object, name: str, where: str) -> float:
    """Return a field that is a number, not infinite; 0 if it is missing or null."""
    found = _any(holder, name, where)
    if found is None:
        return 0
    if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < inf:
        return found
    raise UsageError(f"{where}: {name} must be a number, got {cut(found)}")


def _any(holder: object, name: str, where: str) -> object:
    if not isinstance(holder, dict):
        raise UsageError(f"{where} must be an object, got {cut(holder)}")
    return holder.get(name)


_CALLED: Mapping[type, str] = {dict: "an object", list: "a list", str: "text"}
