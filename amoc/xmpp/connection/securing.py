"""TLS for one connection: its terms from the settings, and the handshake."""

from __future__ import annotations

from time import monotonic_ns

from amoc.base import tls_context
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError, value_error_as
from amoc.base.tls_context import TlsOptions, TlsTerms
from amoc.xmpp import options
from amoc.xmpp.connection import server_addresses, tls_errors
from amoc.xmpp.connection.identity import filled
from amoc.xmpp.connection.server_url import Server
from amoc.xmpp.transports.connection import Transport
from amoc.xmpp.transports.tls import TlsTransport


def terms_for(user_id: int | None, name: str, server: Server) -> TlsTerms:
    """Return the TLS terms of a connection, from the settings.

    Args:
        user_id: The user's number.
        name: The name to require in the certificate, unless xmpp_tls_name is set.
        server: The server's address; TLS sessions are resumed with the same server only.

    Raises:
        ScenarioError: A setting cannot be applied.
    """
    wanted = anonymous()
    wanted = wanted._replace(
        ca=wanted.ca or server_addresses.certificate_of(server),
        certificate=filled(options.xmpp_tls_certificate.get(), user_id),
        key=filled(options.xmpp_tls_key.get(), user_id),
    )
    if wanted.key and not wanted.certificate:
        raise ScenarioError(
            f"xmpp_tls_key requires xmpp_tls_certificate, got only xmpp_tls_key={wanted.key!r}"
        )
    with value_error_as(ScenarioError, "xmpp_tls_certificate "):
        context, sessions = tls_context.shared(wanted)
    server_name = options.xmpp_tls_name.get() or name
    if not options.xmpp_tls_resumption.get():
        return TlsTerms(context, server_name)
    return TlsTerms(context, server_name, sessions, (server, server_name))


def anonymous() -> TlsOptions:
    """Return the TLS options of a connection without a certificate, from the settings."""
    return TlsOptions(
        verify=options.xmpp_tls_verify.get(),
        ca=options.xmpp_tls_ca.get(),
        minimum_version=options.xmpp_tls_minimum_version.get(),
        ciphers=options.xmpp_tls_ciphers.get(),
    )


def secured(below: Transport, terms: TlsTerms, who: str, deadline_ns: int) -> TlsTransport:
    """Return TLS over `below`, which is closed if the handshake fails.

    Args:
        below: A connection whose server expects a handshake.
        terms: The TLS terms.
        who: User and server, for messages.
        deadline_ns: When to give up, on the monotonic clock.

    Raises:
        ConnectError: The handshake failed; see `tls_errors.refused`.
    """
    try:
        transport = TlsTransport(below, terms)
    except (ValueError, UnicodeError):
        below.close()
        raise ScenarioError(
            f"{who}: the TLS server name must be a host name, got {terms.server_name!r}; set"
            " xmpp_tls_name"
        ) from None
    except BaseException:
        below.close()
        raise
    try:
        transport.handshake(max((deadline_ns - monotonic_ns()) / S_NS, 0.0))
    except OSError as error:
        transport.close()
        raise tls_errors.refused(error, who, terms.server_name) from None
    except BaseException:
        transport.close()
        raise
    return transport
