"""A user's cookies: the standard library's jar, called as rarely as possible.

Most sites set cookies for all of their paths. The Cookie header then stays the same until a cookie
is set or expires, so it is cached. The jar takes 30 µs per response.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from email.message import Message
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.request import Request

from amoc.base.errors import ScenarioError
from amoc.http.headers import Headers
from amoc.http.urls import Address, Origin

MAX_COOKIES = 1_000
"""Maximum number of cookies in a session. The oldest ones are dropped first."""
_SENT: Final = re.compile(r"[^\x00-\x20;=]+=[^\x00-\x1f;\x7f\u0100-\U0010ffff]*")
_POLICY = DefaultCookiePolicy()


class _Said:
    """A response, as the jar expects it."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for value in headers.all("set-cookie"):
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message


def _asked(here: Address) -> Request:
    """Return a request as the jar expects it."""
    return Request(str(here))  # noqa: S310 - it is never opened


class Cookies:
    """The cookies of a session, by name: ``shop.cookies["session"]``.

    Attributes:
        any: Whether the session has any cookies.
    """

    __slots__ = ("_known", "_made", "any")

    def __init__(self) -> None:
        self._known: dict[Origin, tuple[float, str]] = {}
        self._made: CookieJar | None = None
        self.any = False

    @property
    def _jar(self) -> CookieJar:
        if self._made is None:  # created on demand: most sessions have no cookies
            self._made = CookieJar(_POLICY)
        return self._made

    def __iter__(self) -> Iterator[str]:
        return (one.name for one in self._jar)

    def __len__(self) -> int:
        return len(self._jar)

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __getitem__(self, name: str) -> str:
        """Return the value of a cookie.

        Raises:
            KeyError: There is no cookie of this name.
        """
        for one in self._jar:
            if one.name == name:
                return one.value or ""
        raise KeyError(name)

    def as_dict(self) -> dict[str, str]:
        """Return all cookies by name; of several with one name (for different paths), the last."""
        return {one.name: one.value or "" for one in self._jar}

    def set(self, name: str, value: str, origin: Origin) -> None:
        """Set a cookie for all paths of a server.

        Raises:
            ScenarioError: Name or value contains characters that cannot be sent.
        """
        if not (isinstance(value, str) and _SENT.fullmatch(f"{name}={value}")):
            raise ScenarioError(
                f"cookie {name!r} must have a value that is text in Latin-1, in one line and"
                " without ';'"
            )
        host = origin.host if "." in origin.host or ":" in origin.host else f"{origin.host}.local"
        self._jar.set_cookie(
            Cookie(
                0, name, value, None, False, host, False, False, "/", True, False, None,
                True, None, None, {},
            )
        )  # fmt: skip
        self._changed()

    def clear(self) -> None:
        """Remove all cookies."""
        self._jar.clear()
        self._changed()

    def take(self, headers: Headers, here: Address) -> None:
        """Store the cookies that a response sets."""
        self._jar.extract_cookies(_Said(headers), _asked(here))  # type: ignore[arg-type] # info() is enough
        if len(self._jar) > MAX_COOKIES:
            for one in list(self._jar)[: len(self._jar) - MAX_COOKIES]:
                self._jar.clear(one.domain, one.path, one.name)
        self._changed()

    def _changed(self) -> None:
        self._known.clear()
        self.any = len(self._jar) > 0

    def header(self, here: Address) -> str:
        """Return the value of the Cookie header for a request; empty if there are none."""
        known = self._known.get(here.origin)
        if known is not None and known[0] > time.time():
            return known[1]
        request = _asked(here)
        self._jar.add_cookie_header(request)
        said = request.get_header("Cookie") or ""
        if all(one.path == "/" for one in self._jar):
            expiries = [one.expires for one in self._jar if one.expires is not None]
            self._known[here.origin] = (min(expiries, default=float("inf")), said)
        return said
