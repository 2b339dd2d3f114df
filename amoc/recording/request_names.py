"""Pure. Names of recorded requests: their paths, with ``[id]`` for variable parts."""

from __future__ import annotations

import re

ID = "[id]"
MAX_NAME = 100
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IDS = (
    re.compile(r"\d+"),
    UUID,
    re.compile(r"(?=.*\d)[0-9a-fA-F]{8,}"),
    re.compile(r"[0-9A-HJKMNP-TV-Z]{26}"),  # a ULID
    re.compile(r"(?=.*\d)(?=.*[a-zA-Z])[\w~-]{16,}"),
    re.compile(r"eyJ[\w.-]{20,}"),
)
_MIXED_WORD = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")
"""A title converted to a path, such as ``a-2nd-look-at-cats``: it names a page, so it is kept."""


def is_id(segment: str) -> bool:
    """Return whether a segment of a path looks like an id."""
    if _MIXED_WORD.fullmatch(segment) and not UUID.fullmatch(segment):
        return False
    return any(one.fullmatch(segment) for one in _IDS)


def template(path: str) -> str:
    """Return `path` with `ID` in place of each id; a file name's suffix is kept."""
    return "/".join(_segment(one) for one in path.split("/"))


def _segment(segment: str) -> str:
    stem, dot, ending = segment.rpartition(".")
    if dot and is_id(stem):
        return f"{ID}.{ending}"
    return ID if is_id(segment) else segment


def name(method: str, path: str) -> str:
    """Return the name of a request in the results."""
    one = f"{method} {template(path)}"
    return one if len(one) <= MAX_NAME else one[: MAX_NAME - 1] + "…"
