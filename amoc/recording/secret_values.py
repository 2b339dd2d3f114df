"""Pure. Which recorded values are credentials, so that they are not written down."""

from __future__ import annotations

import re

from amoc.base import redaction

_NAME = re.compile(
    r"pass(wd|word|phrase|code)?$|pwd|^otp$|^pin$|cvv|cvc|card_?-?(number|no)$|iban|ssn|api_?-?key"
    r"|^auth|credential|signature|^sig$|session_?-?id|^sid$|jwt|assertion|code_?verifier|captcha"
    r"|totp|recovery_?code|access_?key",
    re.IGNORECASE,
)
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*")
_OPAQUE = re.compile(r"(?=.*\d)(?=.*[a-zA-Z])[\w.~+/=-]{20,}")


def is_secret(name: str, value: str) -> bool:
    """Whether a value of that name must not be written down."""
    return bool(redaction.is_secret(name) or _NAME.search(name) or _JWT.search(value))


def is_opaque(value: str) -> bool:
    """Whether a value looks as if a machine had made it, as tokens are."""
    return bool(_OPAQUE.fullmatch(value))
