"""A client of slixmpp, or of a scenario's own subclass, as a user's connection.

All such clients live in the process's asyncio greenlet (`amoc.xmpp.slixmpp.asyncio_greenlet`) and
share its SSL context. Users call into it with `SlixmppClient.run`. An exception in a handler ends
the user, like a lost connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import partial
from math import inf
from time import monotonic_ns
from typing import Any, Final, Generic, Self, TypeVar, cast

from gevent import getcurrent
from slixmpp import ClientXMPP
from slixmpp.stanza import Message, Presence
from slixmpp.xmlstream import ElementBase

from amoc.base.errors import ClosedError, ScenarioError
from amoc.base.pause import AnyGreenlet
from amoc.base.tracebacks import copy_of
from amoc.base.waiting import AnyWaiter, Waiter, interrupt, wait, withdraw_interrupt
from amoc.metrics.board import UserState
from amoc.users.user import User, UserStopped
from amoc.xmpp import errors, meters, options
from amoc.xmpp.account.lane import Lane
from amoc.xmpp.account.ledger import ledger
from amoc.xmpp.connection import causes, securing, server_addresses, tls_errors
from amoc.xmpp.connection.plan import Plan
from amoc.xmpp.connection.retrying import default_policy, with_retries
from amoc.xmpp.connection.server_url import TCP, Server
from amoc.xmpp.connection.sockets import connect_error
from amoc.xmpp.slixmpp import asyncio_greenlet
from amoc.xmpp.slixmpp.asyncio_greenlet import CallTimedOut, Work, close_unawaited
from amoc.xmpp.slixmpp.slixmpp_shared import use_fast_scram, use_settings, watched
from amoc.xmpp.stanza import Stanza

C = TypeVar("C", bound=ClientXMPP)
T = TypeVar("T")

SPARE_S: Final = 1.0
"""Extra time allowed for slixmpp's own timeout of a disconnect."""


