"""Pure. What a recording has in it: requests with their answers, and the pages they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class File(NamedTuple):
    """A file that a form uploaded."""

    name: str
    content: bytes | None
    """None where the recording does not have it."""
    type: str


class JsonBody(NamedTuple):
    """A body that is JSON."""

    value: object


class FormBody(NamedTuple):
    """A form's fields, and files if it is a multipart one."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, File]]
    is_multipart: bool


class RawBody(NamedTuple):
    """Any other body."""

    content: bytes
    type: str


Body = JsonBody | FormBody | RawBody


@dataclass(frozen=True)
class Answer:
    """What the server said.

    Attributes:
        status: 0 or below where there was no answer.
        headers: Names in lower case.
        type: The media type, without parameters.
        text: The body; empty where it is no text.
        location: Where a redirect leads to.
        is_cut: Whether the recording lacks its body.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    type: str = ""
    text: str = ""
    location: str = ""
    is_cut: bool = False

    def header(self, name: str) -> str:
        """The first header called `name`; empty if there is none."""
        return next((value for known, value in self.headers if known == name), "")


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        number: Its place in the recording, from 1.
        page: The recording's id of its page; empty if it has none.
        started_s, ended_s: When, in seconds since some moment that all share.
        url: Whole.
        headers: Names in lower case; no pseudo headers of HTTP/2.
        is_navigation: Whether the browser opened a page by it.
    """

    number: int
    page: str
    started_s: float
    ended_s: float
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: Body | None
    answer: Answer
    is_navigation: bool = False

    def header(self, name: str) -> str:
        """The first header called `name`; empty if there is none."""
        return next((value for known, value in self.headers if known == name), "")


class Recording(NamedTuple):
    """All exchanges, in the order in which they began, and the titles of pages by their ids."""

    exchanges: list[Exchange]
    titles: dict[str, str]
