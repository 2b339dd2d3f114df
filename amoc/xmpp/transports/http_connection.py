"""A persistent HTTP connection with at most one request in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gevent import get_hub

from amoc.base.timers import call_later
from amoc.xmpp.transports.connection import Transport
from amoc.xmpp.wire.http_answer import Answer, AnswerReader
from amoc.xmpp.wire.parser import Violation

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher


class Owner(Protocol):
    """Receives the events of a connection, in the hub."""

    def answered(self, connection: HttpConnection, answer: Answer) -> None:
        """The request was answered; the connection may be closed by now."""

    def failed(self, connection: HttpConnection, error: Exception | None) -> None:
        """The connection was lost, or received data that is not HTTP (a `Violation`)."""


class HttpConnection:
    """One connection.

    Attributes:
        free: Whether a request can be sent.
        polled_at: When the request was made, if it is an empty poll; else 0.
        request: The bytes of the request in flight, or of the last one.
        rid: Its number.
        transport: The connection.
    """

    __slots__ = ("_owner", "_reader", "_timer", "free", "polled_at", "request", "rid", "transport")

    def __init__(self, owner: Owner, transport: Transport) -> None:
        """Take over a connection; its events go to `owner`."""
        self._owner = owner
        self._reader: AnswerReader | None = None
        self.free = True
        self._timer: _TimerWatcher | None = None
        self.polled_at = 0.0
        self.rid = 0
        self.request = b""
        self.transport = transport
        transport.start(self._receive, self._lost)

    def send(self, rid: int, request: bytes, max_answer_bytes: int, seconds: float) -> None:
        """Send a request that must be answered within `seconds`."""
        self.rid = rid
        self.request = request
        self._reader = AnswerReader(max_answer_bytes)
        self.free = False
        self._timer = call_later(get_hub().loop, seconds, self._overdue)
        self.transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        self._done()
        self.transport.close()

    def cut(self, reset: bool) -> None:
        """Drop the connection; see `Transport.cut`."""
        self._done()
        self.transport.cut(reset)

    def _done(self) -> None:
        """Note that no request is in flight any more."""
        self._reader = None
        self.free = True
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _receive(self, data: bytes) -> None:
        if self._reader is None:
            self._owner.failed(self, Violation("bad-format", "an answer must have a request"))
            return
        try:
            answer = self._reader.feed(data)
        except Violation as violation:
            self._owner.failed(self, violation)
            return
        if answer is not None:
            self._answered(answer)

    def _answered(self, answer: Answer) -> None:
        self._done()
        if not answer.keep_alive:
            self.transport.close()
        self._owner.answered(self, answer)

    def _lost(self, error: Exception | None) -> None:
        reader = self._reader
        if reader is not None and error is None:
            try:
                answer = reader.end()
            except Violation as violation:
                self._owner.failed(self, violation)
                return
            if answer is not None:
                self._answered(answer)
                return
        self._owner.failed(self, error)

    def _overdue(self) -> None:
        self._owner.failed(self, TimeoutError("it did not answer an HTTP request in time"))
