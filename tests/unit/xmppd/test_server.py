"""The server in this process's event loop, with real sockets."""

from __future__ import annotations

import os
import resource
import socket as plain_socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest
from gevent import socket

from amoc.base.clock import S_NS
from amoc.base.errors import ClosedError, ResourceError, UsageError
from amoc.xmppd import Limits, Server, listener
from amoc.xmppd.listener import RESERVE, connection_limit
from tests.unit.xmppd.lab import HEADER, bind, plain_auth, stream_error
from tests.unit.xmppd.sockets import PATIENCE_S, Peer


class Clock:
    """The server's clock, which stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = S_NS
        self.server: Server | None = None

    def __call__(self) -> int:
        return self.ns

    def forward(self, seconds: float, server: Server | None = None) -> None:
        """Advance the clock and let the server notice."""
        self.ns += int(seconds * S_NS)
        server = server or self.server
        assert server is not None
        server.tick()
        server.flush()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Clock:
    made = Clock()
    monkeypatch.setattr(listener, "now_ns", made)
    if "server" in request.fixturenames:
        made.server = request.getfixturevalue("server")
        made.server.tick()
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def eventually(condition: Callable[[], object]) -> None:
    """Run the event loop until the condition holds."""
    with gevent.Timeout(PATIENCE_S):
        while not condition():
            gevent.sleep(0.005)


def test_two_clients_exchange_a_message(server: Server) -> None:
    with Peer(server.port) as one, Peer(server.port) as two:
        one.log_in(1)
        two.log_in(2)
        one.say(b"<message to='user_2@localhost' id='a'><body>hi</body></message>")
        message = two.message()
        assert (message.get("from"), message.get("id")) == ("user_1@localhost/r", "a")
    eventually(lambda: server.statistics().connections == 0)
    figures = server.statistics()
    assert (figures.connections_peak, figures.connections_accepted, figures.logins) == (2, 2, 2)
    assert (figures.messages_in, figures.messages_routed, figures.bound) == (1, 1, 0)
    assert figures.bytes_in == one.said_bytes + two.said_bytes
    assert figures.bytes_out > figures.bytes_in
    assert "messages_routed=1 " in figures.as_line()
    assert "\n" not in figures.as_line()


def test_the_server_listens_on_loopback_by_default(server: Server) -> None:
    assert server.host == "127.0.0.1"
    assert (
        repr(server) == f"<Server localhost at 127.0.0.1:{server.port}: 0 connections, 0 clients>"
    )


def test_the_server_listens_on_ipv6_where_available() -> None:
    try:
        plain_socket.create_server(("::1", 0), family=plain_socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6")
    with Server(host="::1") as server:
        assert server.address == f"[::1]:{server.port}"
        sock = socket.create_connection(("::1", server.port), timeout=PATIENCE_S)
        sock.sendall(HEADER)
        assert sock.recv(4096).startswith(b"<?xml")
        sock.close()


def test_a_burst_arrives_complete_and_in_order(server: Server) -> None:
    count = 5000
    with Peer(server.port) as one, Peer(server.port) as two:
        one.log_in(1)
        two.log_in(2)
        burst = b"".join(
            b"<message to='user_2@localhost/r' id='%d'><body>hi</body></message>" % number
            for number in range(count)
        )
        sending = gevent.spawn(one.say, burst)
        assert [two.message().get("id") for _ in range(count)] == [str(n) for n in range(count)]
        sending.get(timeout=PATIENCE_S)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_input_may_be_split_anywhere(server: Server, size: int) -> None:
    with Peer(server.port) as one, Peer(server.port) as two:
        two.log_in(2)
        message = b"<message to='user_2@localhost' id='a'><body>hi</body></message>"
        data = HEADER + plain_auth("user_1", "password_1") + HEADER + bind("r") + message
        for start in range(0, len(data), size):
            one.say(data[start : start + size])
        assert two.message().get("from") == "user_1@localhost/r"


def test_a_stream_error_arrives_even_if_much_input_was_left_unread(server: Server) -> None:
    # Closing with unread input resets the connection, and the client would never see the error.
    with Peer(server.port) as peer:
        peer.log_in(1)
        peer.say(b"<message></oops>" + b"x" * 3_000_000)
        assert stream_error(peer.until_closed()) == "not-well-formed"
    eventually(lambda: server.statistics().connections == 0)
    assert server.statistics().stream_errors == {"not-well-formed": 1}


def test_an_endless_stanza_is_cut_off(server: Server) -> None:
    with Peer(server.port) as peer, Peer(server.port) as other:
        other.log_in(2)
        peer.log_in(1)
        peer.say(b"<message><body>" + b"x" * 1_000_000)
        assert stream_error(peer.until_closed()) == "policy-violation"
        other.say(b"<message to='user_2@localhost' id='a'><body>hi</body></message>")
        assert other.message().get("id") == "a"


def test_a_client_that_closes_its_stream_still_gets_everything_sent_to_it(server: Server) -> None:
    with Peer(server.port) as one, Peer(server.port) as two:
        one.log_in(1)
        two.log_in(2)
        one.say(b"<message to='user_1@localhost/r'><body>x</body></message>" * 1000)
        one.say(b"</stream:stream>")
        one.sock.shutdown(socket.SHUT_WR)
        heard = one.until_closed()
        assert heard.count(b"</message>") == 1000
        assert heard.endswith(b"</stream:stream>")
    eventually(lambda: server.statistics().connections == 0)


def test_a_reset_connection_is_forgotten(server: Server) -> None:
    peer = Peer(server.port)
    peer.log_in(1)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()
    eventually(lambda: server.statistics().connections == 0)
    assert server.statistics().bound == 0


def test_a_client_that_does_not_log_in_is_disconnected(server: Server, clock: Clock) -> None:
    with Peer(server.port) as silent, Peer(server.port) as half, Peer(server.port) as there:
        half.say(HEADER + b"<auth ")
        half.until(b"</stream:features>")
        there.log_in(1)
        eventually(lambda: server.statistics().connections == 3)
        clock.forward(server.limits.login_s - 1)
        assert server.statistics().connections == 3
        clock.forward(1)
        assert stream_error(silent.until_closed()) == "connection-timeout"
        assert stream_error(half.until_closed()) == "connection-timeout"
        there.say(b"<message to='user_1@localhost' id='a'><body>hi</body></message>")
        assert there.message().get("id") == "a"


def test_an_unfinished_stanza_ends_its_stream(server: Server, clock: Clock) -> None:
    with Peer(server.port) as slow:
        slow.log_in(1)
        slow.say(b"<message to='user_1@localhost' id='a'><body>hi</body></mess")
        eventually(lambda: len(server.mid_stanza) == 1)
        clock.forward(server.limits.stanza_s / 2)
        # One more byte is not progress: the limit applies to the whole stanza.
        before = server.bytes_in
        slow.say(b"a")
        eventually(lambda: server.bytes_in > before)
        clock.forward(server.limits.stanza_s / 2)
        heard = slow.until_closed()
        assert stream_error(heard) == "connection-timeout"
        assert b"<message" not in heard


def test_a_stream_whose_reads_always_end_inside_a_stanza_makes_progress(
    server: Server, clock: Clock
) -> None:
    with Peer(server.port) as peer:
        peer.log_in(1)
        message = b"<message to='user_1@localhost' id='a'><body>hi</body></message>"
        peer.say(message[:10])
        for _ in range(10):
            peer.say(message[10:] + message[:10])
            assert peer.message().get("id") == "a"
            clock.forward(server.limits.stanza_s * 0.9)
        assert server.statistics().connections == 1


@pytest.mark.slow
def test_a_slow_reader_is_cut_off_and_others_are_not() -> None:
    limits = Limits(queue_bytes=100_000, linger_s=0.5)
    with Server(limits=limits) as server:
        slow, sender, other = (
            Peer(server.port, receive_buffer=4096),
            Peer(server.port),
            Peer(server.port),
        )
        slow.log_in(1)
        sender.log_in(2)
        other.log_in(3)
        message = b"<message to='user_1@localhost/r'><body>" + b"x" * 10_000 + b"</body></message>"
        with gevent.Timeout(PATIENCE_S):
            while not server.statistics().slow_readers:
                sender.say(message)
                gevent.sleep(0)
        sender.say(b"<message to='user_3@localhost/r' id='a'><body>hi</body></message>")
        assert other.message().get("id") == "a"
        # What it still reads is whole stanzas and then the reason, if it got that far.
        heard = slow.until_closed()
        assert b"user_1" in heard
        figures = server.statistics()
        assert figures.slow_readers == 1
        assert figures.stream_errors["policy-violation"] == 1
        eventually(lambda: server.statistics().connections == 2)
        for peer in (slow, sender, other):
            peer.sock.close()


@pytest.mark.slow
def test_a_stalled_reader_is_cut_off_even_if_little_is_queued(clock: Clock) -> None:
    with Server(limits=Limits(queue_bytes=50_000_000)) as server:
        slow, sender = Peer(server.port, receive_buffer=4096), Peer(server.port)
        slow.log_in(1)
        sender.log_in(2)
        message = b"<message to='user_1@localhost/r'><body>" + b"x" * 100_000 + b"</body></message>"
        with gevent.Timeout(PATIENCE_S):
            while not len(server.stalled):
                sender.say(message)
                gevent.sleep(0)
        # Everything sent has been routed, so nothing counts as progress any more.
        sender.say(b"<message to='user_2@localhost' id='a'><body>hi</body></message>")
        assert sender.message().get("id") == "a"
        clock.forward(server.limits.stall_s, server)
        assert server.statistics().slow_readers == 1
        assert server.statistics().connections == 2
        clock.forward(server.limits.linger_s, server)
        assert server.statistics().connections == 1
        for peer in (slow, sender):
            peer.sock.close()


def test_connections_above_the_limit_are_refused_with_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "capacity", 2)
    peers = [Peer(server.port) for _ in range(2)]
    for number, peer in enumerate(peers, 1):
        peer.log_in(number)
    with Peer(server.port) as refused:
        assert stream_error(refused.until_closed()) == "resource-constraint"
    peers[0].sock.close()
    eventually(lambda: server.statistics().connections == 1)
    with Peer(server.port) as accepted:
        accepted.log_in(3)
    figures = server.statistics()
    assert (figures.connections_refused, figures.connections_peak) == (1, 2)
    peers[1].sock.close()


@pytest.mark.slow
def test_out_of_file_descriptors_the_server_waits_and_accepts_later(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with no_descriptors_but(1):  # the client's own
        peer = Peer(server.port)
        eventually(lambda: caplog.records)
        for _ in range(3):
            server.tick()
            gevent.sleep(0.01)
    assert server.statistics().connections == 0
    with peer:
        peer.log_in(1)
    assert len(caplog.records) == 1, "it is said once"
    assert "Too many open files" in caplog.text


@contextmanager
def no_descriptors_but(count: int) -> Iterator[None]:
    """Limit this process to opening `count` more descriptors."""
    free = [os.dup(0) for _ in range(count)]
    for fd in free:
        os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_shutdown_is_announced_to_every_client() -> None:
    server = Server()
    server.start()
    peers = [Peer(server.port) for _ in range(3)]
    for number, peer in enumerate(peers, 1):
        peer.log_in(number)
    stopping = gevent.spawn(server.stop)
    for peer in peers:
        assert stream_error(peer.until_closed()) == "system-shutdown"
        peer.sock.close()
    stopping.get(timeout=PATIENCE_S)
    assert server.statistics().connections == 0
    with pytest.raises(ConnectionRefusedError):
        Peer(server.port)
    server.stop()
    with pytest.raises(ClosedError):
        server.start()


def test_a_client_that_ignores_the_shutdown_is_cut_off() -> None:
    server = Server()
    server.start()
    with Peer(server.port) as peer:
        peer.log_in(1)
        server.stop(timeout=0.1)
        assert server.statistics().connections == 0


def test_a_port_in_use_is_a_one_line_error(server: Server) -> None:
    with pytest.raises(ResourceError) as raised:
        Server(port=server.port).start()
    assert str(raised.value) == (
        f"port of 127.0.0.1:{server.port} is in use by another process;"
        " choose another one, or 0 for any"
    )


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "192.0.2.1:0 does not belong to this host"),
        ("no such host", "cannot be resolved"),
    ],
)
def test_an_unusable_address_is_a_one_line_error(host: str, words: str) -> None:
    with pytest.raises(ResourceError, match=words) as raised:
        Server(host=host).start()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"port": 70000}, "port must be from 0 to 65535, got 70000"),
        ({"port": -1}, "port must be from 0 to 65535, got -1"),
        ({"connections": 0}, "connections must be at least 1, got 0"),
        ({"domain": "a b"}, "domain 'a b' cannot be served"),
        ({"domain": ""}, "domain '' cannot be served"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Server(**arguments)  # type: ignore[arg-type]


def test_too_few_descriptors_is_an_error_with_the_number_needed_and_a_remedy() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connection_limit(1) == hard - RESERVE
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard), "the soft limit was raised"
    with pytest.raises(ResourceError) as raised:
        Server(connections=hard).start()
    message = str(raised.value)
    assert f"{hard} connections need {hard + RESERVE} file descriptors" in message
    assert f"the limit is {hard}" in message
    assert "ulimit -Hn" in message
    assert "\n" not in message
