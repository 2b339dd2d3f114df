"""``http.session()``: a session, by what the scenario and the settings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amoc.base.errors import ScenarioError
from amoc.http import decoding, options
from amoc.http.config import MAX_BODY_BYTES, MAX_IDLE, MAX_REDIRECTS, Config, route
from amoc.http.connecting import Dns
from amoc.http.request import Auth, merged
from amoc.http.urls import parse
from amoc.http.user_session import Session


def session(
    base: str = "",
    *,
    timeout: float | None = None,
    connect_timeout: float | None = None,
    read_timeout: float | None = None,
    headers: Mapping[str, object] | None = None,
    auth: Auth | None = None,
    cookies: Mapping[str, str] | bool = True,
    redirects: int = MAX_REDIRECTS,
    compressed: bool = True,
    max_body: int = MAX_BODY_BYTES,
    max_idle: int = MAX_IDLE,
    raises: bool = True,
    verify: bool | None = None,
    ca: str | None = None,
    certificate: str = "",
    key: str = "",
    server_name: str | None = None,
    resume: bool = True,
    proxy: str | None = None,
    netrc: bool = False,
    dns: Dns = None,
    source: str | Sequence[str] | None = None,
) -> Session:
    """A session: a user's connections, cookies and headers.

        with http.session("http://127.0.0.1:8080", timeout=10) as shop:
            shop.post("/login", json={"name": "ann"}).check(status=200)

    Args:
        base: The URL that paths are relative to; it may have a path, and a user with a password.
        timeout: For a whole request, in seconds; None for http_timeout.
        connect_timeout: For looking a name up, connecting, and a TLS handshake, each; None for
            http_connect_timeout.
        read_timeout: How long the server may be silent; None: as long as a request may take.
        headers: Of all requests; a None leaves out one that there is otherwise.
        auth: ``(user, password)`` or ``http.bearer(token)``.
        cookies: Ones to begin with, by name; False: none are kept.
        redirects: How many are followed at most in a request; 0: none.
        compressed: Whether servers may compress what they answer.
        max_body: Bytes that an answer may have, before and after it is decompressed.
        max_idle: Connections to one server that are kept between requests.
        raises: Whether a request without an answer raises; if not, its answer has status 0.
        verify: Whether a server's certificate must be valid; None for http_tls_verify.
        ca: Certificates to trust: a PEM file or directory; None for http_tls_ca.
        certificate: The client's own, a PEM file.
        key: Its key, unless that is in the same file.
        server_name: The name that is asked for in TLS, and verified; None: the URL's.
        resume: Whether TLS sessions are resumed.
        proxy: ``http://user:password@host:port``, or ``environment``; None for http_proxy.
        netrc: Whether ``.netrc`` is asked for passwords.
        dns: Where names lead to: ``{"shop.example": "127.0.0.1:8080"}``, or a function of a name.
        source: The local address to connect from, or several, which users take in turn; None for
            http_source_addresses.

    Raises:
        ScenarioError: An argument makes no sense.
    """
    usual: dict[str, object] = {"User-Agent": options.USER_AGENT, "Accept": "*/*"}
    usual["Accept-Encoding"] = decoding.ACCEPTED if compressed else "identity"
    home = parse(base) if base else None
    given = {"timeout": timeout, "connect_timeout": connect_timeout, "read_timeout": read_timeout}
    for what, seconds in given.items():
        if seconds is not None and not 0 < seconds < 1e9:
            raise ScenarioError(f"{what} must be above 0 s, got {seconds}")
    config = Config(
        route(
            verify=verify,
            ca=ca,
            certificate=certificate,
            key=key,
            server_name=server_name,
            connect_timeout=connect_timeout,
            dns=dns,
            source=source,
            resume=resume,
        ),
        options.http_timeout.get() if timeout is None else timeout,
        read_timeout,
        merged(usual, headers or {}),
        auth,
        options.http_proxy.get() if proxy is None else proxy,
        netrc,
        redirects,
        max_body,
        cookies is not False,
        max_idle,
        raises,
    )
    made = Session(home, config)
    if isinstance(cookies, Mapping):
        if home is None:
            raise ScenarioError("cookies= needs a base URL, to whose server they are sent")
        for name, value in cookies.items():
            made.cookies.set(name, value, home.origin)
    return made
