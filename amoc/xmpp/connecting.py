"""`connect`: from a user's number to a client, in one attempt or a few.

An attempt is a TCP connection and a login under one deadline. What may go better the next time is
tried again, after a pause that doubles: a server that is refused or away, an overloaded one. What
will not (a wrong password, TLS demanded, no descriptors left) is raised at once.
"""

from __future__ import annotations

import errno
import os
import random
import resource as limits
from time import monotonic_ns
from typing import Any, Final, NamedTuple

from greenlet import GreenletExit

from amoc.base import pause
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.base.waiting import Waiter, wait
from amoc.xmpp import causes, errors, identity, meters, options, securing, server_addresses
from amoc.xmpp.client import Client
from amoc.xmpp.identity import Identity
from amoc.xmpp.login import Negotiation, Terms
from amoc.xmpp.server_url import BOSH, TCP, TCP_TLS, WEBSOCKET, Server, parse_server
from amoc.xmpp.session import Session
from amoc.xmpp.stanza import PARSERS
from amoc.xmpp.transports.connection import Connection, Transport
from amoc.xmpp.transports.tcp import Socket, TcpTransport, connected_socket
from amoc.xmpp.transports.websocket import open_websocket
from amoc.xmpp.wire.framing import Framer
from amoc.xmpp.wire.mechanisms import MECHANISMS
from amoc.xmpp.wire.message_framing import MessageFramer

FDS_PER_USER: Final = 1
"""File descriptors that each connected user holds."""
MAX_PAUSE_S: Final = 60.0
HTTP_OVERLOADED: Final = 429
"""The lowest status that may go away by itself: too many requests, and errors of the server."""

_PASSING_STREAM_ERRORS: Final = frozenset(
    (
        "connection-timeout",
        "internal-server-error",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "system-shutdown",
        "undefined-condition",
    )
)


_LASTING: Final = (
    errors.OutOfFilesError,
    errors.TlsRequiredError,
    errors.TlsError,
    errors.BadStreamError,
)


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


def worth_retrying(error: BaseException) -> bool:
    """Whether another attempt may go better."""
    if isinstance(error, _LASTING):
        return False
    if isinstance(error, errors.UpgradeError):
        return error.status is not None and error.status >= HTTP_OVERLOADED
    if isinstance(error, errors.ConnectError | errors.Disconnected):
        return True
    if isinstance(error, errors.StreamError):
        return error.condition in _PASSING_STREAM_ERRORS
    if isinstance(error, errors.SaslError):
        return error.condition == "temporary-auth-failure"
    return isinstance(error, errors.IqError) and error.kind == "wait"


