"""`connect`: from a user's number to a client, in one attempt or a few.

An attempt is a TCP connection and a login under one deadline. What may go better the next time is
tried again, after a pause that doubles: a server that is refused or away, an overloaded one. What
will not (a wrong password, TLS demanded, no descriptors left) is raised at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import Any, NamedTuple, TypeVar, cast

from amoc.base import pause
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.base.text import names_in
from amoc.xmpp import errors, meters, options
from amoc.xmpp.client import Client
from amoc.xmpp.connection import identity, reaching, resuming, securing, server_addresses
from amoc.xmpp.connection.identity import Identity
from amoc.xmpp.connection.login import Negotiation, Terms
from amoc.xmpp.connection.retrying import Patience, can_follow, persist, usual, worth_retrying
from amoc.xmpp.connection.server_url import TCP, parse_server
from amoc.xmpp.managed_stream import ManagedStream
from amoc.xmpp.options import RESUMABLE, UNMANAGED
from amoc.xmpp.session import Session
from amoc.xmpp.stream import Stream
from amoc.xmpp.wire.mechanisms import MECHANISMS
from amoc.xmpp.wire.offer import Features

T = TypeVar("T")
C = TypeVar("C", bound=Client)


class Plan(NamedTuple):
    """What `connect` was asked for, with the settings filled in."""

    me: Identity
    terms: Terms
    server: str | None
    tls: str
    timeout: float
    inbox_size: int
    max_stanza_bytes: int
    interrupts: bool

    def at(self, target: str | None, attempt: int, over_tls: bool = False) -> Plan:
        """The same at another server, if one is named, and no less secure than was asked for.

        Args:
            target: The other server, as a server wrote it; see `can_follow`.
            attempt: How many have failed: it says which server was asked for.
            over_tls: Whether the server that named it is spoken to over TLS, asked for or not.

        Raises:
            SeeOtherHost: TLS is wanted, and the target cannot be reached so.
        """
        if target is None:
            return self
        asked = server_addresses.server_for(self.me.user_id, attempt, self.me.domain, self.server)
        if asked.secure and "://" not in target:
            return self._replace(server=f"xmpps://{target}")
        other = parse_server(target)
        demanded = self.tls in (options.STARTTLS, options.DIRECT)
        if other.secure or not (asked.secure or demanded or over_tls):
            return self._replace(server=target)
        if other.transport != TCP:
            raise errors.SeeOtherHost(f"{self.me.bare_jid} at {asked}", target, insecure=True)
        return self._replace(server=target, tls=self.tls if demanded else options.STARTTLS)


Settle = Callable[[Negotiation, Features], T]
"""What is done after the login: bind a resource, or resume a stream."""


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

    What is None is taken from the settings that begin with ``xmpp_``.

    Args:
        user_id: The user's number, from which the default name and password are made; None for the
            calling user's.
        username: The local part of its JID.
        password: Its password.
        domain: The domain of its JID.
        server: Where to connect to, whatever the domain: ``host:port``, or an address that names
            the transport, as in `via`.
        via: The same for an address with a transport, such as ``ws://host:port/path`` (WebSocket)
            or ``http://host:port/path`` (BOSH).
        tls: Over TCP, ``starttls``, ``direct``, ``off``, or ``auto``: STARTTLS if it is offered.
        resource: The resource to ask for; empty lets the server choose.
        mechanism: The one SASL mechanism to use, ``ANONYMOUS`` say.
        register: Make the account first; that it exists already is no error.
        timeout: How long each attempt may take, in seconds.
        attempts: How often to try.
        inbox_size: How many received stanzas are kept until they are looked at; 0 keeps none.
        interrupts: Whether the calling greenlet is interrupted by the error when the stream ends
            while it waits for something else; otherwise the next call to the client raises it.
        resumable: Whether the session can be resumed after its connection was lost (`Client.resume`
            and XEP-0198); None for what xmpp_stream_management says.

    Raises:
        ConnectError: No connection, or no session in time (`ConnectTimeout`).
        SaslError: The login was refused.
        IqError: The registration or the resource was refused.
        StreamError: The server ended the stream, or broke the protocol.
        Disconnected: The connection broke.
        ScenarioError: No user is given or calling, or a value is invalid.
    """
    given = locals()
    plan = plan_of(**{name: value for name, value in given.items() if name != "attempts"})
    most = options.xmpp_connect_attempts.get() if attempts is None else attempts
    return connect_by(plan, usual(most), Client)


def _management(resumable: bool | None) -> str:
    if resumable:
        return RESUMABLE
    set_: str = options.xmpp_stream_management.get()
    return "acks" if resumable is False and set_ == RESUMABLE else set_


# Any: they are those of `connect`, by whatever name.
def register(user_id: int | None = None, **options_of_connect: Any) -> None:
    """Make a user's account (XEP-0077) and see that it can log in.

    Args:
        user_id: The user's number; None for the calling user's.
        options_of_connect: As in `connect`.

    Raises:
        XmppError: As `connect`.
    """
    connect(user_id, **{**options_of_connect, "register": True}).close()


