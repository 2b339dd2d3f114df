"""Pure. Moments (XEP-0082), and the stamp of a message that is delivered later (XEP-0203).

A moment is microseconds since 1970, which also serves as the id of what was archived then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def spelt(moment_us: int) -> str:
    """A moment as XMPP spells it, in UTC."""
    at = _EPOCH + timedelta(microseconds=moment_us)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06}Z"


def read(text: str) -> int:
    """The moment that `text` spells.

    Raises:
        ValueError: It is none, or has no time zone.
    """
    at = datetime.fromisoformat(text.strip())
    if at.tzinfo is None:
        raise ValueError(f"must have a time zone, got {text!r}")
    return (at - _EPOCH) // timedelta(microseconds=1)


def delay(moment_us: int, from_: str) -> bytes:
    """The mark of a message that was sent at `moment_us`, and kept by `from_` since then."""
    return (
        f"<delay xmlns='{ns.DELAY}' from='{escape(from_)}' stamp='{spelt(moment_us)}'/>"
    ).encode()
