"""Pure. The supported SASL mechanisms by name; PLAIN and ANONYMOUS at both ends."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from amoc.xmpp.wire import sasl
from amoc.xmpp.wire.channel_binding import NO_BINDING, Binding
from amoc.xmpp.wire.scram import HASHES, PLUS, ScramClient, ScramServer, new_nonce

SERVER_MECHANISMS: Final = (*HASHES, "PLAIN", "ANONYMOUS")
"""Mechanisms of amoc's server, strongest first."""
MECHANISMS: Final = (*(name + PLUS for name in HASHES), *SERVER_MECHANISMS, "EXTERNAL")
"""Mechanisms of amoc's client; the last two are not for users with a password."""
PASSWORD_MECHANISMS: Final = MECHANISMS[:-2]
MAX_SCRAM_ITERATIONS: Final = 100_000


class PlainClient(sasl.Client):
    """PLAIN (RFC 4616): name and password in clear text."""

    name = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        self._first = f"\0{sasl.prepared(username)}\0{sasl.prepared(password)}".encode()

    def first(self) -> bytes:
        """Return name and password."""
        return self._first


class AnonymousClient(sasl.Client):
    """ANONYMOUS (RFC 4505): the server invents a name; no trace information is sent."""

    name = "ANONYMOUS"


class ExternalClient(sasl.Client):
    """EXTERNAL (RFC 4422 appendix A, XEP-0178): the user is named by its certificate."""

    name = "EXTERNAL"

    def first(self) -> bytes:
        """Return an empty response, which requests no other name."""
        return b""


class PlainServer:
    """PLAIN (RFC 4616): one message, `authzid NUL authcid NUL password`."""

    def __init__(self, accounts: sasl.Accounts, domain: str) -> None:
        self._accounts = accounts
        self._domain = domain

    def step(self, data: bytes | None) -> sasl.Challenge | sasl.Success:
        """Check name and password."""
        if data is None:
            return sasl.Challenge(b"")
        parts = sasl.as_text(data, "malformed-request").split("\0")
        if len(parts) != 3 or not parts[1]:
            raise sasl.Refused("malformed-request")
        authzid, name, password = parts
        local = self._accounts.prepare(name)
        if local is None or not self._accounts.check(local, password):
            raise sasl.Refused("not-authorized")
        sasl.check_authzid(authzid, local, self._domain)
        return sasl.Success(local, None)


class AnonymousServer:
    """ANONYMOUS (RFC 4505): each client gets a different name (XEP-0175)."""

    def step(self, data: bytes | None) -> sasl.Challenge | sasl.Success:  # noqa: ARG002 - ignored
        """Invent a name."""
        return sasl.Success(f"anonymous-{secrets.token_hex(8)}", None)


def client(
    name: str,
    username: str,
    password: str,
    max_iterations: int = MAX_SCRAM_ITERATIONS,
    nonce: Callable[[], str] = new_nonce,
    binding: Binding = NO_BINDING,
) -> sasl.Client:
    """Return the client's end of one login.

    Args:
        name: The mechanism.
        username: The local part of the JID.
        password: As typed.
        max_iterations: Limit beyond which a server is refused: it would stall the whole worker.
        nonce: Returns printable ASCII without commas, different for each login.
        binding: Channel binding for SCRAM.

    Raises:
        Refused: The name or password cannot be sent, or there is no such mechanism.
    """
    if name == "PLAIN":
        return PlainClient(username, password)
    if name == "ANONYMOUS":
        return AnonymousClient()
    if name == "EXTERNAL":
        return ExternalClient()
    if name not in MECHANISMS:
        raise sasl.Refused("invalid-mechanism", f"{name} is not one of {', '.join(MECHANISMS)}")
    return ScramClient(name, username, password, nonce(), max_iterations, binding)


def server(name: str, accounts: sasl.Accounts, domain: str) -> sasl.Server:
    """Return the server's end of one login with the mechanism `name`.

    Raises:
        Refused: There is no such mechanism.
    """
    if name == "PLAIN":
        return PlainServer(accounts, domain)
    if name == "ANONYMOUS":
        return AnonymousServer()
    if name in HASHES:
        return ScramServer(name, accounts, domain)
    raise sasl.Refused("invalid-mechanism")
