"""TLS contexts and sessions, shared by a worker's connections: one context per set of options.

A context holds the trusted certificates; the system's take 30 ms and 0.8 MB. So a connection has a
separate context only if its user has its own certificate.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

MAX_CONTEXTS: Final = 256
MAX_SESSIONS: Final = 1024
PEM: Final = "-----BEGIN "
VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
"""The possible minimum versions of TLS."""


class TlsOptions(NamedTuple):
    """The options that determine a connection's context."""

    verify: bool = True
    """Whether the server's certificate must be valid."""
    ca: str = ""
    """Trusted certificates: a file, a directory, or one as text; empty means the system's."""
    certificate: str = ""
    """The client's certificate, followed by its chain; empty means none."""
    key: str = ""
    """Its private key; empty if it is in the same file."""
    minimum_version: str = "1.2"
    ciphers: str = ""
    """In OpenSSL's notation, for TLS up to 1.2; empty means Python's default."""


class Sessions:
    """The sessions of one context that can be resumed, the latest for each server and name.

    A session serves many connections; servers allow this within the lifetime of its ticket.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[object, ssl.SSLSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: object) -> ssl.SSLSession | None:
        """Return the session to resume with a server, if any."""
        return self._known.get(key)

    def put(self, key: object, session: ssl.SSLSession) -> None:
        """Store `session`; beyond `MAX_SESSIONS` servers, drop the one stored longest ago."""
        self._known[key] = session
        self._known.move_to_end(key)
        if len(self._known) > MAX_SESSIONS:
            self._known.popitem(last=False)


class TlsTerms(NamedTuple):
    """The TLS parameters of one connection."""

    context: ssl.SSLContext
    server_name: str
    """The name requested (SNI), for which the certificate must be valid."""
    sessions: Sessions | None = None
    """The store of sessions; None means that each connection makes a full handshake."""
    place: object = None
    """The server's key in `sessions`."""


@lru_cache(maxsize=MAX_CONTEXTS)
def shared(options: TlsOptions) -> tuple[ssl.SSLContext, Sessions]:
    """Return this worker's context for `options`, and the context's sessions.

    Raises:
        ValueError: An option is invalid; the message is a clause that names it and its value.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    configure(context, options)
    return context, Sessions()


def configure(context: ssl.SSLContext, options: TlsOptions) -> None:
    """Apply `options` to a new context.

    Raises:
        ValueError: As for `shared`.
    """
    context.minimum_version = VERSIONS[options.minimum_version]
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.ca:
        trust(context, options.ca)
    else:
        context.load_default_certs()
    if options.ciphers:
        choose_ciphers(context, options.ciphers)
    if options.certificate:
        present(context, options.certificate, options.key)


def trust(context: ssl.SSLContext, ca: str) -> None:
    """Trust the certificates in a file, or in a directory prepared with `openssl rehash`.

    Raises:
        ValueError: It cannot be read, or contains no certificate.
    """
    try:
        if ca.startswith(PEM):
            context.load_verify_locations(cadata=ca)
        elif Path(ca).is_dir():
            context.load_verify_locations(capath=ca)
        else:
            context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise ValueError(
            f"must name a PEM file of certificates or a directory of them ({_reason(error)})"
        ) from None


def present(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Present a certificate to the peer.

    Raises:
        ValueError: It cannot be read, or the key does not belong to it.
    """

    def refuse_to_ask() -> str:
        raise ValueError("the key must not be encrypted")

    try:
        context.load_cert_chain(certificate, key or None, refuse_to_ask)
    except (OSError, ValueError) as error:
        also = f" and the key in {key!r}" if key else ""
        raise ValueError(
            f"must name a PEM file of a certificate with its key, got {certificate!r}{also}"
            f" ({_reason(error)})"
        ) from None


def choose_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    """Allow only these ciphers up to TLS 1.2.

    Raises:
        ValueError: OpenSSL knows none of them.
    """
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise ValueError(
            "must name ciphers as 'openssl ciphers' does, such as ECDHE+AESGCM"
        ) from None


def check_trust(ca: str) -> None:
    """Raise ValueError as `trust` would; empty means the system's certificates."""
    if ca:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca)


def check_ciphers(ciphers: str) -> None:
    """Raise ValueError as `choose_ciphers` would; empty means the defaults."""
    if ciphers:
        choose_ciphers(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ciphers)


def check_pem(file: str, marker: str) -> None:
    """Check that `file` contains a PEM block whose label includes `marker`.

    Raises:
        ValueError: It cannot be read, or contains none.
    """
    try:
        with Path(file).open(errors="replace") as lines:
            found = any(line.startswith("-----BEGIN ") and marker in line for line in lines)
    except OSError as error:
        raise ValueError(f"must name a PEM file ({error.strerror})") from None
    if not found:
        raise ValueError(f"must name a PEM file with a {marker}")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error)
