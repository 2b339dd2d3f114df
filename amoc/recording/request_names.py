"""Pure. What recorded requests are called: their paths, with ``[id]`` for what varies."""

from __future__ import annotations

import re

ID = "[id]"
MAX_NAME = 100
_IDS = (
    re.compile(r"\d+"),
    re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    re.compile(r"(?=.*\d)[0-9a-fA-F]{8,}"),
    re.compile(r"[0-9A-HJKMNP-TV-Z]{26}"),  # a ULID
    re.compile(r"(?=.*\d)(?=.*[a-zA-Z])[\w~-]{16,}"),
    re.compile(r"eyJ[\w.-]{20,}"),
)
_MIXED_WORD = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")
"""What editors make of a title, ``a-2nd-look-at-cats``, says which page it is."""


def is_id(segment: str) -> bool:
    """Whether a segment of a path looks like the id of something."""
    if _MIXED_WORD.fullmatch(segment) and not _IDS[1].fullmatch(segment):
        return False
    return any(one.fullmatch(segment) for one in _IDS)


def template(path: str) -> str:
    """`path` with `ID` in place of each id; what ends in one beside a dot keeps its ending."""
    return "/".join(_segment(one) for one in path.split("/"))


def _segment(segment: str) -> str:
    stem, dot, ending = segment.rpartition(".")
    if dot and is_id(stem):
        return f"{ID}.{ending}"
    return ID if is_id(segment) else segment


def name(method: str, path: str) -> str:
    """What a request is called in the results."""
    one = f"{method} {template(path)}"
    return one if len(one) <= MAX_NAME else one[: MAX_NAME - 1] + "…"
