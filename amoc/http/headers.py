"""Pure. Headers of responses, parsed on demand, and of requests, validated.

A load generator reads few headers of few responses, so the head stays in bytes until one is needed.
llhttp has validated it by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from amoc.base.errors import ScenarioError
from amoc.base.text import cut

SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers whose values are never shown."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00\r\n\u0100-\U0010ffff]*")
_BREAK: Final = re.compile(r"[\x00\r\n]")
_END: Final = re.compile(rb"\r?\n\r?\n")
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")


class Headers(Mapping[str, str]):
    """A response's headers, by case-insensitive name; repeated ones are joined by ``, ``."""

    __slots__ = ("_lines", "_values")

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines = list(lines)
        self._values: dict[str, str] = {}
        for name, value in self._lines:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def all(self, name: str) -> list[str]:
        """Return the values of all headers of this name, in order."""
        return [value for one, value in self._lines if one.lower() == name.lower()]

    def __repr__(self) -> str:
        return f"Headers({self._values})"


def span_of(data: bytes, interim: int) -> tuple[slice, int]:
    """Return where the last head at the start of `data` is, and where the body after it begins.

    Args:
        data: Heads of `interim` responses with status 1xx, a final head, and perhaps a body.
        interim: Number of interim heads.
    """
    start = 0
    for _ in range(interim):
        found = _END.search(data, start)
        assert found is not None
        start = found.end()
    found = _END.search(data, start)
    begin, end = found.span() if found else (len(data), len(data))
    return slice(start, begin), end


def parse(head: bytes) -> Headers:
    """Return the headers of a head, which is a status line and one line per header."""
    lines = _FOLD.sub(b" ", head).decode("latin-1").split("\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return Headers((name.strip(), value.strip()) for name, _, value in pairs if name.strip())


def reason(head: bytes) -> str:
    """Return the reason phrase of the status line; often empty."""
    parts = head.partition(b"\n")[0].decode("latin-1").strip().split(" ", 2)
    return parts[2] if len(parts) > 2 else ""


def value_of(head: bytes, name: bytes) -> str:
    """Return the value of one header, given its name in lower case; empty if there is none."""
    return parse(head).get(name.decode(), "")


def line(name: str, value: object) -> str:
    """Return one header line of a request.

    Raises:
        ScenarioError: Name or value contains characters that are not allowed.
    """
    return _line(name, str(value))


@lru_cache(maxsize=256)
def _line(name: str, text: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ScenarioError(f"a header's name must be a token of HTTP, got {cut(name)}")
    if not _VALUE.fullmatch(text):
        got = "" if name.lower() in SECRET else f", got {cut(text)}"
        wanted = "in one line" if _BREAK.search(text) else "in Latin-1"
        raise ScenarioError(f"header {name} must have a value {wanted}{got}")
    return f"{name}: {text.strip()}\r\n"


def block(headers: Mapping[str, object]) -> str:
    """Return the header lines of a request. Headers whose value is None are left out.

    Raises:
        ScenarioError: As for `line`.
    """
    return "".join([line(name, value) for name, value in headers.items() if value is not None])
