"""TLS without I/O: connections that share their buffers never see each other's bytes."""

from __future__ import annotations

import random
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest

from amoc.base.tls_context import TlsOptions, shared
from amoc.base.tls_engine import TlsEngine
from tests.certificates import Authority


class Contexts(NamedTuple):
    client: ssl.SSLContext
    server: ssl.SSLContext


class Pair:
    """The two ends of a connection, and the bytes on their way."""

    def __init__(self, contexts: Contexts) -> None:
        self.ends = (
            TlsEngine(contexts.client, server_name="localhost"),
            TlsEngine(contexts.server, server_side=True),
        )
        self.wires = [b"", b""]
        self.texts = [b"", b""]
        self.ends[0].start()

    def carry(self, size: int) -> bool:
        """Carry at most `size` bytes each way; return whether there were any."""
        moved = False
        for to, from_ in ((1, 0), (0, 1)):
            self.wires[to] += self.ends[from_].outgoing()
            piece, self.wires[to] = self.wires[to][:size], self.wires[to][size:]
            if piece:
                moved = True
                self.texts[to] += self.ends[to].received(piece)
        return moved

    def settle(self) -> None:
        while self.carry(1 << 20):
            pass


@pytest.fixture(params=["1.2", "1.3"])
def contexts(request: pytest.FixtureRequest, tmp_path: Path) -> Contexts:
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.issue("server.pem"))
    if request.param == "1.2":
        server.maximum_version = ssl.TLSVersion.TLSv1_2
    return Contexts(shared(TlsOptions(ca=authority.ca))[0], server)


def test_connections_whose_bytes_come_mixed_in_pieces_of_any_size_keep_apart(
    contexts: Contexts,
) -> None:
    rand = random.Random(1)
    pairs = [Pair(contexts) for _ in range(10)]
    sent = [(rand.randbytes(rand.choice((1, 300, 40_000))), rand.randbytes(200)) for _ in pairs]
    for pair, texts in zip(pairs, sent, strict=True):
        for end, text in zip(pair.ends, texts, strict=True):
            end.encrypt(text)  # kept until its handshake is done
    left = list(pairs)
    while left:
        pair = rand.choice(left)
        if not pair.carry(rand.choice((1, 5, 200, 5_000))):
            left.remove(pair)
    for pair, (to_server, to_client) in zip(pairs, sent, strict=True):
        assert all(end.established for end in pair.ends)
        assert pair.texts == [to_client, to_server]


def test_what_follows_an_error_or_the_end_of_a_connection_reaches_no_other(
    contexts: Contexts,
) -> None:
    broken, ended, whole = (Pair(contexts) for _ in range(3))
    for pair in (broken, ended, whole):
        pair.settle()
    with pytest.raises(ssl.SSLError):
        broken.ends[0].received(b"no TLS at all" * 100)
    ended.ends[1].finish()
    ended.ends[0].received(ended.ends[1].outgoing() + b"more than the end")
    assert ended.ends[0].ended
    assert ended.ends[0].received(b"and more") == b""
    whole.ends[0].encrypt(b"question")
    whole.ends[1].encrypt(b"answer")
    whole.settle()
    assert whole.texts == [b"answer", b"question"]
    assert broken.ends[0].outgoing()  # the alert


def test_a_connection_closed_in_the_middle_of_anothers_call_does_not_disturb_it(
    contexts: Contexts,
) -> None:
    """As by the garbage collector, which may run wherever an object is made."""
    forgotten, whole = Pair(contexts), Pair(contexts)
    forgotten.settle()

    class Interrupted(bytes):
        def __len__(self) -> int:
            forgotten.ends[0].encrypt(b"a farewell")
            forgotten.ends[0].finish()
            return super().__len__()

    for _ in range(3):
        for end, (from_, to) in zip(whole.ends, ((1, 0), (0, 1)), strict=True):
            if data := whole.ends[from_].outgoing():
                whole.texts[to] += end.received(Interrupted(data))
        if all(end.established for end in whole.ends):
            whole.ends[0].encrypt(b"question")
            whole.ends[1].encrypt(b"answer")
    whole.settle()
    assert set(whole.texts[0].split(b"answer")) == {b""}
    assert whole.texts[0]
    assert set(whole.texts[1].split(b"question")) == {b""}
    assert whole.texts[1]


def test_a_call_that_is_interrupted_leaves_nothing_to_other_connections(contexts: Contexts) -> None:
    interrupted, whole = Pair(contexts), Pair(contexts)
    for pair in (interrupted, whole):
        pair.settle()

    class Interrupting(bytes):
        def __len__(self) -> int:
            raise KeyboardInterrupt

    interrupted.ends[1].encrypt(b"lost")
    with pytest.raises(KeyboardInterrupt):
        interrupted.ends[0].received(Interrupting(interrupted.ends[1].outgoing()))
    whole.ends[1].encrypt(b"answer")
    whole.settle()
    assert whole.texts[0] == b"answer"
