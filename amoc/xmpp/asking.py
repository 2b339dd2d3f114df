"""The requesting side of a client: send an iq and wait for its answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from time import monotonic_ns

from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.steps import recorder
from amoc.xmpp import encode, options, request_counts
from amoc.xmpp.encode import Sendable
from amoc.xmpp.errors import IqError, IqTimeout
from amoc.xmpp.sending import Sender
from amoc.xmpp.session import Session
from amoc.xmpp.session_waits import Request, Results
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import serialise


class Requester(Sender):
    """Sends requests on a session and waits for their answers.

    Attributes:
        user_id: The user's number; None for a client without a user.
    """

    __slots__ = ("_ids", "user_id")

    def __init__(self, session: Session, user_id: int | None) -> None:
        super().__init__(session)
        self.user_id = user_id
        self._ids = itertools.count(1)

    @property
    def jid(self) -> str:
        """The full JID that the server assigned, such as ``user_1@localhost/amoc``."""
        return self._session.jid

    @property
    def bare_jid(self) -> str:
        """The JID without the resource."""
        return bare(self._session.jid)

    @property
    def domain(self) -> str:
        """The JID's domain."""
        return self.bare_jid.rpartition("@")[2]

    @property
    def is_open(self) -> bool:
        """Whether stanzas can still be sent."""
        return not self._session.closed and not self._session.stream.ended

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
            iq: A slixmpp Iq, an element, or raw XML of a whole iq or of just its payload, which is
                then wrapped. An iq without an id gets one.
            timeout: In seconds; None for xmpp_request_timeout.
            to: The recipient, when `iq` is a payload: a JID or a user's number; None for the
                user's own account.
            type: ``get`` or ``set``, when `iq` is a payload.
            name: Name of the step, see `amoc.xmpp.request_counts`; by default ``iq``.

        Returns:
            The answer, of type result. ``answer["roster"]`` reads it through slixmpp's plugins, for
            example.

        Raises:
            IqError: It was answered with an error.
            IqTimeout: No answer arrived in time.
            XmppError, ClosedError: The stream has ended.
            ScenarioError: `iq` is not an iq of type get or set, or `name` is not a valid step name.
        """
        element = encode.iq(iq, to, type, f"q{next(self._ids)}")
        stanza_id = element.get("id", "")
        asked = element.get("to", "")
        seconds = options.xmpp_request_timeout.get() if timeout is None else timeout
        name = name or request_counts.UNNAMED
        recorder.of(name)  # rejects an invalid name before anything is sent
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
            answered = request_counts.wait_counted(waiter, seconds, name)
        finally:
            del session.requests[stanza_id]
        if not answered:
            raise IqTimeout(
                f"{session.stream.who}: no answer arrived within {seconds:g} s to an iq to"
                f" {asked or 'the server'}"
            )
        answer = waiter.value
        assert answer is not None
        error = answer.error
        request_counts.answered(name, answer.received_ns - begin_ns, *(error or (None,))[:1])
        if error is not None:
            raise IqError(session.stream.who, *error, answer=answer)
        return answer

    def ping(self, to: str | int | None = None, timeout: float | None = None) -> float:
        """Ping the server, or `to` (XEP-0199).

        Returns:
            The round-trip time, in seconds. An error that says pings are unsupported counts, too.

        Raises:
            IqTimeout, XmppError, ClosedError: As `request`.
        """
        whom = self.domain if to is None else to
        begin_ns = monotonic_ns()
        try:
            self.request(f"<ping xmlns='{ns.PING}'/>", timeout, to=whom, name="ping")
        except IqError as error:
            if error.condition not in ("feature-not-implemented", "service-unavailable"):
                raise
        return (monotonic_ns() - begin_ns) / S_NS

    def collect(
        self,
        payload: Callable[[str], str],
        result: str,
        name: str,
        *,
        to: str | None = None,
        type: str = "set",
        timeout: float | None = None,
    ) -> tuple[Stanza, list[Stanza]]:
        """Send a query whose results arrive as messages before its answer (as in XEP-0313).

        Args:
            payload: Returns the query for a given id, which each result repeats as its ``queryid``.
            result: The tag of a result, a message's first child.
            name: As in `request`.
            to: As in `request`.
            type: As in `request`.
            timeout: As in `request`.

        Returns:
            The answer, and the messages with the results, which do not count as received.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        session = self._session
        query_id = f"r{next(self._ids)}"
        results = Results(to or "", result)
        if session.results is None:
            session.results = {}
        session.results[query_id] = results
        try:
            answer = self.request(payload(query_id), timeout, to=to, type=type, name=name)
        finally:
            del session.results[query_id]
            if not session.results:
                session.results = None  # while not None, each message is checked for results
        return answer, results.stanzas