class Watcher:
    """Follows the events of one slixmpp client on behalf of its user; runs in asyncio.

    Attributes:
        client: The slixmpp client.
        closed: Whether the user has closed it.
        connected: Whether it is logged in.
        failure: The error that ended it.
        lane: Its part in message accounting while it is logged in.
        logged_in: The wait for the session.
        waiting: Pending calls of the user's greenlets.
    """

    client: ClientXMPP

    def __init__(self, plan: Plan, server: Server) -> None:
        self.who = f"{plan.me.bare_jid} at {server}"
        self.owner: AnyGreenlet = getcurrent()
        self.waiting: set[AnyWaiter] = set()
        self.logged_in: Waiter[bool] = Waiter()
        self.failure: BaseException | None = None
        self.connected = self.closed = False
        self.lane: Lane | None = None
        self._plan = plan
        self._server = server

    def build(  # Any: mypy takes slixmpp's classes for unhashable
        self, kind: Any, arguments: Mapping[str, object]
    ) -> None:
        """Create the slixmpp client and register for its events."""
        plan, me = self._plan, self._plan.me
        jid = f"{me.bare_jid}/{plan.resource}" if plan.resource else me.bare_jid
        client = self.client = watched(kind)(jid, me.password, **arguments)
        client.on_raised = self.fail
        tls = options.DIRECT if self._server.secure else plan.tls
        context = securing.terms_for(me.user_id, me.domain, self._server).context
        use_settings(client, tls, context, plan.mechanisms)
        for event, handler in (
            ("session_start", self._on_session),
            ("connection_failed", self._on_no_connection),
            ("failed_auth", self._on_refused),
            ("no_auth", self._on_refused),
            ("stream_error", self._on_stream_error),
            ("disconnected", self._on_disconnected),
        ):
            client.add_event_handler(event, handler)
        client.add_filter("in", self._received)
        client.add_filter("out", self._sent)

    def _on_session(self, _: object) -> None:
        if not self.connected and not self.closed:
            self.connected = True
            meters.connected.inc()
            self.lane = ledger().open(str(self.client.boundjid.full))
            self.logged_in.set(True)
            self.logged_in.wake()

    def _on_no_connection(self, reason: object) -> None:
        if isinstance(reason, ssl.SSLError):
            self._on_no_tls(reason)
        else:
            error = reason if isinstance(reason, OSError) else OSError(str(reason))
            self.fail(connect_error(error, self.who, None))

    def _on_no_tls(self, error: ssl.SSLError) -> None:
        self.fail(tls_errors.refused(error, self.who, self._plan.me.domain))

    def _on_refused(self, answer: ElementBase | None) -> None:
        condition = answer["condition"] if answer else "invalid-mechanism"
        self.fail(errors.SaslError(self.who, condition, answer["text"] if answer else ""))

    def _on_stream_error(self, error: ElementBase) -> None:
        self.fail(errors.StreamError(self.who, error["condition"], error["text"]))

    def _on_disconnected(self, reason: object) -> None:
        self._no_longer_connected()
        if isinstance(reason, ssl.SSLError) and not self.logged_in.value:
            self._on_no_tls(reason)
        else:
            why = f": {reason}" if reason else ""
            self.fail(errors.Disconnected(f"{self.who}: the connection was lost{why}"))

    def _no_longer_connected(self) -> None:
        if self.connected:
            self.connected = False
            meters.connected.dec()
            if self.lane is not None:
                self.lane.close()
                self.lane = None

    def _received(self, stanza: T) -> T:
        lane = self.lane
        if lane is not None and isinstance(stanza, Message):
            lane.received(Stanza(stanza.xml, monotonic_ns()))
        elif lane is not None and isinstance(stanza, Presence):
            lane.received_presence(stanza.xml)
        return stanza

    def _sent(self, stanza: T) -> T:
        if isinstance(stanza, Message):
            if stanza["type"] != "error":
                meters.messages_sent.inc()
        elif self.lane is not None and isinstance(stanza, Presence):
            self.lane.sent_presence_xml(stanza.xml)
        return stanza

    def fail(self, error: BaseException) -> None:
        """End the client: the user raises `error` in its current or next wait."""
        if self.failure is not None or self.closed:
            return
        self.failure = error
        was_in = self.logged_in.value
        if was_in:
            meters.disconnected(error)
        owner = self.owner
        told = False
        for waiter in (self.logged_in, *self.waiting):
            told = told or waiter.greenlet is owner
            waiter.fail(error)
            waiter.wake()
        self.drop()
        # Between two iterations of start() there is no scenario code to interrupt.
        resting = isinstance(owner, User) and owner.pool.states[owner.id] != UserState.RUNNING
        if was_in and not (told or resting or owner.dead):
            interrupt(owner, error, self)

    def withdraw_interrupt(self) -> None:
        """Note that the user is learning of the end now, and needs no interrupt."""
        withdraw_interrupt(self.owner, self)

    def drop(self) -> None:
        """Cut the connection, and end everything that slixmpp does for it."""
        self._no_longer_connected()
        client = self.client
        client.cancel_connection_attempt()
        client.abort()
        # This slixmpp task refers to the client and would keep it alive forever.
        sender = client._run_out_filters
        if sender is not None:
            sender.cancel()


