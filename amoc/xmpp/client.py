"""What a user holds while it is logged in: ways to send, to ask, and to wait.

Receiving goes on whether a user waits or not (`amoc.xmpp.session`); the calls here that wait let
other users run meanwhile, and each ends by its timeout, by the stanza, by the end of the stream, or
when the user is asked to stop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from math import inf
from time import monotonic_ns
from typing import Self

from gevent import get_hub, getcurrent

from amoc.base import pause
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.base.waiting import Waiter, wait
from amoc.users.user import UserStopped
from amoc.xmpp import encode, options, request_counts, roster
from amoc.xmpp.encode import Sendable
from amoc.xmpp.errors import IqError, IqTimeout, ReceiveTimeout
from amoc.xmpp.identity import address
from amoc.xmpp.match import Predicate, from_jid, is_any, is_request, name_of
from amoc.xmpp.sending import Sender
from amoc.xmpp.session import Handler, Looker, Receiver, Request, Session
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire.namespaces import NS_PING, NS_REGISTER
from amoc.xmpp.wire.xml_text import serialise


class Client(Sender):
    """One user's session with an XMPP server.

    Use it in a ``with`` block: at its end, also that of a user that is asked to stop, the stream is
    closed and waits for the server to close its half; any other exception drops the connection.

    Attributes:
        user_id: The user's number; None for a client without a user.
    """

    __slots__ = ("__weakref__", "_ids", "user_id")

    def __init__(self, session: Session, user_id: int | None) -> None:
        super().__init__(session)
        self.user_id = user_id
        self._ids = itertools.count(1)

    # Identity and state

    @property
    def jid(self) -> str:
        """The full JID that the server gave: ``user_1@localhost/amoc``."""
        return self._session.jid

    @property
    def bare_jid(self) -> str:
        """The JID without the resource."""
        return bare(self._session.jid)

    @property
    def is_open(self) -> bool:
        """Whether stanzas can still be sent."""
        return not self._session.closed and not self._session.stream.ended

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        inbox = self._session.inbox
        return (
            f"<xmpp client {self.jid}, {state}, {len(inbox) if inbox else 0} stanzas in the inbox>"
        )

    # Asking

    def request(
        self,
        iq: Sendable,
        timeout: float | None = None,
        *,
        to: str | int | None = None,
        type: str = "get",
        name: str | None = None,
    ) -> Stanza:
        """Send an iq and wait for its answer (RFC 6120 section 8.2.3).

        Args:
            iq: An Iq of slixmpp, an element, or raw XML of a whole iq or of a payload alone, which
                is then wrapped. An id is given to it where it has none.
            timeout: In seconds; None for xmpp_request_timeout.
            to: The recipient, when `iq` is a payload: a JID or a user's number; None for the
                user's own account.
            type: ``get`` or ``set``, when `iq` is a payload.
            name: Counts and times it under this name as well (`amoc.xmpp.request_counts`).

        Returns:
            The answer, of type result. ``answer["roster"]`` reads what slixmpp's plugins know of
            it.

        Raises:
            IqError: It was answered with an error.
            IqTimeout: It was not answered in time.
            XmppError, ClosedError: The stream has ended.
            ScenarioError: `iq` is no iq of type get or set, or `name` cannot be a metric's name.
        """
        element = encode.iq(iq, to, type, f"q{next(self._ids)}")
        stanza_id = element.get("id", "")
        asked = element.get("to", "")
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        counts = request_counts.of(name)
        session = self._session
        if stanza_id in session.requests:
            raise ScenarioError(
                f"an iq's id must be unique, got {stanza_id!r}, which is"
                " still waiting for its response"
            )
        waiter = Request(asked)
        begin_ns = monotonic_ns()
        session.requests[stanza_id] = waiter
        try:
            self._send(serialise(element).encode(), False)
            answered = request_counts.wait_counted(waiter, seconds, counts)
        finally:
            del session.requests[stanza_id]
        if not answered:
            raise IqTimeout(
                f"{session.stream.who}: no answer came within {seconds:g} s to an iq to"
                f" {asked or 'the server'}"
            )
        answer = waiter.value
        assert answer is not None
        error = answer.error
        for one in counts:
            one.answered(answer.received_ns - begin_ns, error[0] if error else None)
        if error is not None:
            raise IqError(session.stream.who, *error, answer=answer)
        return answer

    def ping(self, to: str | int | None = None, timeout: float | None = None) -> float:
        """Ping the server, or `to` (XEP-0199).

        Returns:
            How long it took, in seconds. That the other side does not know pings is an answer too.

        Raises:
            IqTimeout, XmppError, ClosedError: As `request`.
        """
        whom = bare(self.jid).rpartition("@")[2] if to is None else to
        begin_ns = monotonic_ns()
        try:
            self.request(f"<ping xmlns='{NS_PING}'/>", timeout, to=whom)
        except IqError as error:
            if error.condition not in ("feature-not-implemented", "service-unavailable"):
                raise
        return (monotonic_ns() - begin_ns) / S_NS

    def roster(self, timeout: float | None = None) -> dict[str, roster.Contact]:
        """The user's contacts by their bare JIDs (RFC 6121 section 2.1.3).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        return roster.contacts(self.request(roster.GET, timeout).xml)

    def add_to_roster(
        self,
        whom: str | int,
        name: str | None = None,
        groups: Iterable[str] = (),
        timeout: float | None = None,
    ) -> None:
        """Add a contact, or change one (RFC 6121 section 2.3). Subscribe by `send_presence`.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(roster.put(address(whom), name, groups), timeout, type="set")

    def remove_from_roster(self, whom: str | int, timeout: float | None = None) -> None:
        """Remove a contact, and the subscriptions with it (RFC 6121 section 2.5).

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(roster.remove(address(whom)), timeout, type="set")

    def unregister(self, timeout: float | None = None) -> None:
        """Delete the user's account (XEP-0077 section 3.2); the server may end the stream over it.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        self.request(f"<query xmlns='{NS_REGISTER}'><remove/></query>", timeout, type="set")

    # Waiting

    def receive(self, match: Predicate | None = None, timeout: float | None = None) -> Stanza:
        """The next stanza that `match` accepts, from the inbox or when it comes.

        What it does not accept stays in the inbox, in its order; an inbox that holds
        xmpp_inbox_size stanzas drops the oldest for each new one, and counts it as
        ``inbox_dropped``. Requests of others that no `receive` takes are answered by the client
        itself.

        Args:
            match: Any function of a stanza; None accepts all but requests (iqs of type get or set).
                A user that receives a request has to answer it; the client answers pings itself.
            timeout: In seconds; None waits as long as the stream lives.

        Raises:
            ReceiveTimeout: None came in time.
            XmppError: The stream has ended, and the inbox holds none.
            ClosedError: The client is closed.
        """
        session = self._session
        inbox = session.inbox
        if inbox:
            for index, stanza in enumerate(inbox):
                if match is None or match(stanza):
                    del inbox[index]
                    pause.wait_resumed()
                    return stanza
        if session.closed or session.stream.ended:
            session.check_open()
        return self._receive(match, inf if timeout is None else timeout)

    def send_and_receive(
        self, stanza: Sendable, match: Predicate | None = None, timeout: float | None = None
    ) -> Stanza:
        """Send a stanza and wait for one that comes after it.

        Args:
            stanza: As in `send`.
            match: What to wait for; None for anything from the recipient of `stanza`.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            ReceiveTimeout: None came in time.
            XmppError, ClosedError, ScenarioError: As `send`.
        """
        if match is None:
            to = encode.element_of(stanza).get("to")
            if not to:
                raise ScenarioError(
                    "send_and_receive needs a match when the stanza has no recipient"
                )
            match = from_jid(to) & ~is_request
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        return self._receive(match, seconds, stanza)

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass while stanzas are handled; ends early only when the stream does.

        Raises:
            XmppError: The stream has ended.
            ClosedError: The client is closed.
        """
        self._look(lambda: False, seconds)

    def wait_until(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait until `condition` is true; it is asked at once, and after each stanza that comes.

        Args:
            condition: Says whether to go on, from what handlers have noted for example.
            timeout: In seconds; None waits as long as the stream lives.

        Returns:
            Whether it became true in time.

        Raises:
            XmppError: The stream has ended.
            ClosedError: The client is closed.
        """
        return bool(condition()) or self._look(condition, inf if timeout is None else timeout)

    def _look(self, condition: Callable[[], object], seconds: float) -> bool:
        self._session.check_open()
        lookers = self._session.lookers
        looker = Looker(condition)
        lookers.append(looker)
        try:
            return wait(looker, seconds)
        finally:
            lookers.remove(looker)

    def _receive(
        self, match: Predicate | None, seconds: float, first: Sendable | None = None
    ) -> Stanza:
        """The next stanza that comes and `match` accepts, after `first` was sent."""
        session = self._session
        receiver = Receiver(match)
        session.receivers.append(receiver)
        try:
            if first is not None:
                self.send(first)
            wait(receiver, seconds)
        finally:
            session.receivers.remove(receiver)
        if receiver.value is None:
            raise ReceiveTimeout(
                f"{session.stream.who}: no {name_of(match)} came within {seconds:g} s"
            )
        return receiver.value

    # Handlers

    def on_received(self, match: Predicate | None, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each received stanza that `match` accepts, as soon as it is read.

        It runs inside the event loop: it may send, but must not wait. What it raises ends this
        user. A handler that returns True has taken care of a request (an iq of type get or set):
        the client will not answer it, nor keep it.

        Returns:
            A function that takes the handler away again.
        """
        entry = (is_any if match is None else match, handler)
        self._session.on_received = [*self._session.on_received, entry]

        def off() -> None:
            self._session.on_received = [
                one for one in self._session.on_received if one is not entry
            ]

        return off

    # The end

    def close(self) -> None:
        """Close the stream and wait up to xmpp_close_timeout for the server to close its half.

        By then the server has read all that was sent, and what it sent before has been counted and
        shown to the handlers. Never fails; harmless when the stream is over or closed.
        """
        session = self._session
        session.forget()
        stream = session.stream
        if not stream.ended:
            stream.close_our_half()
            waiter: Waiter[bool] = Waiter()
            session.on_closed = waiter
            try:
                if getcurrent() is not get_hub():
                    waiter.wait(options.xmpp_close_timeout.get())
            finally:
                self.abort()

    def abort(self) -> None:
        """Drop the connection without waiting. Harmless when it is gone."""
        self._session.shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, UserStopped):
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        # A user that ended without closing must not hold its connection, and its descriptor, for
        # ever.
        session = getattr(self, "_session", None)
        if session is not None and not session.stream.ended:
            self.abort()
