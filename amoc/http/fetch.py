"""Making requests: connection reuse, redirects, cookies and decompression."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.http import decoding, errors, meters
from amoc.http.answer import Answer
from amoc.http.call import Call
from amoc.http.config import Config
from amoc.http.connecting import open_connection
from amoc.http.connection import Connection
from amoc.http.cookies import Cookies
from amoc.http.headers import Headers, block, parse, value_of
from amoc.http.pools import FRESH_NS, Pool, Pools
from amoc.http.reader import Reader
from amoc.http.request import (
    SAFE,
    HeaderValues,
    Heads,
    authorization,
    framing,
    merged,
    without_secrets,
)
from amoc.http.streaming import Stream
from amoc.http.urls import Address, redirected, shown
from amoc.metrics import together

_HEEDED: Final = re.compile(rb"-(?:[Cc](?i:ookie)|[Ee](?<=[Tt]-[Ee])(?i:ncoding))[ \t]*:")
"""Set-Cookie and Content-Encoding, or what looks like them: headers that amoc itself acts on. Most
responses have neither. Searching for a hyphen first is five times as fast as for a name."""


class Fetcher:
    """Makes the requests of a session.

    Attributes:
        cookies: The session's cookies.
        heads: The headers that all requests share.
    """

    __slots__ = ("_config", "_home_pool", "_is_usual", "_pools", "cookies", "heads")

    def __init__(self, home: Address | None, config: Config) -> None:
        self._config = config
        self._is_usual = not (config.netrc or config.proxy)
        own = home.origin if home else None
        self._pools: Pools[Connection] = Pools(own, config.max_idle)
        self._home_pool = self._pools.home
        self.cookies = Cookies()
        auth = config.auth
        if home is not None and home.user is not None and auth is None:
            auth = (home.user, home.password or "")
        self.heads = Heads(config.headers, auth, own)

    def close(self) -> None:
        """Close all idle connections."""
        self._pools.close()

    def fetch(self, answer: Answer) -> None:
        """Make the request that `answer` is, and complete it with the response.

        If redirects are followed, that is the last one.

        Raises:
            RequestError: There is no usable response.
            ScenarioError: The request is invalid.
        """
        while True:
            connection = self._exchange(answer)
            reader = connection.reader
            status, known = reader.status, reader.known
            if known is not None:
                head, heeded = known.head, known.heeded
            else:
                head, heeded = _new_head(reader)
            if heeded is not None and "set-cookie" in heeded and self._config.keeps_cookies:
                self.cookies.take(heeded, answer.address)
            if status < 300 or status >= 400 or not self._redirects(answer, connection, head):
                break
        encoding = "" if heeded is None else heeded.get("content-encoding", "")
        answer.status = status
        answer.head = head
        answer.ok = True
        answer.cause = ""
        first_ns = answer.first_byte_ns = connection.first_ns - connection.begin_ns
        if answer.terms.streams:
            answer.ns = connection.first_ns - answer.begin_ns
            answer.stream = Stream(connection, answer.shown, encoding)
            _judge(answer)
            return
        ns = answer.ns = connection.end_ns - answer.begin_ns
        if known is None:
            body = answer.bytes = reader.take()
        else:
            body = answer.bytes = reader.body
            reader.body = b""
        pool = connection.pool
        if pool.last is None and pool.most and connection.is_open:
            pool.last = connection  # `Pool.keep` inlined: most sessions have one connection
        else:
            pool.keep(connection)
        step = answer.recorder
        if step is not None and body and not encoding and connection.is_reused:
            one = step.composed.get(status) or meters.of_request(step, status)
            if one:
                answer.is_recorded = together.request(
                    one, reader.received, connection.sent, len(body), first_ns, ns
                )
        if not answer.is_recorded:
            meters.answered(connection)
            _judge(answer)
        if encoding and body:
            answer.bytes = _decoded(body, encoding, answer)

    def drop(self, connection: Connection) -> None:
        """Discard the rest of a response. Count it, and keep its connection if it can be reused."""
        connection.finish()
        meters.answered(connection)
        connection.pool.keep(connection)

    def _redirects(self, call: Call, connection: Connection, head: bytes) -> bool:
        """Whether a response leads somewhere else. If so, `call` goes there, and it is dropped."""
        most = self._config.redirects if call.most_redirects is None else call.most_redirects
        if not most:
            return False
        try:
            follows = _follow(call, most, connection.reader.status, value_of(head, b"location"))
        except errors.RedirectError:
            self.drop(connection)
            raise
        if follows:
            self.drop(connection)
        return follows

    def _exchange(self, call: Call) -> Connection:
        """Send a request and return the connection that holds the response."""
        if call.line and self._is_usual and not self.cookies.any:
            head, body = call.line + (self.heads.home_end or self.heads.end()), None
            pool = self._home_pool
        else:
            head, body = self._head(call), call.own_body  # before a connection: it may raise
            pool = self._pools.of(call.origin)
        kept = pool.last
        if kept is not None and call.begin_ns - kept.end_ns < FRESH_NS:
            pool.last = None  # `Pool.take` inlined: most requests
        else:
            kept = pool.take(call.begin_ns)
        while True:
            if kept is not None:
                connection = kept
                connection.is_reused = True
            else:
                connection = self._connect(call, pool)
            if body is None:
                connection.exchange(head, call.terms, call.begin_ns)
            elif isinstance(body.content, bytes) and not call.terms.asks_leave:
                connection.exchange(head + body.content, call.terms, call.begin_ns)
            else:
                connection.exchange(head, call.terms, call.begin_ns, body.pieces())
            if connection.failure is None:
                return connection
            meters.failed(connection)
            try:
                connection.check(call.shown)
            except errors.ClosedEarly as error:
                # The server closed the connection while it was idle, and has not read the request.
                replayable = call.method in SAFE and (body is None or body.is_replayable)
                if not (kept and error.is_silent and replayable):
                    raise
            meters.retried.inc()
            kept = None

    def _connect(self, call: Call, pool: Pool[Connection]) -> Connection:
        origin = call.origin
        deadline_ns = call.begin_ns + int(call.terms.limit.seconds * S_NS)
        config = self._config
        proxy = config.proxy_for(origin) if config.proxy else None
        made = open_connection(origin, config.route, proxy, call, deadline_ns)
        made.pool = pool
        return made

    def _head(self, call: Call) -> bytes:
        """Return everything that precedes the body, including the empty line."""
        origin, target = call.origin, call.target
        body, config = call.own_body, self._config
        if call.own_auth is None and not (config.netrc or call.strayed):
            own = call.own_headers
            lines = self.heads.lines_with(origin, own) if own else self.heads.lines(origin)
        else:
            lines = block(self._headers(call))
        if self.cookies.any:
            cookie = self.cookies.header(call.address)
            if cookie and "\ncookie:" not in lines.lower():
                lines += f"Cookie: {cookie}\r\n"
        if body is not None or call.method != "GET":
            length, media = (0, "") if body is None else (body.length, body.type)
            lower = lines.lower()
            framed = framing(call.method, length, "" if "\ncontent-type:" in lower else media)
            if framed and ("\ncontent-length:" in lower or "\ntransfer-encoding:" in lower):
                raise ScenarioError(
                    f"{call.shown}: Content-Length and Transfer-Encoding must be left to the body,"
                    " got one of them in headers"
                )
            lines += framed
            if call.terms.asks_leave:
                lines += "Expect: 100-continue\r\n"
        if config.proxy and not origin.secure and (proxy := config.proxy_for(origin)):
            target = f"{origin}{target}"
            lines += proxy.authorization
        return f"{call.method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    def _headers(self, call: Call) -> HeaderValues:
        headers = self.heads.of(call.origin, call.strayed)
        auth = call.own_auth or self._config.auth_for(call.origin)
        if auth is not None:
            headers = merged(headers, {"Authorization": authorization(auth)})
        return merged(headers, call.own_headers or {})


class TracedFetcher(Fetcher):
    """Adds trace context to requests. Used when spans are recorded."""

    __slots__ = ()

    def _head(self, call: Call) -> bytes:
        head = super()._head(call)
        if not call.traceparent or b"\ntraceparent:" in head.lower():
            return head
        return b"%btraceparent: %b\r\n\r\n" % (head[:-2], call.traceparent.encode())


def _new_head(reader: Reader) -> tuple[bytes, Headers | None]:
    """Return the head of a response, and its headers if amoc itself acts on one of them."""
    head = reader.head()
    heeded = parse(head) if _HEEDED.search(head) else None
    if reader.is_new:
        reader.remember(head, heeded)
    return head, heeded


def _follow(call: Call, most: int, status: int, location: str) -> bool:
    """Point a call at the target of a redirect. Return whether there is one to follow.

    Args:
        call: The call.
        most: Maximum number of redirects to follow.
        status: The status of the response.
        location: Its Location header; empty if it has none.

    Raises:
        RedirectError: There were too many redirects, or the target cannot be used.
    """
    if not location or status in (300, 304, 305) or status > 308:
        return False
    who = call.shown
    if call.followed >= most:
        raise errors.RedirectError(
            f"{who}: more than {most} redirects, the last one to {shown(location)}",
            "too many redirects",
        )
    try:
        there = redirected(call.address, location)
    except ScenarioError as error:
        raise errors.RedirectError(f"{who}: {error}", "too many redirects") from None
    # RFC 9110 section 15.4, in the way of browsers.
    if (status == 303 and call.method != "HEAD") or (
        status in (301, 302) and call.method == "POST"
    ):
        call.method, call.own_body = "GET", None
        call.terms = replace(call.terms, asks_leave=False)
    if call.own_body is not None and not call.own_body.is_replayable:
        raise errors.RedirectError(
            f"{who}: redirected to {shown(location)}, but its body cannot be sent twice",
            "too many redirects",
        )
    if there.origin != call.origin:
        call.own_auth, call.strayed = None, True
        call.own_headers = without_secrets(call.own_headers) if call.own_headers else None
    call.line = b""
    call.origin, call.target = there.origin, there.target
    call.followed += 1
    meters.redirects.inc()
    return True


def _judge(answer: Answer) -> None:
    """Mark a response as failed if its status says so."""
    status, allow = answer.status, answer.allow
    if status >= 400 and status not in ((allow,) if isinstance(allow, int) else allow):
        answer.ok, answer.cause, answer.message = False, f"status {status}", answer.reason


def _decoded(body: bytes, encoding: str, call: Call) -> bytes:
    most = call.terms.max_body
    try:
        return decoding.decode(body, encoding, most)
    except decoding.Undecodable as error:
        raise errors.BadEncoding(f"{call.shown}: {error}", f"bad encoding ({encoding})") from None
    except decoding.TooLong:
        raise errors.AnswerTooLarge(
            f"{call.shown}: the decompressed body must have at most {most} bytes",
            "answer too large",
        ) from None
