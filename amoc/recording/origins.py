"""Pure. Whether a value in a request comes from an earlier answer, certainly or probably."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from amoc.recording import answer_values, secret_values
from amoc.recording.answer_values import InCookie, InHeader, InHtml, InJson, Place
from amoc.recording.exchange import Answer
from amoc.recording.request_names import UUID

_MADE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^\s@:/]{12,}|[^\s@:/]{32,}")
"""Values hardly anyone types: tokens and long ids."""
_ID_NAME = re.compile(
    r"(^|[_.-])(id|uuid|guid|key|slug|number|nr|code|ref)$|[a-z](Id|ID|Uuid|Key)$"
)
_FORM_KEY = re.compile(r"csrf|xsrf|token|nonce|state|validation|ticket|signature", re.IGNORECASE)
MIN_SECRET = 6
MIN_ID = 4


class Certainty(Enum):
    """How certain it is that a value comes from an answer."""

    SURE = 1
    LIKELY = 2


class Use(NamedTuple):
    """The place of a value in a request.

    Attributes:
        kind: ``path``, ``query``, ``form``, ``json`` or ``header``.
        name: Its name there; empty in a path.
        before: For a value in a path, the path before it.
    """

    kind: str
    name: str = ""
    before: str = ""


class Handed(NamedTuple):
    """The place of a value in an answer.

    Attributes:
        by: The number of the request.
        name: The request's name.
        place: The place in its answer.
        created: The path of the request if it was a POST or PUT; otherwise empty.
    """

    by: int
    name: str
    place: Place
    created: str


class Origins:
    """Values seen in answers, and values sent before."""

    def __init__(self) -> None:
        self._handed: dict[str, Handed] = {}
        self._sent: set[str] = set()

    def sent(self, value: str) -> None:
        """Note that a request has sent `value`: answers that repeat it are not its origin."""
        self._sent.add(value)

    def answered(self, by: int, name: str, method: str, path: str, answer: Answer) -> None:
        """Take the values in the answer to request `by`."""
        created = path if method in ("POST", "PUT") else ""
        for value, place in answer_values.values(answer):
            self._add(value, Handed(by, name, place, created))
            if isinstance(place, InCookie) and "%" in value:
                self._add(unquote(value), Handed(by, name, place._replace(is_quoted=True), created))

    def _add(self, value: str, handed: Handed) -> None:
        if value not in self._sent:
            self._handed.setdefault(value, handed)

    def find(self, value: str, use: Use) -> tuple[Handed, Certainty] | None:
        """Return the answer that a value comes from, if that is at least likely."""
        handed = self._handed.get(value)
        if handed is None or not value:
            return None
        certainty = _certainty(value, handed, use)
        return (handed, certainty) if certainty else None


def _certainty(value: str, handed: Handed, use: Use) -> Certainty | None:
    place = handed.place
    if UUID.fullmatch(value) or (_MADE.fullmatch(value) and not value.isdigit()):
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