def plan_of(
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
    inbox_size: int | None = None,
    interrupts: bool = True,
    resumable: bool | None = None,
) -> Plan:
    """The arguments of `connect`, with the settings filled in.

    Raises:
        ScenarioError: No user is given or calling, or a value is invalid.
    """
    me = identity.identity(user_id, username, password, domain)
    mechanisms = (mechanism,) if mechanism else names_in(options.xmpp_mechanisms.get())
    if mechanism and mechanism not in MECHANISMS:
        raise ScenarioError(f"mechanism must be one of {', '.join(MECHANISMS)}, got {mechanism!r}")
    if server is not None and via is not None:
        raise ScenarioError(f"connect takes server or via, not both; got {server!r} and {via!r}")
    if tls is not None and tls not in options.TLS_MODES:
        raise ScenarioError(f"tls must be one of {', '.join(options.TLS_MODES)}, got {tls!r}")
    return Plan(
        me=me._replace(username="") if mechanisms == ("ANONYMOUS",) else me,
        terms=Terms(
            mechanisms=mechanisms,
            resource=options.xmpp_resource.get() if resource is None else resource,
            max_iterations=options.xmpp_scram_max_iterations.get(),
            register=options.xmpp_register.get() if register is None else register,
            management=_management(resumable),
        ),
        server=server if via is None else via,
        tls=options.xmpp_tls.get() if tls is None else tls,
        timeout=options.xmpp_connect_timeout.get() if timeout is None else timeout,
        inbox_size=options.xmpp_inbox_size.get() if inbox_size is None else inbox_size,
        max_stanza_bytes=options.xmpp_max_stanza_bytes.get(),
        interrupts=interrupts,
    )


def connect_by(plan: Plan, patience: Patience, kind: type[C]) -> C:
    """A client of that kind, connected as planned, for as long as there is patience."""
    return persist(partial(_connect, plan, kind), patience)


def _connect(plan: Plan, kind: type[C], failed: int, target: str | None) -> C:
    talk, jid, begin_ns = _log_in(
        plan.at(target, failed), failed, lambda talk, features: _bind(plan, talk, features)
    )
    meters.attempt_succeeded(begin_ns)
    session = Session(talk.stream, jid, plan.inbox_size, plan.interrupts)
    session.resumable = plan.terms.management == RESUMABLE
    session.begin(talk.early)
    session.wait_resumed()
    return kind(session, plan.me.user_id, partial(resume, plan) if session.resumable else None)


def _bind(plan: Plan, talk: Negotiation, features: Features) -> str:
    """Bind a resource, and let the stream be managed if that is wanted; the full JID."""
    jid = talk.bind(features, plan.terms.resource)
    if plan.terms.management != UNMANAGED:
        resuming.begin(talk, features, plan.terms.management == RESUMABLE)
    return jid


def resume(plan: Plan, session: Session, timeout: float) -> bool:
    """As `resume_by`, for `timeout` seconds with the usual patience."""
    until_ns = monotonic_ns() + int(min(timeout, 1e9) * S_NS)
    return resume_by(plan, session, usual(sys.maxsize, until_ns))


def resume_by(plan: Plan, session: Session, patience: Patience) -> bool:
    """Let a session that was lost go on: resumed, or else bound anew.

    Args:
        plan: By which it was made.
        session: The session.
        patience: How long to try.

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
                # But the server that was asked for may do better.
                meters.attempt_failed(error, first_ns)
        return attempt_at(target, failed)

    def attempt_at(target: str | None, failed: int) -> bool:
        left = max((patience.until_ns - monotonic_ns()) / S_NS, 0.001)
        short = plan._replace(timeout=min(plan.timeout, left))
        handled = management.handled
        try:
            talk, jid, connect_ns = _log_in(short.at(target, failed, over_tls), failed, settle)
        except BaseException:
            # What came after <resumed/> is gone with the attempt: the server has to send it again.
            management.handled = handled
            raise
        resumed = resuming.stream_of(talk).management is management
        if resumed:
            meters.sessions_resumed.inc()
            meters.resumption.record_ns(monotonic_ns() - begin_ns)
        else:
            meters.attempt_succeeded(connect_ns)
            session.stream.give_up()
        session.go_on(talk.stream, jid, talk.early, resumed)
        return resumed

    try:
        resumed = persist(attempt, patience)
    except errors.XmppError:
        pause.wait_resumed()
        raise
    pause.wait_resumed()  # not when the user is killed: then it ends in the pause
    return resumed


def _is_usable(plan: Plan, location: str, over_tls: bool) -> bool:
    """Whether to go where a session may be resumed: it is a hint, which TLS outweighs."""
    if not can_follow(location, 0):
        return False
    try:
        plan.at(location, 0, over_tls)
    except errors.SeeOtherHost:
        return False
    return True


def _log_in(plan: Plan, attempt: int, settle: Settle[T]) -> tuple[Negotiation, T, int]:
    """Connect and log in, and do `settle` after that.

    Returns:
        The login, what `settle` returned, and when it began to connect: the embedded server may
        have had to start before.
    """
    me = plan.me
    server = server_addresses.server_for(me.user_id, attempt, me.domain, plan.server)
    who = f"{me.bare_jid} at {server}"
    begin_ns = monotonic_ns()
    kind = Stream if plan.terms.management == UNMANAGED else ManagedStream
    deadline_ns = begin_ns + int(min(plan.timeout, 1e9) * S_NS)
    wanted = reaching.Terms(me.user_id, me.domain, plan.tls, plan.timeout, plan.max_stanza_bytes)
    talk = Negotiation(
        reaching.connection_to(server, wanted, who, deadline_ns), who, deadline_ns, kind
    )
    try:
        features = talk.open(me.domain)
        mode = plan.tls if server.scheme == TCP and plan.tls != options.DIRECT else options.OFF
        if talk.secure(features, mode, lambda: securing.terms_for(me.user_id, me.domain, server)):
            features = talk.open(me.domain)
        if plan.terms.register and me.username:
            talk.register(features, me)
        talk.authenticate(features, me, plan.terms)
        settled = settle(talk, talk.open(me.domain))
        talk.check_open()
        return talk, settled, begin_ns
    except BaseException as error:
        if isinstance(error, errors.BadStreamError):
            talk.stream.fail(error)  # tells the server what it did wrong
        talk.stream.abort()
        raise
