"""Resources shared by all slixmpp clients of a process: SSL context, SCRAM, and a base class.

By default slixmpp takes 35 to 75 ms of CPU and 0.9 MB for a separate SSL context per client, and 15
to 30 ms for SCRAM in pure Python.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from slixmpp import ClientXMPP
from slixmpp.util.sasl import client as sasl
from slixmpp.util.sasl.mechanisms import SCRAM

from amoc.xmpp import options
from amoc.xmpp.slixmpp import asyncio_greenlet
from amoc.xmpp.wire import scram_keys

UNENCRYPTED: Final = ("unencrypted_plain", "unencrypted_scram")


class _FastScram(SCRAM):
    """slixmpp's SCRAM, with the slow step done in C and cached."""

    def Hi(self, text: str | bytes, salt: bytes, iterations: int) -> bytes:  # noqa: N802 - slixmpp's
        """Return SaltedPassword of RFC 5802."""
        most = options.xmpp_scram_max_iterations.get()
        if not 1 <= iterations <= most:
            raise sasl.SASLCancelled(  # type: ignore[no-untyped-call]
                f"the iteration count must be from 1 to {most} (xmpp_scram_max_iterations),"
                f" got {iterations}"
            )
        password = text if isinstance(text, str) else text.decode()
        hash_name: str = hashlib.new(self.hash_name.replace("-", "")).name
        return scram_keys.salted_password(hash_name, password, salt, iterations)


@cache
def use_fast_scram() -> None:
    """Make slixmpp use amoc's SCRAM in this process."""
    for name, mechanism in sasl.MECHANISMS.items():
        if mechanism is SCRAM:
            sasl.MECHANISMS[name] = _FastScram


@cache
def _no_context() -> ssl.SSLContext:
    """Return a placeholder until `use_settings`: without certificates, it costs almost nothing."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def use_settings(
    client: ClientXMPP, tls: str, context: ssl.SSLContext, mechanisms: tuple[str, ...]
) -> None:
    """Configure `client` to connect and log in as amoc's own clients do.

    Args:
        client: The client; an SSL context chosen by its class is kept.
        tls: A value of xmpp_tls.
        context: The shared SSL context.
        mechanisms: SASL mechanisms that it may use.
    """
    if client.ssl_context is _no_context():
        client.ssl_context = context
    client.enable_direct_tls = tls == options.DIRECT
    client.enable_starttls = tls in (options.STARTTLS, options.AUTO)
    client.enable_plaintext = tls in (options.OFF, options.AUTO)
    plugin = client.plugin["feature_mechanisms"]
    plugin.config.update(dict.fromkeys(UNENCRYPTED, client.enable_plaintext))
    plugin.use_mechs = set(mechanisms)


class Watched(ClientXMPP):
    """Class inserted between a scenario's class and slixmpp's; supplies the shared resources.

    Attributes:
        on_raised: Called with what a handler has raised.
    """

    on_raised: Callable[[BaseException], object] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:  # Any: of a scenario's class
        named.setdefault("ssl_context", _no_context())
        named.setdefault("loop", asyncio_greenlet.running().loop)
        super().__init__(*arguments, **named)

    def exception(self, exception: BaseException) -> None:
        """Handle an exception raised by a handler."""
        if self.on_raised is None:
            super().exception(exception)  # type: ignore[no-untyped-call]
        else:
            self.on_raised(exception)


@cache
def watched(kind: type[ClientXMPP]) -> type[Watched]:
    """Return `kind` with `Watched` inserted as the next class in its method resolution order."""
    bases = (Watched,) if kind is ClientXMPP else (kind, Watched)
    return type(kind.__name__, bases, {"__module__": kind.__module__})
