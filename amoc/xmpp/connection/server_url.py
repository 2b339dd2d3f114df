"""Pure. A server's address and transport as text: ``host:port``, or a URL.

The scheme names the transport; without one it is XMPP over TCP.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

DEFAULT_PORT: Final = 5222
TCP: Final = "xmpp"
WEBSOCKET: Final = "ws"
BOSH: Final = "http"

_SECURE: Final = {"xmpps": TCP, "wss": WEBSOCKET, "https": BOSH}
"""Transports with TLS from the first byte, by their URL schemes."""
_PORTS: Final = {
    TCP: DEFAULT_PORT,
    WEBSOCKET: 80,
    BOSH: 80,
    "xmpps": 5223,
    "wss": 443,
    "https": 443,
}
_PATHS: Final = {WEBSOCKET: "/xmpp-websocket", BOSH: "/http-bind"}
"""Default paths, as most servers have them; used when a URL ends with the port."""


class Server(NamedTuple):
    """A server's address and transport.

    Attributes:
        host: Its name or IP address.
        port: Its port.
        scheme: `TCP`, `WEBSOCKET` or `BOSH`, or the scheme of one of these over TLS.
        path: The path of the URL; empty over TCP.
    """

    host: str
    port: int
    scheme: str = TCP
    path: str = ""

    @property
    def transport(self) -> str:
        """`TCP`, `WEBSOCKET` or `BOSH`."""
        return _SECURE.get(self.scheme, self.scheme)

    @property
    def secure(self) -> bool:
        """Whether TLS comes first."""
        return self.scheme in _SECURE

    @property
    def authority(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def host_header(self) -> str:
        """Value of the HTTP header Host; the port is omitted if it is the default."""
        usual = self.port == _PORTS[self.scheme]
        return self.authority.rpartition(":")[0] if usual else self.authority

    def __str__(self) -> str:
        if self.scheme == TCP:
            return self.authority
        return f"{self.scheme}://{self.authority}{self.path}"


@lru_cache(maxsize=256)
def parse_server(text: str) -> Server:
    """Parse ``host``, ``host:port``, ``[IPv6]:port``, or one of these in a URL.

    Raises:
        ValueError: It is none of these; the message completes a sentence.
    """
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = TCP, text
    if scheme not in _PORTS:
        raise ValueError(
            f"must be host:port or a URL that begins with {_any_of(_PORTS)}, got {text!r}"
        )
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, str(_PORTS[scheme])
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    valid = (
        host
        and port.isascii()
        and port.isdigit()
        and 1 <= int(port) <= 65535
        and (bracketed or ":" not in host)
        and not set(host) & set("@?# ")
        and host.isprintable()
    )
    usual_path = _PATHS.get(_SECURE.get(scheme, scheme), "")
    if not valid or (slash and not usual_path):
        example = (
            f"{scheme}://host:port/path, such as {scheme}://127.0.0.1:5280{usual_path}"
            if usual_path
            else "host:port, such as 127.0.0.1:5222 or [::1]:5222"
        )
        raise ValueError(f"must be {example}, got {text!r}")
    if not usual_path:
        return Server(host, int(port), scheme)
    if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
        raise ValueError(
            "must have a path of ASCII characters without spaces and '#' (use %20 and the like),"
            f" got {text!r}"
        )
    return Server(host, int(port), scheme, slash + path if path else usual_path)


@lru_cache(maxsize=16)
def parse_servers(text: str) -> tuple[Server, ...]:
    """Parse comma-separated addresses; empty text means none.

    Raises:
        ValueError: One of them is invalid.
    """
    return tuple(parse_server(one) for one in text.split(",") if one.strip())


def over_websocket(server: Server, secure: bool = False) -> Server:
    """Return the address of `server` for WebSocket on the same port; over TLS if `secure`."""
    scheme = "wss" if secure else WEBSOCKET
    return Server(server.host, server.port, scheme, _PATHS[WEBSOCKET])


def _any_of(schemes: dict[str, int]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes)
