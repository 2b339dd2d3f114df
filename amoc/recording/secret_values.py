"""Pure. Finds credentials among recorded values, so that they are not stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from amoc.base import redaction
from amoc.recording.answer_values import in_json
from amoc.recording.exchange import Exchange, FormBody, JsonBody

MIN_SENT = 6
"""Minimum length of a credential that is looked for elsewhere; shorter texts may coincide."""

_NAME = re.compile(
    r"pass(wd|word|phrase|code)?$|pwd|^otp$|^pin$|cvv|cvc|card_?-?(number|no)$|iban|ssn|api_?-?key"
    r"|^auth|credential|signature|^sig$|session_?-?id|^sid$|jwt|assertion|code_?verifier|captcha"
    r"|^code$|totp|recovery_?code|access_?key",
    re.IGNORECASE,
)
_SEGMENT = re.compile(r"reset|invit|magic|verif|confirm|activat|unsubscribe", re.IGNORECASE)
"""Path segments before a value that was sent by mail."""
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*")
_OPAQUE = re.compile(r"(?=.*\d)(?=.*[a-zA-Z])[\w.~+/=-]{20,}")


def is_secret(name: str, value: str) -> bool:
    """Return whether a value of that name must not be stored."""
    return bool(redaction.is_secret(name) or _NAME.search(name) or _JWT.search(value))


def is_secret_segment(before: str, segment: str) -> bool:
    """Return whether a path segment is a credential, such as one after ``/reset-token/``."""
    name = before.rstrip("/").rpartition("/")[2]
    is_made = len(segment) >= 8 and any(map(str.isdigit, segment))
    return bool(is_made and (redaction.is_secret(name) or _SEGMENT.search(name)))


def is_opaque(value: str) -> bool:
    """Return whether a value looks generated, like a token."""
    return bool(_OPAQUE.fullmatch(value))


def sent(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Yield the values of a request whose names mark them as secret, with these names."""
    named: list[tuple[str, str]] = list(exchange.headers)
    named += parse_qsl(exchange.url.partition("?")[2].partition("#")[0])
    if isinstance(exchange.body, FormBody):
        named += exchange.body.fields
    elif isinstance(exchange.body, JsonBody):
        found = in_json(exchange.body.value)
        named += [(place.key, value) for value, place in found if place.is_text]
    for name, value in named:
        if len(value) >= MIN_SENT and is_secret(name, value):
            yield name, value
