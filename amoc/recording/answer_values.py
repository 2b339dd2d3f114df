"""Pure. Values in recorded answers that later requests send back."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import NamedTuple

from amoc.recording.exchange import Answer
from amoc.recording.request_bodies import MAX_DEPTH

MAX_VALUES = 20_000
"""Per answer."""
MAX_LENGTH = 8_192
"""Per value, in characters."""
MAX_HTML = 1 << 20
_UNSTABLE = frozenset(
    {"age", "connection", "content-length", "content-type", "date", "server", "set-cookie", "vary"}
)


class InJson(NamedTuple):
    """A value in a JSON answer."""

    path: tuple[str | int, ...]
    is_text: bool

    @property
    def key(self) -> str:
        """The innermost key of an object in the path; empty if there is none."""
        return next((one for one in reversed(self.path) if isinstance(one, str)), "")


class InHtml(NamedTuple):
    """A hidden field of a form, or a ``<meta>`` element of a page."""

    name: str
    left: str
    right: str
    """The text before and after the value."""


class InHeader(NamedTuple):
    """A header of the answer, or the last segment of the URL in it."""

    name: str
    is_last_segment: bool = False


class InCookie(NamedTuple):
    """A cookie set by the answer; `is_quoted`: its value has codes such as ``%3D``."""

    name: str
    is_quoted: bool = False


Place = InJson | InHtml | InHeader | InCookie


def values(answer: Answer) -> Iterator[tuple[str, Place]]:
    """Yield each value of an answer, as text, and its place; no value twice."""
    seen: set[str] = set()
    for value, place in _all(answer):
        if value and len(value) <= MAX_LENGTH and value not in seen:
            seen.add(value)
            yield value, place
            if len(seen) >= MAX_VALUES:
                return


def _all(answer: Answer) -> Iterator[tuple[str, Place]]:
    for name, value in answer.headers:
        if name == "set-cookie":
            cookie, equals, content = value.partition(";")[0].partition("=")
            if equals:
                yield content.strip(), InCookie(cookie.strip())
        elif name not in _UNSTABLE:
            yield value, InHeader(name)
            if name == "location":
                yield value.rstrip("/").rpartition("/")[2], InHeader(name, True)
    if answer.type.endswith(("/json", "+json")):
        try:
            yield from in_json(json.loads(answer.text))
        except (ValueError, RecursionError):
            return
    elif answer.type in ("text/html", "application/xhtml+xml"):
        yield from _of_html(answer.text[:MAX_HTML])


def in_json(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, InJson]]:
    """Yield the texts and whole numbers in a JSON value, as text, and their places."""
    if isinstance(value, dict) and len(path) < MAX_DEPTH:
        for key, one in value.items():
            yield from in_json(one, (*path, key))
    elif isinstance(value, list) and len(path) < MAX_DEPTH:
        for index, one in enumerate(value):
            yield from in_json(one, (*path, index))
    elif isinstance(value, str):
        yield value, InJson(path, True)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value), InJson(path, False)


class _Hidden(HTMLParser):
    """Finds hidden fields, and ``<meta name=… content=…>``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, InHtml]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "input" and said.get("type", "").lower() == "hidden":
            name, value = said.get("name", ""), said.get("value", "")
        elif tag == "meta" and "content" in said:
            name, value = said.get("name", ""), said["content"]
        else:
            return
        text = self.get_starttag_text() or ""
        for written in (value, html.escape(value), html.escape(value, quote=False)):
            for quote in "\"'":
                left, found, _ = text.partition(f"={quote}{written}{quote}")
                if name and written and found and "\n" not in left:
                    self.found.append((value, InHtml(name, f"{left}={quote}", quote)))
                    return


def _of_html(text: str) -> Iterator[tuple[str, Place]]:
    reader = _Hidden()
    reader.feed(text)
    for value, place in reader.found:
        # The same text may occur earlier in the page, with another value.
        if between(text, place.left, place.right) == value:
            yield value, place


def between(text: str, left: str, right: str) -> str | None:
    """Return the text between the first `left` and the next `right`; None if they are missing."""
    _, found, rest = text.partition(left)
    value, ended, _ = rest.partition(right)
    return html.unescape(value) if found and ended else None
