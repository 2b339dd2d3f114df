"""Pure. Error conditions defined by RFC 6120."""

from __future__ import annotations

from typing import Final

from amoc.base.errors import PeerError

UNDEFINED: Final = "undefined-condition"
"""Condition of an error that has none, or one that no RFC defines."""

ERROR_TYPES: Final = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "unexpected-request": "wait",
    UNDEFINED: "cancel",
}
"""Conditions of error answers, and the type of error for each (section 8.3.3)."""
STANZA_CONDITIONS: Final = frozenset(ERROR_TYPES)

STREAM_CONDITIONS: Final = frozenset(
    (
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        UNDEFINED,
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    )
)
"""Conditions of stream errors (section 4.9.3)."""

SASL_CONDITIONS: Final = frozenset(
    (
        "aborted",
        "account-disabled",
        "bad-challenge",  # this and the next are reported by amoc's client about the server
        "bad-server-signature",
        "credentials-expired",
        "encryption-required",
        "incorrect-encoding",
        "invalid-authzid",
        "invalid-mechanism",
        "malformed-request",
        "mechanism-too-weak",
        "not-authorized",
        "temporary-auth-failure",
    )
)
"""Conditions of login failures (section 6.5)."""


class Condition(PeerError):
    """An error by a peer that has a defined condition.

    Attributes:
        condition: Its name, such as ``not-authorized``.
        text: An explanation, which never contains a password; empty if none is needed.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition} ({text})" if text else condition)
        self.condition = condition
        self.text = text
