"""Pure. The contents of a recording: requests with their answers, and their pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class File(NamedTuple):
    """A file uploaded by a form."""

    name: str
    content: bytes | None
    """None if it is not in the recording."""
    type: str


class JsonBody(NamedTuple):
    """A JSON body."""

    value: object


class FormBody(NamedTuple):
    """The fields of a form, and its files if it is a multipart one."""

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
    """The answer of the server.

    Attributes:
        status: 0 or negative if there was no answer.
        headers: Names are in lower case.
        type: The media type, without parameters.
        text: The body; empty if it is not text.
        location: The target of a redirect.
        is_cut: Whether the body is missing from the recording.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    type: str = ""
    text: str = ""
    location: str = ""
    is_cut: bool = False


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        number: Its position in the recording, from 1.
        page: The recording's id of its page; empty if it has none.
        started_s, ended_s: Times in seconds, relative to the same moment for all.
        url: The complete URL.
        headers: Names are in lower case; without HTTP/2 pseudo-headers.
        is_navigation: Whether the browser opened a page with it.
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
        """Return the first header called `name`; empty if there is none."""
        return next((value for known, value in self.headers if known == name), "")


class Recording(NamedTuple):
    """All exchanges, in the order in which they started, and the titles of pages by id."""

    exchanges: list[Exchange]
    titles: dict[str, str]
