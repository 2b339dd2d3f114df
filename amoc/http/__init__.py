"""HTTP for users: sessions that keep connections and cookies, and requests that are measured.

with http.session("http://127.0.0.1:8080", timeout=10) as shop:
    shop.post("/login", json={"name": "ann"}).check(status=200)
    print(shop.get("/item/{n}", path={"n": 7}).json())
"""

from amoc.http.answer import Answer
from amoc.http.errors import (
    AnswerTooLarge,
    BadEncoding,
    CertificateError,
    ClosedEarly,
    ConnectError,
    MalformedAnswer,
    ProxyError,
    RedirectError,
    RequestError,
    RequestTimeout,
)
from amoc.http.headers import Headers
from amoc.http.opening import session
from amoc.http.request import bearer
from amoc.http.user_session import Session
from amoc.scenario.fd_budget import needs_fds

FDS_PER_USER = 1
"""File descriptors that a user holds with one connection."""
needs_fds(__name__, FDS_PER_USER)

__all__ = [  # noqa: RUF022 - grouped by what it is for
    # sessions
    "Session",
    "bearer",
    "session",
    # what comes back
    "Answer",
    "Headers",
    # what may go wrong
    "AnswerTooLarge",
    "BadEncoding",
    "CertificateError",
    "ClosedEarly",
    "ConnectError",
    "MalformedAnswer",
    "ProxyError",
    "RedirectError",
    "RequestError",
    "RequestTimeout",
    # for amoc itself
    "FDS_PER_USER",
]
