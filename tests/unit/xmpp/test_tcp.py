"""When data written over TCP in one turn of the event loop is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import gevent
import pytest

from amoc.xmpp.transports.tcp import FEW_BYTES, MAX_HELD_BYTES, Socket, TcpTransport


@pytest.fixture
def ends() -> Iterator[tuple[TcpTransport, socket.socket]]:
    """A transport and the other end, which receives each send() separately."""
    # gevent may have patched the module; this uses plain sockets in either case.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    plain = Socket(fileno=ours.detach())
    plain.setblocking(False)
    theirs.setblocking(False)
    transport = TcpTransport(plain)
    transport.start(lambda _: None, lambda _: None)
    yield transport, theirs
    transport.close()
    theirs.close()


def read(theirs: socket.socket) -> list[bytes]:
    """Return the received data, one item per send()."""
    pieces = []
    while True:
        try:
            data = theirs.recv(1 << 20)
        except BlockingIOError:
            return pieces
        if not data:
            return pieces
        pieces.append(data)


def test_the_first_write_of_a_turn_is_sent_at_once_and_the_rest_at_its_end(
    ends: tuple[TcpTransport, socket.socket],
) -> None:
    transport, theirs = ends
    for data in (b"1", b"2", b"3"):
        transport.write(data)
    assert read(theirs) == [b"1"]
    gevent.sleep(0.001)
    assert read(theirs) == [b"23"]
    transport.write(b"4")
    assert read(theirs) == [b"4"]  # a new turn
    assert transport.unsent == 0


def test_held_back_data_is_bounded_and_counts_as_unsent(
    ends: tuple[TcpTransport, socket.socket],
) -> None:
    transport, theirs = ends
    transport.write(b"1")
    transport.write(b"2" * MAX_HELD_BYTES)
    assert transport.unsent == MAX_HELD_BYTES
    assert read(theirs) == [b"1"]
    transport.write(b"3")
    assert transport.unsent == 0
    assert read(theirs) == [b"2" * MAX_HELD_BYTES + b"3"]


def test_held_back_data_is_sent_on_close(ends: tuple[TcpTransport, socket.socket]) -> None:
    transport, theirs = ends
    transport.write(b"1")
    transport.write(b"2")
    transport.close()
    assert read(theirs) == [b"1", b"2"]


def test_a_turn_that_ends_after_the_close_sends_nothing(
    ends: tuple[TcpTransport, socket.socket],
) -> None:
    transport, theirs = ends
    transport.write(b"1")
    theirs.close()
    transport.write(b"2")
    transport.close()
    gevent.sleep(0.001)
    assert transport.closed
    assert transport.unsent == 0


def test_long_input_is_read_in_one_piece_and_its_end_is_detected() -> None:
    ours, theirs = socket.socketpair()
    plain = Socket(fileno=ours.detach())
    plain.setblocking(False)
    transport = TcpTransport(plain)
    pieces: list[bytes] = []
    lost: list[Exception | None] = []
    transport.start(pieces.append, lost.append)
    sizes = [1, FEW_BYTES - 1, FEW_BYTES, FEW_BYTES + 1, 2000, 2000, FEW_BYTES, 3, 900]
    for count, size in enumerate(sizes, 1):
        theirs.sendall(b"x" * size)
        with gevent.Timeout(5):
            while len(pieces) < count:
                gevent.sleep(0)
    assert [len(one) for one in pieces] == sizes
    theirs.sendall(b"x" * 700)
    theirs.close()
    with gevent.Timeout(5):
        while not lost:
            gevent.sleep(0)
    assert len(pieces[-1]) == 700
    assert lost == [None]
    assert transport.closed
