"""``http.session()``: opens a session from the scenario's arguments and the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amoc.base.errors import ScenarioError
from amoc.http import decoding, options
from amoc.http.config import (
    MAX_BODY_BYTES,
    MAX_IDLE,
    MAX_REDIRECTS,
    Config,
    chosen,
    source_of,
    tls_options,
)
from amoc.http.connecting import Dns, Route
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
    """Open a session, which holds a user's connections, cookies and headers.

        with http.session("http://127.0.0.1:8080", timeout=10) as shop:
            shop.post("/login", json={"name": "ann"}).check(status=200)

    Args:
        base: The URL that paths are relative to. May include a path, and a user with a password.
        timeout: Time limit of a whole request, in seconds; None for http_timeout.
        connect_timeout: Time limit of each of name lookup, TCP connect and TLS handshake, in
            seconds; None for http_connect_timeout.
        read_timeout: Time limit of each wait for data from the server, in seconds; None for no
            limit other than `timeout`.
        headers: Headers of all requests; a value of None removes a default header.
        auth: ``(user, password)`` or ``http.bearer(token)``.
        cookies: Initial cookies by name; False disables cookies.
        redirects: Maximum number of redirects to follow per request; 0 for none.
        compressed: Whether to accept compressed responses.
        max_body: Maximum size of a response body in bytes, both before and after decompression.
        max_idle: Maximum number of idle connections to keep per server.
        raises: Whether a request without a response raises. If not, its answer has status 0.
        verify: Whether to verify server certificates; None for http_tls_verify.
        ca: Certificates to trust, a PEM file or a directory; None for http_tls_ca.
        certificate: Client certificate, a PEM file.
        key: Private key of `certificate`, unless it is in the same file.
        server_name: Name for SNI and certificate verification; None for the URL's host.
        resume: Whether to resume TLS sessions.
        proxy: ``http://user:password@host:port``, or ``environment``; None for http_proxy.
        netrc: Whether to take passwords from ``.netrc``.
        dns: Overrides of name resolution: ``{"shop.example": "127.0.0.1:8080"}``, or a function of
            a name that returns addresses.
        source: Local address to connect from, or several (also in one string, with commas) that
            users share round-robin; None for http_source_addresses.

    Raises:
        ScenarioError: An argument is invalid.
    """
    usual: dict[str, object] = {"User-Agent": options.USER_AGENT, "Accept": "*/*"}
    usual["Accept-Encoding"] = decoding.ACCEPTED if compressed else "identity"
    home = parse(base) if base else None
    given = {"timeout": timeout, "connect_timeout": connect_timeout, "read_timeout": read_timeout}
    for what, seconds in given.items():
        if seconds is not None and not 0 < seconds < 1e9:
            raise ScenarioError(f"{what} must be above 0 s, got {seconds}")
    for what, most in {"redirects": redirects, "max_body": max_body, "max_idle": max_idle}.items():
        if most < 0:
            raise ScenarioError(f"{what} must be at least 0, got {most}")
    if key and not certificate:
        raise ScenarioError(f"key= requires certificate=, got only key={key!r}")
    tls = tls_options(
        verify=chosen(verify, options.http_tls_verify),
        ca=chosen(ca, options.http_tls_ca),
        certificate=certificate,
        key=key,
        minimum_version=options.http_tls_minimum_version.get(),
    )
    connect_s = chosen(connect_timeout, options.http_connect_timeout)
    config = Config(
        Route(tls, connect_s, dns, source_of(source), server_name, resume),
        chosen(timeout, options.http_timeout),
        read_timeout,
        merged(usual, headers or {}),
        auth,
        chosen(proxy, options.http_proxy),
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
