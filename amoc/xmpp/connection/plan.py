"""What a user connects with: the arguments of `connect`, completed from the settings."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from amoc.base.errors import ScenarioError
from amoc.base.text import names_in
from amoc.xmpp import errors, options
from amoc.xmpp.connection import identity, server_addresses
from amoc.xmpp.connection.identity import Identity
from amoc.xmpp.connection.server_url import TCP, parse_server
from amoc.xmpp.options import RESUMABLE
from amoc.xmpp.wire.mechanisms import MECHANISMS


class Plan(NamedTuple):
    """The arguments of `connect`, completed from the settings."""

    me: Identity
    mechanisms: tuple[str, ...]
    """The first one that the server offers is used."""
    max_iterations: int
    """Maximum SCRAM iterations that a server may request."""
    register: bool
    """Whether to register the account first; it is not an error if it exists already."""
    resource: str
    """Empty to let the server choose."""
    management: str
    """Stream management: ``off``, ``acks`` or ``resume``."""
    server: str | None
    tls: str
    """One of `options.TLS_MODES`."""
    timeout: float
    """Of each attempt and each connection, in seconds."""
    attempts: int
    """Maximum number of attempts."""
    inbox_size: int
    max_stanza_bytes: int
    interrupts: bool

    def at(self, target: str | None, attempt: int, over_tls: bool = False) -> Plan:
        """Return the plan for another server, if one is given, and never less secure than before.

        Args:
            target: The other server, as a server named it; see `can_follow`.
            attempt: How many attempts have failed: determines the server that was tried.
            over_tls: Whether the server that named it was reached over TLS, requested or not.

        Raises:
            SeeOtherHost: TLS is required, and the target cannot be reached with it.
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


class ConnectOptions(TypedDict, total=False):
    """The keyword arguments of `connect`."""

    username: str | None
    password: str | None
    domain: str | None
    server: str | None
    via: str | None
    tls: str | None
    resource: str | None
    mechanism: str | None
    register: bool | None
    timeout: float | None
    attempts: int | None
    inbox_size: int | None
    interrupts: bool
    resumable: bool | None


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
    attempts: int | None = None,
    inbox_size: int | None = None,
    interrupts: bool = True,
    resumable: bool | None = None,
) -> Plan:
    """Return the arguments of `connect`, completed from the settings.

    Raises:
        ScenarioError: No user is given and none is calling, or a value is invalid.
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
        mechanisms=mechanisms,
        max_iterations=options.xmpp_scram_max_iterations.get(),
        register=options.xmpp_register.get() if register is None else register,
        resource=options.xmpp_resource.get() if resource is None else resource,
        management=_management(resumable),
        server=server if via is None else via,
        tls=options.xmpp_tls.get() if tls is None else tls,
        timeout=options.xmpp_connect_timeout.get() if timeout is None else timeout,
        attempts=options.xmpp_connect_attempts.get() if attempts is None else attempts,
        inbox_size=options.xmpp_inbox_size.get() if inbox_size is None else inbox_size,
        max_stanza_bytes=options.xmpp_max_stanza_bytes.get(),
        interrupts=interrupts,
    )


def _management(resumable: bool | None) -> str:
    if resumable:
        return RESUMABLE
    set_: str = options.xmpp_stream_management.get()
    return "acks" if resumable is False and set_ == RESUMABLE else set_
