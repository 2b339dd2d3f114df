"""A server that says what a test wants, on a real socket: well-behaved until told otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import socket

from amoc import metrics, xmpp
from amoc.metrics.histogram import Histogram

PATIENCE_S = 10.0
HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' from='localhost' id='s1' version='1.0'>"
)
SASL = b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
BIND = b"xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
OFFER = (
    b"<stream:features><mechanisms " + SASL + b"><mechanism>PLAIN</mechanism></mechanisms>"
    b"</stream:features>"
)
BINDING = b"<stream:features><bind " + BIND + b"/></stream:features>"
SUCCESS = b"<success " + SASL + b"/>"
BOUND = (
    b"<iq type='result' id='bind'><bind " + BIND + b"><jid>user_1@localhost/amoc</jid></bind></iq>"
)
MESSAGE = (
    b"<message from='user_2@localhost/amoc' to='user_1@localhost/amoc' type='chat'>"
    b"<body>hello</body></message>"
)

# What the client says, and what a good server answers.
LOGIN: Sequence[tuple[bytes, bytes]] = (
    (rb"<stream:stream[^>]*>", HEADER + OFFER),
    (rb"<auth[^>]*>[^<]*</auth>", SUCCESS),
    (rb"<stream:stream[^>]*>", HEADER + BINDING),
    (rb"<iq type='set' id='bind'>.*?</iq>", BOUND),
)


class Conn:
    """The server's end of a connection."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.heard = b""

    def expect(self, pattern: bytes) -> re.Match[bytes]:
        """Read until `pattern` has come; what is before it is skipped."""
        while not (found := re.search(pattern, self.heard, re.DOTALL)):
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(
                    f"the client closed; expected {pattern!r} after {self.heard!r}"
                )
            self.heard += data
        self.heard = self.heard[found.end() :]
        return found

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def log_in(self, steps: Sequence[tuple[bytes, bytes]] = LOGIN) -> None:
        """Say the right thing to each step of a login."""
        for pattern, answer in steps:
            self.expect(pattern)
            self.say(answer)

    def rest(self) -> bytes:
        """All that the client says until it closes."""
        try:
            while data := self.sock.recv(65536):
                self.heard += data
        except ConnectionError:
            pass
        return self.heard

    def reset(self) -> None:
        """Close as a crashed host does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class FakeServer:
    """Runs `script` for each connection; what it raises is kept in `errors`."""

    def __init__(self, script: Callable[[Conn], object]) -> None:
        self.script = script
        self.errors: list[BaseException] = []
        self.connections = 0
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._greenlets = [gevent.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.connections += 1
            self._greenlets.append(gevent.spawn(self._serve, sock))

    def _serve(self, sock: Any) -> None:
        try:
            self.script(Conn(sock))
        except ConnectionError:
            pass  # clients that leave early are what these tests are about
        except Exception as error:
            self.errors.append(error)
        finally:
            sock.close()

    def stop(self) -> None:
        gevent.killall(self._greenlets, timeout=PATIENCE_S)
        self._listener.close()


@contextmanager
def serving(script: Callable[[Conn], object]) -> Iterator[FakeServer]:
    """A server for the time of a block, in which nothing may take longer than `PATIENCE_S`."""
    server = FakeServer(script)
    try:
        with gevent.Timeout(PATIENCE_S):
            yield server
    finally:
        server.stop()
    assert not server.errors


def connect(server: FakeServer | str, **options: Any) -> xmpp.Client:
    """`xmpp.connect` as user 1, in one attempt, with PLAIN."""
    wanted = {"mechanism": "PLAIN", "attempts": 1, "timeout": PATIENCE_S, "interrupts": False}
    address = server if isinstance(server, str) else server.address
    return xmpp.connect(1, server=address, **{**wanted, **options})


def session(after: Callable[[Conn], object]) -> Callable[[Conn], object]:
    """A script that logs the client in and then does `after`."""

    def script(conn: Conn) -> None:
        conn.log_in()
        after(conn)

    return script


def idle(conn: Conn) -> None:
    """Answer the client's goodbye, and do nothing else."""
    conn.expect(rb"</stream:stream>")
    conn.say(b"</stream:stream>")
    conn.rest()


def count(metric: metrics.Counter | metrics.Gauge | metrics.Timer) -> int:
    """What a counter or a gauge says, or how often a timer has recorded; 0 before that."""
    found = {one.name: one.value for one in metrics.read()}.get(metric.name, 0)
    return found.count if isinstance(found, Histogram) else int(found)


def saying(*stanzas: bytes) -> Callable[[Conn], None]:
    """A script that waits for the client's presence, says `stanzas`, and then nothing."""

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        for stanza in stanzas:
            conn.say(stanza)
        idle(conn)

    return script


def number(body: int) -> bytes:
    return b"<message from='user_2@localhost/amoc' type='chat'><body>%d</body></message>" % body


def answering(answer: bytes) -> Callable[[Conn], None]:
    """A script that answers an iq; ``ID`` in the answer is the request's."""

    def script(conn: Conn) -> None:
        conn.log_in()
        asked = conn.expect(rb"<iq [^>]*id='([^']*)'")[1]
        conn.say(answer.replace(b"ID", asked))
        idle(conn)

    return script
