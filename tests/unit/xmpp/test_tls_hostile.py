"""Servers that violate TLS itself: each ends its user with a clear error, and nothing hangs."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import gevent
import gevent.subprocess
import pytest
from gevent import socket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amoc import xmpp
from amoc.xmpp.connection import causes, securing
from amoc.xmpp.connection.server_url import Server
from amoc.xmpp.connection.sockets import connected_to
from amoc.xmpp.transports.tcp import HARD_LIMIT, TcpTransport
from amoc.xmpp.transports.tls import TlsTransport
from tests.certificates import Authority
from tests.unit.xmpp.fake import PATIENCE_S, Conn, FakeServer, TlsConn, connect, serving

pytestmark = pytest.mark.usefixtures("authority")
# A function-scoped fixture is shared by all examples, which is intended here.
EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "speaks", TlsConn)


def send_beneath_tls(conn: Any, data: bytes) -> None:
    """Send bytes to the client without the server's TLS."""
    with socket.socket(fileno=socket.dup(conn.sock.fileno())) as raw:
        raw.sendall(data)


@EXAMPLES
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_in_the_handshake_are_an_xmpp_error(noise: bytes, like_tls: bool) -> None:
    def script(conn: Conn) -> None:
        conn.hear()
        header = b"\x16\x03\x03" + len(noise).to_bytes(2, "big") if like_tls else b""
        conn.say(header + noise)
        conn.sock.shutdown(1)
        conn.rest()

    with serving(script) as server, pytest.raises(xmpp.ConnectError):
        connect(server, tls="direct")


@pytest.mark.usefixtures("over_tls")
@EXAMPLES
@given(st.binary(min_size=6, max_size=300), st.booleans())
def test_random_bytes_beneath_tls_end_the_session(noise: bytes, like_tls: bool) -> None:
    def script(conn: TlsConn) -> None:
        conn.log_in()
        conn.expect(rb"<presence")  # the client knows that it is logged in
        header = b"\x17\x03\x03" + len(noise).to_bytes(2, "big") if like_tls else b""
        send_beneath_tls(conn, header + noise)
        conn.rest()

    with serving(script) as server:
        client = connect(server)
        client.send_presence()
        with pytest.raises(xmpp.Disconnected) as raised:
            client.receive(timeout=10)
        assert raised.value.cause == "tls"
        assert not client.is_open


def test_an_endless_handshake_is_an_error() -> None:
    def script(conn: Conn) -> None:
        conn.hear()
        for _ in range(100_000):
            conn.say(b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + b"x" * 16_380)

    with serving(script) as server, pytest.raises(xmpp.TlsError):
        connect(server, tls="direct")


@pytest.mark.usefixtures("over_tls")
def test_a_cut_sends_no_tls_alert() -> None:
    heard: list[bytes] = []

    def script(conn: TlsConn) -> None:
        conn.log_in()
        with socket.socket(fileno=socket.dup(conn.sock.fileno())) as raw:
            try:
                heard.append(raw.recv(100))
            except ConnectionResetError:
                heard.append(b"reset")

    with serving(script) as server:
        client = connect(server)
        client.cut(reset=True)
        assert not client.is_open
        while not heard:
            gevent.sleep(0.001)
    assert heard == [b"reset"]  # and no alert before it


def openssl_server(certificate: str, version: str = "-tls1_2") -> tuple[Any, int]:
    """Start an OpenSSL server that prints its input and obeys commands; return it and its port."""
    process = gevent.subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, version],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    line = b""
    while not (found := re.search(rb"ACCEPT .*:(\d+)", line)):
        line = process.stdout.readline()
        assert line, "it has ended"
    return process, int(found[1])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_data_written_during_a_renegotiation_arrives(authority: Authority) -> None:
    process, port = openssl_server(authority.issue("renegotiating.pem"))
    try:
        with gevent.Timeout(PATIENCE_S):
            server = Server("127.0.0.1", port)
            below = TcpTransport(connected_to(server, None, "test", 2**63))
            terms = securing.terms_for(1, "localhost", server)
            transport = TlsTransport(below, terms)
            transport.handshake(PATIENCE_S)
            heard: list[bytes] = []
            transport.start(heard.append, heard.append)
            for number in range(3):
                process.stdin.write(b"R\n")  # renegotiate
                process.stdin.flush()
                for part in range(50):
                    transport.write(b"<%d.%d>" % (number, part))
                    gevent.sleep(0)
                transport.write(b"\n")
                missing = {b"SSL_do_handshake", b"<%d.49>" % number}  # in any order
                while missing:
                    line = process.stdout.readline()
                    assert line, "it has ended"
                    missing -= {one for one in missing if one in line}
            assert not transport.closed
            assert transport.engine.waiting == 0
            transport.close()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class Congested(TcpTransport):
    """A connection whose peer does not read."""

    congested = False
    written = 0

    def write(self, data: bytes) -> None:
        self.written += 1
        super().write(data)

    @property
    def unsent(self) -> int:
        return HARD_LIMIT + 1 if self.congested else 0

    @unsent.setter
    def unsent(self, _: int) -> None:
        """Ignore what is really unsent."""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_level_responses_to_a_server_that_does_not_read_are_limited(
    authority: Authority,
) -> None:
    process, port = openssl_server(authority.issue("key-updates.pem"), "-tls1_3")
    try:
        with gevent.Timeout(PATIENCE_S):
            server = Server("127.0.0.1", port)
            below = Congested(connected_to(server, None, "test", 2**63))
            transport = TlsTransport(below, securing.terms_for(1, "localhost", server))
            transport.handshake(PATIENCE_S)
            lost: list[Exception | None] = []
            transport.start(lambda _: None, lost.append)
            for congested in (False, True):
                below.congested = congested
                answers = below.written
                while not lost and below.written == answers:
                    # A key update that asks for ours; ignored until the server is ready.
                    process.stdin.write(b"K\n")
                    process.stdin.flush()
                    gevent.sleep(0.02)
                assert bool(lost) == congested
            (error,) = lost
            assert causes.of_loss(error) == causes.NOT_READING  # type: ignore[arg-type]
            transport.close()
            below.close()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