def pause_before(attempt: int, first: float, share: float) -> float:
    """How long to pause before attempt number `attempt` (from 1), in seconds.

    Args:
        attempt: The number; there is no pause before the first, which is 0.
        first: The pause before attempt 1; it doubles each time.
        share: From 0 to 1; spreads users that failed together over the second half of the pause.
    """
    return float(min(first * 2 ** min(attempt - 1, 30), MAX_PAUSE_S) * (0.5 + share / 2))


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

    Raises:
        ConnectError: No connection, or no session in time (`ConnectTimeout`).
        SaslError: The login was refused.
        IqError: The registration or the resource was refused.
        StreamError: The server ended the stream, or broke the protocol.
        Disconnected: The connection broke.
        ScenarioError: No user is given or calling, or a value is invalid.
    """
    me = identity.identity(user_id, username, password, domain)
    mechanisms = (mechanism,) if mechanism else options.names(options.xmpp_mechanisms.get())
    if mechanism and mechanism not in MECHANISMS:
        raise ScenarioError(f"mechanism must be one of {', '.join(MECHANISMS)}, got {mechanism!r}")
    if server is not None and via is not None:
        raise ScenarioError(f"connect takes server or via, not both; got {server!r} and {via!r}")
    if tls is not None and tls not in options.TLS_MODES:
        raise ScenarioError(f"tls must be one of {', '.join(options.TLS_MODES)}, got {tls!r}")
    plan = Plan(
        me=me._replace(username="") if mechanisms == ("ANONYMOUS",) else me,
        terms=Terms(
            mechanisms=mechanisms,
            resource=options.xmpp_resource.get() if resource is None else resource,
            max_iterations=options.xmpp_scram_max_iterations.get(),
            register=options.xmpp_register.get() if register is None else register,
        ),
        server=server if via is None else via,
        tls=options.xmpp_tls.get() if tls is None else tls,
        timeout=options.xmpp_connect_timeout.get() if timeout is None else timeout,
        inbox_size=options.xmpp_inbox_size.get() if inbox_size is None else inbox_size,
        max_stanza_bytes=options.xmpp_max_stanza_bytes.get(),
        interrupts=interrupts,
    )
    most = options.xmpp_connect_attempts.get() if attempts is None else attempts
    meters.connecting.inc()
    try:
        return _connect(plan, most)
    except GreenletExit:  # the user is asked to stop, or killed
        meters.connections_cancelled.inc()
        raise
    finally:
        meters.connecting.dec()


def _connect(plan: Plan, most: int) -> Client:
    """Make up to `most` attempts, each of which may be sent on to other hosts."""
    failed, hops = 0, 0
    target: str | None = None
    while True:
        try:
            return _attempt(plan if target is None else plan._replace(server=target), failed)
        except errors.SeeOtherHost as error:
            target = error.target
            if not can_follow(target, hops):
                _count_failure(error, gives_up=True)
                raise
            meters.redirects.inc()
            hops += 1
            continue
        except errors.XmppError as error:
            failed += 1
            gives_up = failed >= most or not worth_retrying(error)
            _count_failure(error, gives_up)
            if gives_up:
                raise
        target = None
        wait(Waiter(), pause_before(failed, options.xmpp_connect_pause.get(), random.random()))


def _count_failure(error: errors.XmppError, gives_up: bool) -> None:
    meters.attempt_failed(error)
    if gives_up:
        meters.connections_given_up.inc()


def can_follow(target: str, hops: int) -> bool:
    """Whether a user goes to the other host that a server names, after `hops` others."""
    try:
        parse_server(target)
    except ValueError:
        return False
    return hops < options.xmpp_max_redirects.get()


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


def _attempt(plan: Plan, attempt: int) -> Client:
    me = plan.me
    server = server_addresses.server_for(me.user_id, attempt, me.domain, plan.server)
    who = f"{me.bare_jid} at {server}"
    begin_ns = monotonic_ns()
    deadline_ns = begin_ns + int(min(plan.timeout, 1e9) * S_NS)
    talk = Negotiation(_connection(server, plan, who, deadline_ns), who, deadline_ns)
    try:
        features = talk.open(me.domain)
        mode = plan.tls if server.scheme == TCP and plan.tls != options.DIRECT else options.OFF
        if talk.secure(features, mode, lambda: securing.terms_for(me.user_id, me.domain, server)):
            features = talk.open(me.domain)
        if plan.terms.register and me.username:
            talk.register(features, me)
        talk.authenticate(features, me, plan.terms)
        jid = talk.bind(talk.open(me.domain), plan.terms.resource)
    except BaseException as error:
        if isinstance(error, errors.BadStreamError):
            talk.stream.fail(error)  # tells the server what it did wrong
        talk.stream.abort()
        raise
    meters.connection.record_ns(monotonic_ns() - begin_ns)
    meters.connections.inc()
    session = Session(talk.stream, jid, plan.inbox_size, plan.interrupts)
    session.begin(talk.early)
    pause.wait_resumed()
    return Client(session, me.user_id)


def _connection(server: Server, plan: Plan, who: str, deadline_ns: int) -> Connection:
    """A connection to `server`, by the transport that its scheme names."""
    scheme = server.scheme
    if scheme == TCP and plan.tls == options.DIRECT:
        scheme = TCP_TLS
    elif scheme in (WEBSOCKET, BOSH) and plan.tls in (options.STARTTLS, options.DIRECT):
        raise ScenarioError(f"tls is {plan.tls}, so {server} must begin with {scheme}s://")
    sock = connected_to(server, server_addresses.source_for(plan.me.user_id), who, deadline_ns)
    below: Transport = TcpTransport(sock)
    if scheme == TCP_TLS:
        try:
            terms = securing.terms_for(plan.me.user_id, plan.me.domain, server)
        except BaseException:
            below.close()
            raise
        below = securing.secured(below, terms, who, deadline_ns)
    if scheme == WEBSOCKET:
        limit = plan.max_stanza_bytes
        transport = open_websocket(below, server, who, limit, deadline_ns)
        return Connection(transport, MessageFramer(PARSERS, limit))
    return Connection(below, Framer(PARSERS, plan.max_stanza_bytes))


def connected_to(server: Server, source: str | None, who: str, deadline_ns: int) -> Socket:
    """A socket that is connected to `server`, from the local address `source` if given.

    Raises:
        ConnectError: It cannot be.
    """
    try:
        found = server_addresses.resolve(server, (deadline_ns - monotonic_ns()) / S_NS)
    except OSError as error:
        raise errors.ConnectError(
            f"{who}: the name {server.host} cannot be resolved: {error.strerror or error}",
            causes.NAME_UNKNOWN,
        ) from None
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    for family, address in found:
        try:
            left = (deadline_ns - monotonic_ns()) / S_NS
            return connected_socket(family, address, source, left)
        except OSError as error:
            failure = error.with_traceback(None)  # which refers to this very function
    raise connect_error(failure, who, source)


def connect_error(error: OSError, who: str, source: str | None) -> errors.ConnectError:
    """The error of a user that could not connect, from the local address `source` if given."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return errors.ConnectTimeout(
            f"{who}: could not connect within xmpp_connect_timeout", causes.TIMEOUT_TCP
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
        whose = (
            "this process may have"
            if error.errno == errno.EMFILE
            else "this host is out of files; a process may have"
        )
        return errors.OutOfFilesError(
            f"{who}: each user needs a file descriptor, but {whose} only {soft}; raise that with"
            f" 'ulimit -n' ({hard} at the most) or LimitNOFILE= in systemd, or use more workers"
        )
    hint = ""
    if error.errno == errno.EADDRNOTAVAIL:
        hint = (
            f"; local ports from {source} may be used up"
            if source
            else "; local ports may be used up"
        ) + ", add addresses to xmpp_source_addresses"
    reason = os.strerror(error.errno) if error.errno else str(error)
    cause = causes.TIMEOUT_TCP if error.errno == errno.ETIMEDOUT else causes.of_loss(error)
    return errors.ConnectError(f"{who}: cannot connect: {reason}{hint}", cause)
