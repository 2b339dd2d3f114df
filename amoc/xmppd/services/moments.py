"""Pure. Points in time (XEP-0082), and the stamp of a delayed message (XEP-0203).

A moment is a number of microseconds since 1970. It also serves as the id of an archived message.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def formatted(moment_us: int) -> str:
    """Return a moment in XMPP's format, in UTC."""
    at = _EPOCH + timedelta(microseconds=moment_us)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06}Z"


def read(text: str) -> int:
    """Parse a moment.

    Raises:
        ValueError: It is malformed, or has no time zone.
    """
    at = datetime.fromisoformat(text.strip())
    if at.tzinfo is None:
        raise ValueError(f"must have a time zone, got {text!r}")
    return (at - _EPOCH) // timedelta(microseconds=1)


def delay(moment_us: int, from_: str) -> bytes:
    """Return the mark of a message sent at `moment_us` and stored by `from_` since then."""
    return (
        f"<delay xmlns='{ns.DELAY}' from='{escape(from_)}' stamp='{formatted(moment_us)}'/>"
    ).encode()
