"""Pure. Stream management (XEP-0198): counters, and stanzas kept until they are acknowledged.

Each end counts the stanzas that it has handled, modulo 2**32, and reports the count (``h``) on
request. Sent stanzas are kept until the other end has reported them as handled. When the connection
is lost, the stream can be resumed on another one: both ends report their ``h``, and each resends
the stanzas that the other has not handled. So each stanza arrives once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.namespaces import IQ, MESSAGE, PRESENCE
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import CutParser, Parsers
from amoc.xmpp.wire.xml_text import attributes

MODULUS: Final = 1 << 32
STANZAS: Final = frozenset((MESSAGE, PRESENCE, IQ))
MAX_DEPTH: Final = 100

ENABLE: Final = f"{{{ns.SM}}}enable"
ENABLED: Final = f"{{{ns.SM}}}enabled"
RESUME: Final = f"{{{ns.SM}}}resume"
RESUMED: Final = f"{{{ns.SM}}}resumed"
FAILED: Final = f"{{{ns.SM}}}failed"
ACK: Final = f"{{{ns.SM}}}a"
REQUEST: Final = f"{{{ns.SM}}}r"
FEATURE: Final = f"{{{ns.SM}}}sm"

REQUEST_BYTES: Final = f"<r xmlns='{ns.SM}'/>".encode()

_BEGIN: Final = re.compile(rb"<(?:message|presence|iq)[\s/>]")
_PARSERS: Final = Parsers(CutParser, MAX_DEPTH)


class Unacknowledged:
    """Stanzas that one end has sent and the other may not have handled, in order.

    Attributes:
        acknowledged: The last `h` from the other end.
        stanzas: The stanzas sent after that.
        size: Their total size, in bytes.
        asked: How many of them had been sent at the last request for an acknowledgement.
    """

    __slots__ = ("acknowledged", "asked", "size", "stanzas")

    def __init__(self) -> None:
        self.acknowledged = 0
        self.stanzas: deque[bytes] = deque()
        self.size = 0
        self.asked = 0

    def __len__(self) -> int:
        return len(self.stanzas)

    def add(self, stanza: bytes) -> None:
        """Add a sent stanza."""
        self.stanzas.append(stanza)
        self.size += len(stanza)

    @property
    def unasked(self) -> int:
        """Number of stanzas sent since the last request for an acknowledgement."""
        return len(self.stanzas) - self.asked

    def ask(self) -> None:
        """Note a request for an acknowledgement."""
        self.asked = len(self.stanzas)

    def drop(self) -> None:
        """Drop all kept stanzas."""
        self.stanzas.clear()
        self.size = self.asked = 0

    def acknowledge(self, h: int) -> int:
        """Process an `h` from the other end; return how many stanzas it newly acknowledges.

        Raises:
            Violation: It exceeds the number sent, or is lower than before.
        """
        new = (h - self.acknowledged) % MODULUS
        if new > len(self.stanzas):
            sent = (self.acknowledged + len(self.stanzas)) % MODULUS
            raise Violation(
                "undefined-condition",
                f"h must be from {self.acknowledged} to {sent}, the number sent, got {h}",
            )
        for _ in range(new):
            self.size -= len(self.stanzas.popleft())
        self.acknowledged = h
        self.asked = max(0, self.asked - new)
        return new


class Management:
    """One end's state of a managed stream; it outlives the connection.

    Attributes:
        sent: Stanzas that the other end may not have handled.
        handled: Number of handled stanzas from the other end, modulo 2**32.
        id: Id under which the stream can be resumed; empty if it cannot.
        location: Where the other end prefers it to be resumed; empty for anywhere.
    """

    __slots__ = ("handled", "id", "location", "sent")

    def __init__(self) -> None:
        self.sent = Unacknowledged()
        self.handled = 0
        self.id = ""
        self.location = ""

    def handle(self) -> None:
        """Count a handled stanza from the other end."""
        self.handled = (self.handled + 1) % MODULUS

    def ack(self) -> bytes:
        """Return an acknowledgement of all handled stanzas."""
        return f"<a xmlns='{ns.SM}' h='{self.handled}'/>".encode()

    def resume(self) -> bytes:
        """Return a request to resume the stream."""
        return (
            f"<resume xmlns='{ns.SM}'{attributes(h=str(self.handled), previd=self.id)}/>".encode()
        )


def enable(resumable: bool) -> bytes:
    """Return a request for stream management."""
    return f"<enable xmlns='{ns.SM}'{attributes(resume='true' if resumable else None)}/>".encode()


def h_of(text: str | None) -> int:
    """Return the value of an attribute `h`.

    Raises:
        Violation: It is missing, or not a number below 2**32.
    """
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 10:
        raise Violation("invalid-xml", f"h must be a number below 2**32, got {text!r:.40}")
    if int(text) >= MODULUS:
        raise Violation("invalid-xml", f"h must be a number below 2**32, got {text}")
    return int(text)


def stanzas_in(data: bytes) -> Sequence[bytes]:
    """Return the stanzas in sent data: the other end counts each of them, and nothing else."""
    found = _BEGIN.match(data)
    if found is not None and _BEGIN.search(data, found.end()) is None:
        return (data,)
    # Raw XML with several elements, a stanza nested in another, or something else: parse it.
    parser = _PARSERS.inside(None)
    cut: list[tuple[int, tuple[str, dict[str, str], bytes]]] = []
    try:
        parser.feed(data, cut, len(data) + 1)
    except Violation:
        return ()  # malformed on purpose; the other end will not count it either
    finally:
        parser.discard()
    return [raw for _, (tag, _, raw) in cut if tag in STANZAS]
