"""Requests to a server, with Python's own HTTP client: JSON both ways, problems as exceptions."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from amoc.base.errors import AmocError, ExitCode, PeerError, UsageError
from amoc.base.json_plain import JsonObject

TIMEOUT_S = 150.0
"""A server may take two minutes to read a long run."""
MAX_ANSWER = 256 << 20
MIME = "application/problem+json"
_TOKENS = "--server-token-file FILE on the command line, token_file=FILE in a program"


class LostError(PeerError):
    """There is no server, or the connection to it was lost."""


class FieldProblem(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    detail: str


class ServiceError(AmocError):
    """The server refuses a request.

    Attributes:
        status: The HTTP status: 401 without a valid token, 404, 409 when not now, 422 for values.
        title: The status in words.
        detail: What is wrong.
        errors: Each field that is wrong.
        problem: The problem document (RFC 9457); empty where something else answered.
    """

    exit_code = UsageError.exit_code

    def __init__(self, status: int, title: str, problem: JsonObject) -> None:
        self.status = status
        self.title = str(problem.get("title", title))
        self.detail = str(problem.get("detail", title))
        self.errors = tuple(
            FieldProblem(str(one.get("field")), str(one.get("detail")))
            for one in problem.get("errors", ())
        )
        self.problem = problem
        if problem.get("exit_code") in list(ExitCode):
            self.exit_code = ExitCode(problem["exit_code"])
        # A problem document says what is wrong; of others there is little but the status.
        super().__init__(self.detail if problem else f"{self.detail} ({status} {self.title})")


@dataclass(frozen=True)
class Line:
    """How a server is reached.

    Attributes:
        host: Where it is, and so is `port`.
        token: What it knows us by; never shown.
        timeout_s: How long it may say nothing.
        context: For HTTPS.
    """

    host: str
    port: int
    token: str | None = field(repr=False)
    timeout_s: float
    context: ssl.SSLContext | None

    @classmethod
    def to(
        cls, url: str, token: str | None, timeout_s: float = TIMEOUT_S, ca_file: str | None = None
    ) -> Line:
        """The line to the server at `url`.

        Raises:
            UsageError: The URL or the token is none, or the file cannot be read.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        fine = parts.scheme in ("http", "https") and parts.hostname and port != -1
        if not fine or parts.username is not None or parts.path not in ("", "/") or parts.query:
            # Not shown: there may be a password in it.
            raise UsageError("url must be such as http://127.0.0.1:4000, without path and password")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise UsageError("token must be printable ASCII characters")
        context = None
        if parts.scheme == "https":
            try:
                context = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise UsageError(f"ca_file {ca_file} cannot be read: {error}") from None
        elif ca_file is not None:
            raise UsageError("ca_file is for https URLs")
        default = 443 if context is not None else 4000
        return cls(str(parts.hostname), port or default, token, timeout_s, context)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.context is not None else 'http'}://{host}:{self.port}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request with JSON; the JSON of the answer, None if there is none.

        Raises:
            ServiceError: It is refused.
            PeerError: There is no server, or no proper answer.
        """
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        answer = self.fetch(method, path, data, "application/json" if data is not None else "")
        return parsed(answer) if answer else None

    def fetch(self, method: str, path: str, data: bytes | None = None, kind: str = "") -> bytes:
        """Send a request with any body; the body of the answer.

        Raises:
            ServiceError: It is refused.
            PeerError: There is no server, or no proper answer.
        """
        headers = {"Content-Type": kind} if kind else {}
        with self.open(method, path, data, headers) as answer:
            read = answer.read(MAX_ANSWER + 1)
        if len(read) > MAX_ANSWER:
            raise PeerError(f"{self} must answer with at most {MAX_ANSWER} bytes, got more")
        if answer.length:  # of a part of it http.client says nothing
            raise LostError(f"{self}: the connection was lost in the middle of an answer")
        return read

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer that is not read yet.

        Raises:
            ServiceError: The request is refused.
            PeerError: There is no server, or the connection is lost.
        """
        sent = {"Connection": "close", **(headers or {})}  # each request has one of its own
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            with closing(self._connection(timeout_s or self.timeout_s)) as connection:
                connection.request(method, path, data, sent)
                answer = connection.getresponse()
                if answer.status >= 300:
                    raise self._refusal(answer)
                yield answer
        except (OSError, http.client.HTTPException) as error:
            raise LostError(f"{self}: {_why(error)}") from None

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self.context is not None:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout_s, context=self.context
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def _refusal(self, answer: http.client.HTTPResponse) -> ServiceError:
        """The error that an answer is."""
        data = answer.read(1 << 20)
        problem: object = None
        if answer.headers.get_content_type() == MIME:
            try:
                problem = json.loads(data)
            except ValueError:
                problem = None
        known = problem if isinstance(problem, dict) else {}
        if answer.status == HTTPStatus.UNAUTHORIZED and self.token is None:
            known = {**known, "detail": f"{self} requires a token: {_TOKENS}"}
        return ServiceError(answer.status, answer.reason, known)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused; is amoc serve running there?"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def token_in(file: str | Path) -> str:
    """The token in a file: all of it, but for blanks around it.

    Raises:
        UsageError: The file cannot be read, or has more in it, as that of a server has.
    """
    try:
        words = Path(file).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"token_file {file} cannot be read: {why}") from None
    if len(words) != 1:
        raise UsageError(
            f"token_file {file} must hold a token and nothing else, got {len(words)} words; the"
            " file of the server, with roles, is another one"
        )
    return words[0]


def path_of(run: str, what: str = "") -> str:
    """The path of a run, or of something of it."""
    return f"/runs/{quote(run, safe='')}{f'/{what}' if what else ''}"


def parsed(data: str | bytes) -> Any:
    """JSON that a server has sent.

    Raises:
        PeerError: It is none.
    """
    try:
        return json.loads(data)
    except ValueError:
        raise PeerError(f"the server must answer with JSON, got {data[:60]!r}") from None
