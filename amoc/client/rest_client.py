"""Requests to a server by the standard library's HTTP client, with JSON bodies and responses."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote, urlsplit

from amoc.base.errors import AmocError, ExitCode, PeerError, UsageError
from amoc.base.json_plain import JsonObject

TIMEOUT_S = 150.0
"""A server may take two minutes to read the files of a long run."""
MAX_ANSWER = 256 << 20
MIME = "application/problem+json"
_TOKENS = "--server-token-file FILE on the command line, token_file=FILE in a program"


class LostError(PeerError):
    """The server could not be reached, or the connection was lost."""


class Reply(dict[str, Any]):  # its fields depend on the request, see docs/rest.md
    """The JSON object in a server's response. A field that it lacks raises PeerError."""

    def __missing__(self, name: str) -> NoReturn:
        raise PeerError(f"the server's answer must have {name}, got {sorted(self)}")


class FieldProblem(NamedTuple):
    """A problem with one field of a request."""

    field: str
    detail: str


class ServiceError(AmocError):
    """The server refused a request.

    Attributes:
        status: HTTP status, such as 401 (no valid token), 404, 409 (wrong state), 422 (bad value).
        title: The status as text.
        detail: What is wrong.
        errors: The invalid fields.
        problem: The problem document (RFC 9457); empty if the response was of another kind.
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
        # Without a problem document, from a proxy say, the status is the main information.
        super().__init__(self.detail if problem else f"{self.detail} ({status} {self.title})")


@dataclass(frozen=True)
class RestClient:
    """How to reach a server.

    Attributes:
        host, port: Its address.
        token: Token for authorization; never shown.
        timeout_s: Maximum wait for data from the server.
        context: TLS context for HTTPS.
    """

    host: str
    port: int
    token: str | None = field(repr=False)
    timeout_s: float
    context: ssl.SSLContext | None

    @classmethod
    def to(
        cls, url: str, token: str | None, timeout_s: float = TIMEOUT_S, ca_file: str | None = None
    ) -> RestClient:
        """Create the object for the server at `url`.

        Raises:
            UsageError: The URL or the token is invalid, or the file cannot be read.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        fine = parts.scheme in ("http", "https") and parts.hostname and port != -1
        if not fine or parts.username is not None or parts.path not in ("", "/") or parts.query:
            # The URL is not shown, as it may contain a password.
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

    def request(self, method: str, path: str, body: object = None) -> Reply:
        """Send a request with a JSON body. Return the parsed response, empty if there is no body.

        Raises:
            ServiceError: The server refused the request.
            PeerError: The server cannot be reached, or its response is invalid.
        """
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        answer = self.fetch(method, path, data, "application/json" if data is not None else "")
        return parsed(answer) if answer else Reply()

    def fetch(self, method: str, path: str, data: bytes | None = None, kind: str = "") -> bytes:
        """Send a request with any body. Return the body of the response.

        Raises:
            ServiceError: The server refused the request.
            PeerError: The server cannot be reached, or its response is invalid.
        """
        headers = {"Content-Type": kind} if kind else {}
        with self.open(method, path, data, headers) as answer:
            read = answer.read(MAX_ANSWER + 1)
        if len(read) > MAX_ANSWER:
            raise PeerError(f"{self} must answer with at most {MAX_ANSWER} bytes, got more")
        if answer.length:  # http.client does not report truncated bodies
            raise LostError(f"{self}: the connection was lost in the middle of a response")
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
        """Send a request. Yields the response before its body is read.

        Raises:
            ServiceError: The server refused the request.
            PeerError: The server cannot be reached, or the connection was lost.
        """
        sent = {"Connection": "close", **(headers or {})}  # connections are not reused
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
        """Return the error for a response with an error status."""
        data = answer.read(1 << 20)
        problem: object = None
        if answer.headers.get_content_type() == MIME:
            with suppress(ValueError):
                problem = json.loads(data)
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
    """Return the token in a file that contains nothing else but whitespace.

    Raises:
        UsageError: The file cannot be read, or has more in it, like the server's token file.
    """
    try:
        words = Path(file).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"token_file {file} cannot be read: {why}") from None
    if len(words) != 1:
        raise UsageError(
            f"token_file {file} must hold a token and nothing else, got {len(words)} words; the"
            " token file of the server, with roles, is a different one"
        )
    return words[0]


def path_of(run: str, what: str = "") -> str:
    """Return the path of a run, or of one of its resources."""
    return f"/runs/{quote(run, safe='')}{f'/{what}' if what else ''}"


def parsed(data: str | bytes) -> Reply:
    """Parse JSON that a server has sent.

    Raises:
        PeerError: It is not a JSON object.
    """
    try:
        found = json.loads(data)
    except ValueError:
        raise PeerError(f"the server must answer with JSON, got {data[:60]!r}") from None
    if not isinstance(found, dict):
        raise PeerError(f"the server's answer must be an object, got {type(found).__name__}")
    return Reply(found)
