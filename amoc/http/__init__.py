"""HTTP for virtual users: sessions with connection reuse and cookies, and measured requests.

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

__all__ = [  # noqa: RUF022 - grouped by purpose
    # sessions
    "Session",
    "bearer",
    "session",
    # responses
    "Answer",
    "Headers",
    # errors
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
    # for amoc's own use
    "FDS_PER_USER",
]
