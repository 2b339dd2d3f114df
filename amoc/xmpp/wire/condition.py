"""Pure. Error conditions defined by RFC 6120."""

from __future__ import annotations

from typing import Final

from amoc.base.errors import PeerError

UNDEFINED: Final = "undefined-condition"
"""Condition of an error that has none, or one that no RFC defines."""

STANZA_CONDITIONS: Final = frozenset(
    (
        "bad-request",
        "conflict",
        "feature-not-implemented",
        "forbidden",
        "gone",
        "internal-server-error",
        "item-not-found",
        "jid-malformed",
        "not-acceptable",
        "not-allowed",
        "not-authorized",
        "policy-violation",
        "recipient-unavailable",
        "redirect",
        "registration-required",
        "remote-server-not-found",
        "remote-server-timeout",
        "resource-constraint",
        "service-unavailable",
        "subscription-required",
        "unexpected-request",
        UNDEFINED,
    )
)
"""Conditions of error answers (section 8.3.3)."""

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
