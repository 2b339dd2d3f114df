"""Waiters of a session; served by `amoc.xmpp.session`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from amoc.base.waiting import Waiter
from amoc.xmpp.errors import BadStreamError
from amoc.xmpp.match import Predicate
from amoc.xmpp.stanza import Stanza

MAX_RESULTS: Final = 10_000
"""Maximum results of one query: more than any server puts on a page."""
MAX_RESULTS_BYTES: Final = 32 << 20
"""Maximum size of the results of one query, in bytes."""


class Receiver(Waiter[Stanza]):
    """A greenlet that waits for a stanza of its choice; a session reuses one.

    Attributes:
        match: Accepts stanzas; None accepts any.
        requests: Whether it accepts requests from the peer, which it then has to answer. A receiver
            without a predicate does not.
    """

    __slots__ = ("match", "requests")

    match: Predicate | None
    requests: bool

    def __init__(self) -> None:
        self.error = None  # as an attribute of its own it is read faster


class ConditionWaiter(Waiter[bool]):
    """A greenlet that waits for a condition, which any stanza may make true."""

    __slots__ = ("condition",)

    def __init__(self, condition: Callable[[], object]) -> None:
        self.condition = condition


class Request(Waiter[Stanza]):
    """A greenlet that waits for the answer to its iq to `to` (empty: the user's own account)."""

    __slots__ = ("to",)

    def __init__(self, to: str) -> None:
        self.to = to


@dataclass(slots=True, eq=False)
class Results:
    """Results of one query, which arrive as messages before its answer (XEP-0313).

    Attributes:
        asked: JID that the query was sent to; empty for the user's own account.
        size: Their total size, in bytes; see `Stanza.size`.
        stanzas: The results.
        tag: Tag of a result.
    """

    asked: str
    tag: str
    size: int = 0
    stanzas: list[Stanza] = field(default_factory=list)

    def add(self, stanza: Stanza, who: str) -> None:
        """Add a result; `who` is for error messages.

        Raises:
            BadStreamError: There are too many results, or they are too large.
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
