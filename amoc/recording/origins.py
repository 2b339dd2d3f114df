"""Pure. Where a value that a request sends comes from: an earlier answer, surely or perhaps."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from amoc.recording import answer_values, secret_values
from amoc.recording.answer_values import InCookie, InHeader, InHtml, InJson, Place
from amoc.recording.exchange import Answer

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MADE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^\s@:/]{12,}|[^\s@:/]{32,}")
"""What hardly anybody types: tokens and long ids."""
_ID_NAME = re.compile(
    r"(^|[_.-])(id|uuid|guid|key|slug|number|nr|code|ref)$|[a-z](Id|ID|Uuid|Key)$"
)
_FORM_KEY = re.compile(r"csrf|xsrf|token|nonce|state|validation|ticket|signature", re.IGNORECASE)
MIN_SECRET = 6
MIN_ID = 4


class Certainty(Enum):
    """Whether a value is the answer's."""

    SURE = 1
    LIKELY = 2


class Use(NamedTuple):
    """Where a request has a value.

    Attributes:
        kind: ``path``, ``query``, ``form``, ``json`` or ``header``.
        name: What it is called there; empty in a path.
        before: Of a value in a path, what stands before it.
    """

    kind: str
    name: str = ""
    before: str = ""


class Handed(NamedTuple):
    """An answer handed a value out.

    Attributes:
        by: Which request's answer it was.
        name: What that is called.
        place: Where it stands there.
        created: The path to which that was posted; empty if nothing was.
    """

    by: int
    name: str
    place: Place
    created: str


class Origins:
    """What was handed out so far, and what was sent before."""

    def __init__(self) -> None:
        self._handed: dict[str, Handed] = {}
        self._sent: set[str] = set()

    def sent(self, value: str) -> None:
        """A request has sent `value`: an answer that repeats it is not where it comes from."""
        self._sent.add(value)

    def answered(self, by: int, name: str, method: str, path: str, answer: Answer) -> None:
        """Take what the answer to request `by` hands out."""
        created = path if method in ("POST", "PUT") else ""
        for value, place in answer_values.values(answer):
            self._add(value, Handed(by, name, place, created))
            if isinstance(place, InCookie) and "%" in value:
                self._add(unquote(value), Handed(by, name, place._replace(is_quoted=True), created))

    def _add(self, value: str, handed: Handed) -> None:
        if value not in self._sent:
            self._handed.setdefault(value, handed)

    def find(self, value: str, use: Use) -> tuple[Handed, Certainty] | None:
        """Which answer a value comes from, if one is at least likely."""
        handed = self._handed.get(value)
        if handed is None or not value:
            return None
        certainty = _certainty(value, handed, use)
        return (handed, certainty) if certainty else None


def _certainty(value: str, handed: Handed, use: Use) -> Certainty | None:
    place = handed.place
    if _UUID.fullmatch(value) or (_MADE.fullmatch(value) and not value.isdigit()):
        return Certainty.SURE
    name = place.path[-1] if isinstance(place, InJson) and place.path else ""
    if isinstance(place, InHtml):
        is_key = bool(_FORM_KEY.search(place.name) or _ID_NAME.search(place.name))
        return Certainty.SURE if use.name == place.name and is_key else None
    if isinstance(place, InHeader):
        is_new = use.before.rstrip("/") == handed.created.rstrip("/") != ""
        return Certainty.SURE if place.is_last_segment and is_new else None
    if not isinstance(place, InJson) or not isinstance(name, str):
        return None
    if use.name == name and secret_values.is_secret(name, "") and len(value) >= MIN_SECRET:
        return Certainty.SURE
    if not _ID_NAME.search(name):
        return None
    in_list = any(isinstance(one, int) for one in place.path)
    is_same = use.name == name and len(value) >= MIN_ID
    is_new = handed.created != "" and use.before.rstrip("/") == handed.created.rstrip("/")
    if (is_same or is_new) and not in_list:
        return Certainty.SURE
    return Certainty.LIKELY if use.kind == "path" or _ID_NAME.search(use.name) else None
