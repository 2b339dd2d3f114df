"""One request that a user makes, with the redirects that it leads to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amoc.http.urls import Address, Origin, discreet

if TYPE_CHECKING:
    from amoc.http.bodies import Body
    from amoc.http.deadlines import Deadlines
    from amoc.http.request import Auth, HeaderValues
    from amoc.steps.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Terms:
    """How one request is made and answered; a request looks at them often."""

    limit: Deadlines
    """How long it may take."""
    max_body: int
    """Bytes that the answer's body may have, chunks and all."""
    silence: Deadlines | None = None
    """How long the server may be silent; None: as long as it may take."""
    bodyless: bool = False
    """Whether the answer has no body, as that to HEAD."""
    streams: bool = False
    """Whether the answer's body is taken with `Connection.read`."""
    asks_leave: bool = False
    """Whether the server is to agree before the body is sent (Expect)."""
    whole_most: int = field(init=False)
    """Bytes that an answer may have that is plain and comes at once; -1 where none is so."""

    def __post_init__(self) -> None:
        most = -1 if self.streams or self.bodyless else self.max_body
        object.__setattr__(self, "whole_most", most)


class Call:
    """What is asked for, of which server, and how it is answered.

    Attributes:
        method: Such as ``GET``.
        origin: The server.
        target: Path and query.
        name: What it is called in the results.
        terms: How it is answered.
        begin_ns: When it was begun.
        redirects: How many may be followed.
        followed: How many were.
        strayed: Whether one led to another server.
        recorder: What records it once it has succeeded, unless its caller does so.
        allow: Statuses of 400 and above that are no failure.
        traceparent: What it says of its trace, see `amoc.steps.tracing`.
        auth, body, headers: Of this request; the latter beside the session's.
        line: Its first line if it is a GET of a path with nothing of its own, as most are.
    """

    # Without a function of its own that makes it, and with defaults of the class: one is made for
    # each request, which such a call would cost as much as all else that is prepared. To ask for a
    # default takes ten times as long as for what it was given, so it is given what all ask for.
    method: str
    origin: Origin
    target: str
    name: str
    terms: Terms
    begin_ns: int
    redirects: int
    line = b""
    recorder: Recorder | None = None
    auth: Auth | None = None
    body: Body | None = None
    headers: HeaderValues | None = None
    followed = 0
    strayed = False
    allow: int | Iterable[int] = ()
    traceparent = ""

    @property
    def address(self) -> Address:
        """Where it goes to."""
        return Address(self.origin, self.target)

    def __str__(self) -> str:
        """What is asked for, for messages."""
        return f"{self.method} {discreet(str(self.address))}"
