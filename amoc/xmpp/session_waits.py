"""What waits on a session, and what follows what comes there; served by `amoc.xmpp.session`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from amoc.base.waiting import Waiter
from amoc.xmpp.errors import BadStreamError
from amoc.xmpp.match import Predicate
from amoc.xmpp.stanza import Stanza

MAX_RESULTS: Final = 10_000
"""Of one query, at a time: more than any server puts on a page."""
MAX_RESULTS_BYTES: Final = 32 << 20
"""That these may hold."""


class Receiver(Waiter[Stanza]):
    """A greenlet that waits for a stanza of its choice; a session uses one again and again.

    Attributes:
        match: Its choice; None takes anything.
        requests: Whether it may take requests of the peer, which it has to answer then. A receiver
            that takes just anything does not mean them.
    """

    __slots__ = ("match", "requests")

    match: Predicate | None
    requests: bool


class Looker(Waiter[bool]):
    """A greenlet that waits for a condition, which may come true with any stanza."""

    __slots__ = ("condition",)

    def __init__(self, condition: Callable[[], object]) -> None:
        self.condition = condition


class Request(Waiter[Stanza]):
    """A greenlet that waits for the answer to its iq to `to` (empty: to its own account)."""

    __slots__ = ("to",)

    def __init__(self, to: str) -> None:
        self.to = to


class Watcher(Protocol):
    """Follows all that one sender sends, a room for example."""

    def on_stanza(self, stanza: Stanza) -> bool:
        """Take note of it; whether the inbox need not keep it. Must not wait, nor hold a client."""

    def on_end(self) -> None:
        """The session is over."""


class Results:
    """The results of one query, which come as messages before its answer (XEP-0313).

    Attributes:
        asked: Who was asked; empty for the user's own account.
        size: How much they hold, in bytes; see `Stanza.size`.
        stanzas: The results.
        tag: What a result is called.
    """

    __slots__ = ("asked", "size", "stanzas", "tag")

    def __init__(self, asked: str, tag: str) -> None:
        self.asked = asked
        self.tag = tag
        self.size = 0
        self.stanzas: list[Stanza] = []

    def add(self, stanza: Stanza, who: str) -> None:
        """Take one more; `who` is for the message of an error.

        Raises:
            BadStreamError: There are too many, or they hold too much.
        """
        excess = ""
        self.size += stanza.size()
        if len(self.stanzas) >= MAX_RESULTS:
            excess = f"more than {MAX_RESULTS} results of a query"
        elif self.size > MAX_RESULTS_BYTES:
            excess = f"more than {MAX_RESULTS_BYTES} bytes in the results of a query"
        if excess:
            raise BadStreamError(who, "policy-violation", excess)
        self.stanzas.append(stanza)
