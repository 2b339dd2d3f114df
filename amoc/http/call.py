"""One request of a user, including the redirects that follow from it."""

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
    """How one request is made and how its response is read. Fields that are read often."""

    limit: Deadlines
    """Time limit of the whole request."""
    max_body: int
    """Maximum size of the response body in bytes, chunk headers included."""
    silence: Deadlines | None = None
    """Time limit for each wait for data from the server; None for no limit of its own."""
    bodyless: bool = False
    """Whether the response has no body, as for HEAD."""
    streams: bool = False
    """Whether the caller reads the body with `Connection.read`."""
    asks_leave: bool = False
    """Whether to wait for the server's 100 (Continue) before sending the body (Expect header)."""
    whole_most: int = field(init=False)
    """Maximum size in bytes of a response that may skip the parser; -1 if none may."""

    def __post_init__(self) -> None:
        most = -1 if self.streams or self.bodyless else self.max_body
        object.__setattr__(self, "whole_most", most)


class Call:
    """One request: its target, its name and how it is made.

    Attributes:
        method: Such as ``GET``.
        origin: The server.
        target: Path and query.
        name: Its name in the results.
        terms: Limits, and how the response is read.
        begin_ns: Start time, on the monotonic clock.
        most_redirects: Maximum number of redirects to follow; None for the session's.
        followed: Number of redirects followed so far.
        strayed: Whether a redirect has led to another server.
        recorder: Records a success, unless the caller does so itself.
        allow: Statuses of 400 and above that do not count as failures.
        traceparent: Trace context to send, see `amoc.steps.tracing`.
        own_auth, own_body, own_headers: Those of this request; headers are added to the session's.
            Named so because it becomes the response, which has headers and a body of its own.
        line: The request line, if this is a GET of a plain path without options (the common case).
    """

    # No __init__, and defaults on the class. One is made per request, and a call of __init__
    # would cost as much as the rest of the preparation. Reading a default from the class takes ten
    # times as long as reading an instance attribute, so the fields that are always read are set.
    method: str
    origin: Origin
    target: str
    name: str
    terms: Terms
    begin_ns: int
    line = b""
    recorder: Recorder | None = None
    own_auth: Auth | None = None
    own_body: Body | None = None
    own_headers: HeaderValues | None = None
    most_redirects: int | None = None
    followed = 0
    strayed = False
    allow: int | Iterable[int] = ()
    traceparent = ""

    @property
    def address(self) -> Address:
        """The URL that the request goes to."""
        return Address(self.origin, self.target)

    @property
    def shown(self) -> str:
        """Method and URL without secrets, for messages."""
        return f"{self.method} {discreet(str(self.address))}"
