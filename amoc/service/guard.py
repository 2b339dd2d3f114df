"""Access control: every request is checked before anything else is done with it."""

from __future__ import annotations

import base64
import binascii
import socket
import time
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from flask import Flask, Response, g, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from amoc.service.problems import Problem
from amoc.service.service import Service
from amoc.service.tokens import Role, Tokens, WrongTokens, client_of

_SAFE = ("GET", "HEAD", "OPTIONS")
_IN_URL = ("token", "access_token", "auth", "authorization", "api_key")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""No inline code, no content from other hosts, no framing."""
COOKIE = "amoc_token"
SIGN_IN = "/dashboard/sign-in"
_OPEN = (SIGN_IN, "/dashboard/sign-out")
"""Open to everyone, like `_OPEN_BELOW`: needed to sign in."""
_OPEN_BELOW = "/assets/"


def role() -> Role | None:
    """Return the role of this request's client; None on paths that are open to everyone."""
    found: Role | None = g.role
    return found


def may(needed: Role) -> bool:
    """Return whether this request's client has the role `needed`."""
    found = role()
    return found is not None and found >= needed


def token_checker(app: Flask) -> TokenChecker:
    """Return the checker of tokens."""
    found: TokenChecker = app.extensions["amoc.token_checker"]
    return found


def register(app: Flask, service: Service) -> None:
    """Check each request of `app`, and add security headers to each response."""
    config = service.config
    hosts = _names_of_this_host(config.names, config.is_local)
    checker = app.extensions["amoc.token_checker"] = TokenChecker(config.tokens)

    @app.before_request
    def check() -> BaseResponse | None:
        _check_host(request.host, hosts)
        _check_origin()
        for name in request.args:
            if name.lower() in _IN_URL:
                detail = "a token belongs in the header Authorization, never in a URL"
                raise Problem(HTTPStatus.BAD_REQUEST, detail, name)
        if request.path in _OPEN or request.path.startswith(_OPEN_BELOW):
            g.role = None
            return None
        try:
            found = g.role = checker.role(_token())
        except Problem as problem:
            if problem.status is HTTPStatus.UNAUTHORIZED and _wants_page():
                return redirect(f"{SIGN_IN}?to={quote(request.full_path.rstrip('?'))}")
            raise
        needed = _needed()
        if found < needed:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"this requires the role {needed.name.lower()}, but the token has the role"
                f" {found.name.lower()}",
            )
        return None

    @app.after_request
    def secure(answer: Response) -> Response:
        headers = answer.headers
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return answer


def _needed() -> Role:
    """Return the role that this request requires."""
    if request.method in _SAFE:
        return Role.READ
    if request.method == "DELETE" or request.path in ("/scenarios/upload", "/scenarios/files"):
        return Role.ADMIN
    if request.method == "POST" and request.path == "/scenarios":
        return Role.ADMIN
    return Role.RUN


def _names_of_this_host(names: tuple[str, ...], local: bool) -> frozenset[str]:
    own = () if local else (socket.gethostname(), socket.getfqdn())
    return frozenset(name.lower().rstrip(".") for name in ("localhost", *own, *names))


def _check_host(host: str, names: frozenset[str]) -> None:
    """Refuse unknown host names: another site's name may resolve to this host (DNS rebinding).

    Addresses are always accepted, as they cannot be rebound.
    """
    name = _host_of(host)
    if name in names:
        return
    try:
        ip_address(name)
    except ValueError:
        detail = f"the host {host[:100]!r} is not served here; amoc serve --name adds a name"
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, detail, "Host") from None


def _host_of(host: str) -> str:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.strip("[]").lower().rstrip(".")


def _check_origin() -> None:
    """Refuse requests that pages of other sites make a browser send."""
    origin = request.headers.get("Origin")
    foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if origin is not None:
        foreign = urlsplit(origin).netloc.lower() != request.host.lower()
    elif request.method in _SAFE and request.headers.get("Sec-Fetch-Mode") == "navigate":
        foreign = False  # a link that the user has followed
    if foreign:
        detail = "pages of other sites may not send requests here"
        raise Problem(HTTPStatus.FORBIDDEN, detail, "Origin")


class TokenChecker:
    """Checks tokens, and slows down clients that guess."""

    def __init__(self, tokens: Tokens | None) -> None:
        """Admit clients with one of `tokens`; None admits everyone, with all rights."""
        self._tokens = tokens
        self._wrong = WrongTokens()

    def role(self, token: str | None) -> Role:
        """Return the role that a token gives to the client of this request.

        Raises:
            Problem: The token is missing or wrong, or the client has sent too many wrong ones.
        """
        if self._tokens is None:
            return Role.ADMIN
        client = client_of(request.remote_addr or "")
        wait_s = self._wrong.wait_s(client, time.monotonic())
        if wait_s:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"too many wrong tokens from {client}; try again in {int(wait_s) + 1} s",
                headers=[("Retry-After", str(int(wait_s) + 1))],
            )
        found = self._tokens.role_of(token) if token is not None else None
        if found is not None:
            return found
        if token is not None:
            self._wrong.note(client, time.monotonic())
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "a token is required: Authorization: Bearer TOKEN"
            if token is None
            else "the token is not valid",
            headers=[("WWW-Authenticate", "Bearer")],
        )


def _wants_page() -> bool:
    """Return whether a browser is navigating to a page."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"


def _token() -> str | None:
    """Return the request's token, from a bearer token, a basic-auth password, or the cookie."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            text = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return text.partition(":")[2]
    return request.cookies.get(COOKIE)
