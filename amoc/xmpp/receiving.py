"""The receiving side of a client: calls that wait for stanzas or conditions, and handlers.

Stanzas are received whether a user waits or not (`amoc.xmpp.session`). The calls here that wait let
other users run meanwhile. Each returns on its stanza, its timeout or the end of the stream, or when
the user is asked to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.base.waiting import Alarm, wait
from amoc.xmpp import encode, options
from amoc.xmpp.asking import Requester
from amoc.xmpp.encode import Sendable
from amoc.xmpp.errors import ReceiveTimeout
from amoc.xmpp.match import Match, Predicate, from_jid, is_any, is_request, name_of
from amoc.xmpp.request_counts import wait_counted
from amoc.xmpp.session import Handler
from amoc.xmpp.session_waits import ConditionWaiter, Receiver
from amoc.xmpp.stanza import Stanza


class Listener(Requester):
    """Waits on a session for stanzas. The features in `amoc.xmpp.features` build on it."""

    __slots__ = ()

    def receive(self, match: Predicate | None = None, timeout: float | None = None) -> Stanza:
        """Return the next stanza that `match` accepts, from the inbox or when it arrives.

        Stanzas that it does not accept stay in the inbox, in order. An inbox that holds
        xmpp_inbox_size stanzas drops the oldest for each new one, and counts it as
        ``inbox_dropped``. Requests from others that no `receive` accepts are answered automatically
        by the client.

        Args:
            match: Any function of a stanza; None accepts all but requests (iqs of type get or set).
                A user that receives a request has to answer it; pings are always answered by the
                client.
            timeout: In seconds; None waits as long as the stream is open.

        Raises:
            ReceiveTimeout: None arrived in time.
            XmppError: The stream has ended, and the inbox holds none.
            ClosedError: The client is closed.
        """
        session = self._session
        if session.inbox:
            kept = self.receive_nowait(match)
            if kept is not None:
                pause.wait_resumed()
                return kept
        if session.closed or session.stream.ended:
            session.check_open()
        return self._receive(match, inf if timeout is None else timeout)

    def receive_nowait(self, match: Predicate | None = None) -> Stanza | None:
        """Remove and return the first stanza in the inbox that `match` accepts; None if none."""
        inbox = self._session.inbox
        for index, stanza in enumerate(inbox or ()):
            if match is None or match(stanza):
                assert inbox is not None
                del inbox[index]
                return stanza
        return None

    def send_and_receive(
        self, stanza: Sendable, match: Predicate | None = None, timeout: float | None = None
    ) -> Stanza:
        """Send a stanza and wait for one that arrives after it.

        Args:
            stanza: As in `send`.
            match: Which stanza to wait for; None for any from the recipient of `stanza`.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            ReceiveTimeout: None arrived in time.
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
        """Wait for `seconds` while stanzas are handled; ends early only if the stream does.

        Raises:
            XmppError: The stream has ended.
            ClosedError: The client is closed.
        """
        self._wait_for(lambda: False, seconds)

    def wait_until(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait until `condition` is true; it is evaluated at once and after each received stanza.

        Args:
            condition: Whether to continue; for example based on what handlers have recorded.
            timeout: In seconds; None waits as long as the stream is open.

        Returns:
            Whether it became true in time.

        Raises:
            XmppError: The stream has ended.
            ClosedError: The client is closed.
        """
        return bool(condition()) or self._wait_for(condition, inf if timeout is None else timeout)

    def _wait_for(self, condition: Callable[[], object], seconds: float, name: str = "") -> bool:
        session = self._session
        session.check_open()
        waiter = ConditionWaiter(condition)
        session.conditions = (*session.conditions, waiter)
        try:
            return wait_counted(waiter, seconds, name)
        finally:
            session.conditions = tuple(one for one in session.conditions if one is not waiter)

    def _receive(
        self, match: Predicate | None, seconds: float, first: Sendable | None = None
    ) -> Stanza:
        """Send `first`, if any, and return the next arriving stanza that `match` accepts."""
        session = self._session
        # Reused: creating one per message would cost more than everything else done here.
        receiver = session.spare
        if receiver is None:
            receiver = Receiver()
        else:
            session.spare = None
        receiver.match = match.test if type(match) is Match else match  # inlined `match.plain`
        receiver.requests = match is not None
        receiver.done = False
        if receiver.alarm is None and seconds < inf:
            receiver.alarm = session.alarm = session.alarm or Alarm()
        session.receivers.append(receiver)
        try:
            if first is not None:
                self.send(first)
            wait(receiver, seconds, session.hub)
        finally:
            session.receivers.remove(receiver)
        stanza = receiver.value
        if stanza is None:
            raise ReceiveTimeout(
                f"{session.stream.who}: no {name_of(match)} arrived within {seconds:g} s"
            )
        if not session.stream.ended:  # the end may still wake this one
            receiver.match = receiver.value = None  # they may refer to the client
            session.spare = receiver
        return stanza

    def on_received(self, match: Predicate | None, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each received stanza that `match` accepts, as soon as it is read.

        It runs inside the event loop: it may send but must not wait. An exception that it raises
        ends this user. A handler that returns True has dealt with a request (an iq of type get or
        set): the client neither answers nor keeps it.

        Returns:
            A function that removes the handler.
        """
        entry = (is_any if match is None else match, handler)
        self._session.on_received = (*self._session.on_received, entry)

        def off() -> None:
            self._session.on_received = tuple(
                one for one in self._session.on_received if one is not entry
            )

        return off