class SlixmppClient(Generic[C]):
    """A user's slixmpp client; use it in a ``with`` block.

    Attributes:
        client: The slixmpp client, an instance of the given class.
    """

    def __init__(self, client: C, watcher: Watcher) -> None:
        self.client = client
        self._watcher = watcher
        self._asyncio = asyncio_greenlet.running()

    @property
    def jid(self) -> str:
        """The full JID that the server assigned."""
        return str(self.client.boundjid.full)

    @property
    def is_open(self) -> bool:
        """Whether it is still logged in."""
        return self._watcher.connected

    def run(self, what: Work[T], timeout: float | None = None) -> T:
        """Run something in asyncio, and wait for its result.

        Args:
            what: A coroutine or another awaitable, ``c.run(c.client.plugin["xep_0199"].ping())``,
                or a function to be called in asyncio, ``c.run(c.client.send_presence)``, whose
                result is awaited if it is awaitable.
            timeout: In seconds; None waits as long as the connection lasts.

        Returns:
            The result.

        Raises:
            CallTimeout: It exceeded the timeout and was cancelled.
            XmppError: The connection was lost.
            ClosedError: The client is closed.
            ScenarioError: The caller is a slixmpp handler, which must await instead.
            BaseException: An exception that it raised, or that a handler raised meanwhile.
        """
        watcher = self._watcher
        try:
            self._check_open()
        except BaseException:
            close_unawaited(what)
            raise
        try:
            return self._run(what, inf if timeout is None else timeout)
        except CallTimedOut:
            raise errors.CallTimeout(
                f"{watcher.who}: a call into slixmpp took longer than {timeout:g} s"
            ) from None

    def _check_open(self) -> None:
        watcher = self._watcher
        if getcurrent() is watcher.owner:
            watcher.withdraw_interrupt()
        if watcher.failure is not None:
            raise copy_of(watcher.failure)
        if watcher.closed:
            raise ClosedError(f"{watcher.who}: this client was closed")

    def _run(self, what: Work[T], seconds: float) -> T:
        return self._asyncio.run(what, seconds, self._watcher.waiting)

    def close(self) -> None:
        """Close the stream, and wait up to xmpp_close_timeout for the server to close its half."""
        watcher = self._watcher
        if watcher.closed or watcher.failure is not None:
            self.abort()
            return
        watcher.closed = True
        seconds = options.xmpp_close_timeout.get()
        try:
            self._run(lambda: self.client.disconnect(wait=seconds), seconds + SPARE_S)
        except CallTimedOut:
            pass  # the connection is cut instead
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the connection without waiting. Harmless when it is closed."""
        watcher = self._watcher
        watcher.closed = True
        watcher.withdraw_interrupt()
        self._asyncio.soon(watcher.drop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, UserStopped):
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        # slixmpp's client refers to the watcher only, so a user that ended without closing does
        # not keep its connection.
        if not self._watcher.closed:
            self.abort()


def connect(kind: type[C], plan: Plan, arguments: Mapping[str, object]) -> SlixmppClient[C]:
    """Connect; see `amoc.xmpp.slixmpp.slixmpp_bridge.slixmpp_client`."""
    if not isinstance(kind, type) or not issubclass(kind, ClientXMPP):
        raise ScenarioError(
            f"slixmpp_client needs slixmpp.ClientXMPP or a subclass of it, got {kind!r}"
        )
    use_fast_scram()
    return with_retries(partial(_attempt, kind, plan, arguments), default_policy(plan.attempts))


def _attempt(
    kind: type[C], plan: Plan, arguments: Mapping[str, object], failed: int, target: str | None
) -> SlixmppClient[C]:
    me = plan.me
    server = server_addresses.server_for(me.user_id, failed, me.domain, target or plan.server)
    if server.transport != TCP:
        raise ScenarioError(f"slixmpp_client supports TCP only, got the server {server}")
    watcher = Watcher(plan, server)
    _, address = server_addresses.resolve(server, watcher.who, plan.timeout)[0]
    own = asyncio_greenlet.running()
    own.run(lambda: watcher.build(kind, arguments), inf, watcher.waiting)
    one = SlixmppClient(cast("C", watcher.client), watcher)
    begin_ns = monotonic_ns()
    try:
        own.soon(watcher.client.connect, address[0], address[1])
        if not wait(watcher.logged_in, plan.timeout):
            raise errors.ConnectTimeout(
                f"{watcher.who}: there was no session within {plan.timeout:g} s"
                " (xmpp_connect_timeout)",
                causes.TIMEOUT_LOGIN,
            )
    except BaseException:
        one.abort()
        raise
    meters.attempt_succeeded(begin_ns)
    return one
