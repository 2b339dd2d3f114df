"""`connect`: from a user's number to a client, in one attempt or several.

An attempt is a TCP connection and a login under one deadline. A failure that may pass, such as a
refusing or overloaded server, is retried after a pause that doubles each time. Any other (a wrong
password, required TLS, no descriptors left) is raised at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import TypeVar, Unpack, cast

from amoc.base import pause
from amoc.base.clock import S_NS, limit_ns
from amoc.xmpp import errors, meters, options
from amoc.xmpp.client import Client
from amoc.xmpp.connection import reaching, resuming, securing, server_addresses
from amoc.xmpp.connection.login import Negotiation
from amoc.xmpp.connection.plan import ConnectOptions, Plan, plan_of
from amoc.xmpp.connection.retrying import (
    RetryPolicy,
    can_follow,
    default_policy,
    with_retries,
    worth_retrying,
)
from amoc.xmpp.connection.server_url import TCP
from amoc.xmpp.managed_stream import ManagedStream
from amoc.xmpp.options import RESUMABLE, UNMANAGED
from amoc.xmpp.session import Session
from amoc.xmpp.stream import Stream
from amoc.xmpp.wire.offer import Features

T = TypeVar("T")
C = TypeVar("C", bound=Client)


Settle = Callable[[Negotiation, Features], T]
"""The last step of a login: bind a resource, or resume a stream."""


def connect(
    user_id: int | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    domain: str | None = None,
    server: str | None = None,
    via: str | None = None,
    tls: str | None = None,
    resource: str | None = None,
    mechanism: str | None = None,
    register: bool | None = None,
    timeout: float | None = None,
    attempts: int | None = None,
    inbox_size: int | None = None,
    interrupts: bool = True,
    resumable: bool | None = None,
) -> Client:
    """Connect and log in; use the client in a ``with`` block.

    Arguments that are None are taken from the settings that begin with ``xmpp_``.

    Args:
        user_id: The user's number, which determines its default name and password; None for the
            number of the calling user.
        username: The local part of its JID.
        password: Its password.
        domain: The domain of its JID.
        server: Where to connect, whatever the domain: ``host:port``, or an address that names
            the transport, as in `via`.
        via: The same for an address with a transport, such as ``ws://host:port/path`` (WebSocket)
            or ``http://host:port/path`` (BOSH).
        tls: Over TCP, ``starttls``, ``direct``, ``off``, or ``auto``: STARTTLS if it is offered.
        resource: The resource to request; empty lets the server choose.
        mechanism: The only SASL mechanism to use, such as ``ANONYMOUS``.
        register: Register the account first; it is not an error if it exists already.
        timeout: Time limit of each attempt, in seconds.
        attempts: Maximum number of attempts.
        inbox_size: How many received stanzas are kept until the user reads them; 0 keeps none.
        interrupts: Whether the error interrupts the calling greenlet when the stream ends
            while it waits for something else; otherwise the next call to the client raises it.
        resumable: Whether the session can be resumed after its connection was lost (`Client.resume`
            and XEP-0198); None for the setting xmpp_stream_management.

    Raises:
        ConnectError: No connection, or no session in time (`ConnectTimeout`).
        SaslError: The login was refused.
        IqError: The registration or the resource was refused.
        StreamError: The server ended the stream, or violated the protocol.
        Disconnected: The connection was lost.
        ScenarioError: No user is given and none is calling, or a value is invalid.
    """
    plan = plan_of(**locals())
    return connect_by(plan, default_policy(plan.attempts), Client)


def register(user_id: int | None = None, **options_of_connect: Unpack[ConnectOptions]) -> None:
    """Register a user's account (XEP-0077) and check that it can log in.

    Args:
        user_id: The user's number; None for the number of the calling user.
        options_of_connect: As in `connect`.

    Raises:
        XmppError: As `connect`.
    """
    options_of_connect["register"] = True
    connect(user_id, **options_of_connect).close()


def connect_by(plan: Plan, policy: RetryPolicy, kind: type[C]) -> C:
    """Connect a client of class `kind` as planned, with retries according to `policy`."""
    return with_retries(partial(_connect, plan, kind), policy)


def _connect(plan: Plan, kind: type[C], failed: int, target: str | None) -> C:
    talk, jid, begin_ns = _log_in(
        plan.at(target, failed), failed, lambda talk, features: _bind(plan, talk, features)
    )
    meters.attempt_succeeded(begin_ns)
    session = Session(talk.stream, jid, plan.inbox_size, plan.interrupts)
    session.resumable = plan.management == RESUMABLE
    session.begin(talk.early)
    session.wait_resumed()
    return kind(session, plan.me.user_id, partial(resume, plan) if session.resumable else None)


def _bind(plan: Plan, talk: Negotiation, features: Features) -> str:
    """Bind a resource, and enable stream management if wanted; return the full JID."""
    jid = talk.bind(features, plan.resource)
    if plan.management != UNMANAGED:
        resuming.begin(talk, features, plan.management == RESUMABLE)
    return jid


def resume(plan: Plan, session: Session, timeout: float) -> bool:
    """Do `resume_by` for `timeout` seconds with the default policy."""
    until_ns = monotonic_ns() + limit_ns(timeout)
    return resume_by(plan, session, default_policy(sys.maxsize, until_ns))


def resume_by(plan: Plan, session: Session, policy: RetryPolicy) -> bool:
    """Continue a lost session: resume it, or else bind a new one.

    Args:
        plan: The plan with which it was connected.
        session: The session.
        policy: Which attempts to make, and until when.

    Returns:
        Whether its stream was resumed.

    Raises:
        XmppError: As `connect`.
    """
    begin_ns = monotonic_ns()
    management = cast("ManagedStream", session.stream).management
    assert management is not None
    over_tls = session.stream.over_tls

    def settle(talk: Negotiation, features: Features) -> str:
        if resuming.resume(talk, features, management):
            return session.jid
        return _bind(plan, talk, features)

    def attempt(failed: int, target: str | None) -> bool:
        if not failed and target is None and _is_usable(plan, management.location, over_tls):
            first_ns = monotonic_ns()
            try:
                return attempt_at(management.location, 0)
            except errors.XmppError as error:
                if isinstance(error, errors.SeeOtherHost) or worth_retrying(error):
                    raise
                # The original server may still accept it.
                meters.attempt_failed(error, first_ns)
        return attempt_at(target, failed)

    def attempt_at(target: str | None, failed: int) -> bool:
        left = max((policy.until_ns - monotonic_ns()) / S_NS, 0.001)
        short = plan._replace(timeout=min(plan.timeout, left))
        handled = management.handled
        try:
            talk, jid, connect_ns = _log_in(short.at(target, failed, over_tls), failed, settle)
        except BaseException:
            # What came after <resumed/> was dropped with this attempt: the server must resend it.
            management.handled = handled
            raise
        resumed = resuming.stream_of(talk).management is management
        if resumed:
            meters.sessions_resumed.inc()
            meters.resumption.record_ns(monotonic_ns() - begin_ns)
        else:
            meters.attempt_succeeded(connect_ns)
            session.stream.give_up()
        session.continue_on(talk.stream, jid, talk.early, resumed)
        return resumed

    try:
        resumed = with_retries(attempt, policy)
    except errors.XmppError:
        pause.wait_resumed()
        raise
    pause.wait_resumed()  # not in `finally`: a killed user must not wait here
    return resumed


def _is_usable(plan: Plan, location: str, over_tls: bool) -> bool:
    """Return whether to use the location for resumption: it is a hint, so TLS takes precedence."""
    if not can_follow(location, 0):
        return False
    try:
        plan.at(location, 0, over_tls)
    except errors.SeeOtherHost:
        return False
    return True


def _log_in(plan: Plan, attempt: int, settle: Settle[T]) -> tuple[Negotiation, T, int]:
    """Connect and log in, and then call `settle`.

    Returns:
        The login, the result of `settle`, and when connecting began: the embedded server may have
        had to start before that.
    """
    me = plan.me
    server = server_addresses.server_for(me.user_id, attempt, me.domain, plan.server)
    who = f"{me.bare_jid} at {server}"
    begin_ns = monotonic_ns()
    kind = Stream if plan.management == UNMANAGED else ManagedStream
    deadline_ns = begin_ns + limit_ns(plan.timeout)
    connection = reaching.connection_to(server, plan, who, deadline_ns)
    talk = Negotiation(connection, who, deadline_ns, kind)
    try:
        features = talk.open(me.domain)
        mode = plan.tls if server.scheme == TCP and plan.tls != options.DIRECT else options.OFF
        if talk.secure(features, mode, lambda: securing.terms_for(me.user_id, me.domain, server)):
            features = talk.open(me.domain)
        if plan.register and me.username:
            talk.register(features, me)
        talk.authenticate(features, plan)
        settled = settle(talk, talk.open(me.domain))
        talk.check_open()
        return talk, settled, begin_ns
    except BaseException as error:
        if isinstance(error, errors.BadStreamError):
            talk.stream.fail(error)  # sends the server the reason
        talk.stream.abort()
        raise
