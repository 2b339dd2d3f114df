"""XMPP over HTTP (BOSH): a few persistent connections, each with one request at a time.

Everything that the stream writes in one turn of the loop goes out in one request if the rules allow
one (`Dialogue`), else in the next one. The number of waiting bytes is limited as for any transport.
There is always a request for the server to answer. Answers are delivered in the order of their
requests.

A connection that is lost while it waits for an answer does not end the session: its request is
resent under the same number over a new connection (XEP-0124 section 14.3), up to `MAX_RETRIES`
times in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

import gevent
from gevent import get_hub

from amoc.base.timers import call_later
from amoc.xmpp import errors
from amoc.xmpp.connection.server_url import Server
from amoc.xmpp.transports.connection import OnData, OnLost, Senders, Transport
from amoc.xmpp.transports.http_connection import HttpConnection
from amoc.xmpp.transports.tcp import SOFT_LIMIT, ignore
from amoc.xmpp.wire.bosh import Dialogue, ends_session
from amoc.xmpp.wire.http_answer import Answer
from amoc.xmpp.wire.parser import Violation

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

Dial = Callable[[], Transport]
"""Opens another connection to the server; waits, and raises an XmppError."""

MAX_RETRIES: Final = 3
SPACING_S: Final = 0.005
"""Minimum time between two requests on different connections, so that they arrive in order. A
server must accept any order, but if ejabberd gets the second one first while it holds the first, it
ignores it until the first times out after `wait`.
"""
GRACE_S: Final = 15.0
"""Time allowed for an answer beyond the agreed `wait`."""
OK: Final = 200
GATEWAY_ERRORS: Final = frozenset((502, 503, 504))
"""HTTP statuses with which a reverse proxy reports that it could not reach the server."""


class BoshTransport(Senders):
    """The connections of a session.

    Attributes:
        closed: Whether it was closed, by either side.
    """

    __slots__ = (
        "_answers",
        "_connections",
        "_dial",
        "_dialling",
        "_dialogue",
        "_expected",
        "_head",
        "_max_answer_bytes",
        "_on_data",
        "_on_lost",
        "_poll_at",
        "_pumping",
        "_retries",
        "_sent_at",
        "_timer",
        "_unanswered",
        "_who",
        "closed",
    )

    def __init__(
        self, dial: Dial, dialogue: Dialogue, server: Server, who: str, max_answer_bytes: int
    ) -> None:
        """Open the first connection.

        Args:
            dial: Opens a connection.
            dialogue: Decides what to send.
            server: The server's name and path.
            who: User and server, for messages.
            max_answer_bytes: Maximum length of an answer.

        Raises:
            XmppError: As `dial`.
        """
        super().__init__()
        self._dial = dial
        self._dialling = False
        self._dialogue = dialogue
        self._who = who
        self._max_answer_bytes = max_answer_bytes
        self._head = (
            f"POST {server.path} HTTP/1.1\r\nHost: {server.host_header}\r\n"
            "Content-Type: text/xml; charset=utf-8\r\nContent-Length: "
        )
        self._on_data: OnData = ignore
        self._on_lost: OnLost = ignore
        self._expected = 0  # the rid whose answer is delivered next; 0 for none
        self._answers: dict[int, bytes] = {}  # answers that arrived out of order
        self._unanswered: dict[int, bytes] = {}  # requests to resend: their connection was lost
        self._pumping = False
        self._poll_at = 0.0
        self._sent_at = 0.0
        self._timer: _TimerWatcher | None = None  # for the next pump
        self._retries = 0
        self.closed = False
        self._connections = [HttpConnection(self, dial())]

    @property
    def unsent(self) -> int:
        """Bytes that are not in a request yet, or not accepted by the kernel."""
        return self._dialogue.unsent + sum(one.transport.unsent for one in self._connections)

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Start; see `Transport`. `on_data` is called with the bodies of answers."""
        self._on_data = on_data
        self._on_lost = on_lost

    def write(self, data: bytes) -> None:
        """Send an element in the next request; empty if only the dialogue has something to send."""
        if self.closed:
            return
        self._dialogue.add(data)
        if not self._pumping:
            self._pumping = True
            get_hub().loop.run_callback(self._pump)

    def wait_drained(self, timeout: float) -> bool:
        """Wait until most data was sent; see `Transport`."""
        if self.unsent <= SOFT_LIMIT:
            return True
        return self.wait_woken(timeout)

    def close(self) -> None:
        """Send what can be sent at once, and close all connections. Harmless the second time."""
        if self.closed:
            return
        # Only over an existing connection; none is opened for this.
        has_free = any(one.free for one in self._connections)
        if has_free and self._dialogue.wants_request(self._under_way):
            self._request()
        self.closed = True
        for connection in self._over():
            connection.close()

    def cut(self, reset: bool) -> None:
        """Drop all connections without ending the session."""
        if self.closed:
            return
        self.closed = True
        for connection in self._over():
            connection.cut(reset)

    def _over(self) -> list[HttpConnection]:
        """Clear all state; return the connections, which the caller must close."""
        self._on_data = self._on_lost = ignore
        self._stop_timer()
        self._unanswered.clear()
        self._answers.clear()
        self.wake_senders()
        connections, self._connections = self._connections, []
        return connections

    # Events of connections

    def answered(self, connection: HttpConnection, answer: Answer) -> None:
        """Process the answer to a request."""
        if connection.transport.closed:
            self._drop(connection)
        if answer.status != OK:
            self._refused(connection, answer)
            return
        self._retries = 0
        self._answers[connection.rid] = answer.body
        self._deliver_answers()
        if self.closed:
            return
        self._poll_at = connection.polled_at + self._dialogue.poll_s if self._dialogue.idle else 0.0
        self._pump()
        if self.unsent <= SOFT_LIMIT:
            self.wake_senders()

    def failed(self, connection: HttpConnection, error: Exception | None) -> None:
        """Handle a connection that was lost, or received data that is not HTTP."""
        if self.closed:
            return
        waited = not connection.free
        connection.close()
        self._drop(connection)
        if isinstance(error, Violation):
            if self._dialogue.sid:
                self._on_lost(error)
            else:
                text = errors.quoted(error.text)
                self._on_lost(errors.UpgradeError(f"{self._who}: {text}"))
            return
        if not waited:
            return  # it was idle: servers close idle connections at any time
        self._retry(connection, error)

    def _refused(self, connection: HttpConnection, answer: Answer) -> None:
        if answer.status in GATEWAY_ERRORS and self._dialogue.sid:
            self._retry(connection, ConnectionAbortedError(f"it answered {answer} over HTTP"))
            return
        where = answer.headers.get("location")
        if where and 300 <= answer.status < 400:
            text = f"the server redirects BOSH to {where} ({answer}); use that"
        else:
            text = f"the server refuses a BOSH request: {answer}"
        text = errors.quoted(text)
        if self._dialogue.sid:
            self._on_lost(errors.Disconnected(f"{self._who}: {text}"))
        else:
            self._on_lost(errors.UpgradeError(f"{self._who}: {text}", answer.status))

    def _retry(self, connection: HttpConnection, error: Exception | None) -> None:
        self._retries += 1
        if not self._dialogue.sid or self._retries > MAX_RETRIES:
            self._on_lost(error)
            return
        self._unanswered[connection.rid] = connection.request
        self._pump()

    def _deliver_answers(self) -> None:
        """Deliver the answers that are next in order."""
        for body in self._answers.values():
            if ends_session(body):  # some servers then leave earlier requests unanswered
                self._on_data(body)
                return
        while not self.closed and self._expected in self._answers:
            body = self._answers.pop(self._expected)
            self._expected += 1
            self._on_data(body)

    # Requests

    @property
    def _under_way(self) -> int:
        count = len(self._unanswered)
        for connection in self._connections:
            if not connection.free:
                count += 1
        return count

    def _pump(self) -> None:
        """Send whatever can be sent now."""
        self._pumping = False
        if self.closed:
            return
        dialogue = self._dialogue
        while self._unanswered:
            connection = self._free_connection()
            if connection is None:
                return
            rid = min(self._unanswered)
            self._send(connection, rid, self._unanswered.pop(rid))
        while dialogue.wants_request(under_way := self._under_way):
            if under_way and (left := self._sent_at + SPACING_S - monotonic()) > 0:
                self._pump_later(left)
                return
            if not self._request():
                return
        if dialogue.wants_poll(under_way):
            self._poll()

    def _request(self, polled_at: float = 0.0) -> bool:
        """Send the next request; return False if there is no free connection."""
        connection = self._free_connection()
        if connection is None:
            return False
        connection.polled_at = polled_at
        rid, body = self._dialogue.request()
        if not self._expected:
            self._expected = rid
        self._send(connection, rid, f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        return True

    def _send(self, connection: HttpConnection, rid: int, request: bytes) -> None:
        seconds = self._dialogue.polling.wait + GRACE_S
        self._sent_at = monotonic()
        connection.send(rid, request, self._max_answer_bytes, seconds)

    def _poll(self) -> None:
        """Send an empty request; after a pause if the server does not hold such requests."""
        now = monotonic()
        if now < self._poll_at:
            self._pump_later(self._poll_at - now)
        else:
            self._request(polled_at=now)

    def _pump_later(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = call_later(get_hub().loop, seconds, self._pump)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    # Connections

    def _free_connection(self) -> HttpConnection | None:
        """Return a free connection; None while one is being opened, after which `_pump` runs."""
        for connection in self._connections:
            if connection.free:
                return connection
        if not self._dialling:
            self._dialling = True
            gevent.spawn(self._connect)
        return None

    def _connect(self) -> None:
        try:
            transport = self._dial()
        except Exception as error:
            if not self.closed:
                self._on_lost(
                    errors.Disconnected(f"{self._who}: the server cannot be reached ({error})")
                )
            return
        finally:
            self._dialling = False
        if self.closed:
            transport.close()
            return
        self._connections.append(HttpConnection(self, transport))
        self._pump()

    def _drop(self, connection: HttpConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
