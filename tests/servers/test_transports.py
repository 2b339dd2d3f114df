"""The same client over WebSocket and BOSH, with prosody and ejabberd."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from amoc import xmpp
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.prosody import Prosody

PATIENCE_S = 20.0
TRANSPORTS = ["websocket", "bosh"]

pytestmark = pytest.mark.once

# Tests share the servers, so each takes users of its own, others than those of test_xmpp.py.
_users = itertools.count(150)


@pytest.fixture(params=TRANSPORTS)
def url(request: pytest.FixtureRequest, xmpp_server: XmppServer) -> str:
    """Where the server speaks one of the transports."""
    found: str = getattr(xmpp_server, request.param)
    return found


def connect(url: str, user_id: int | None = None, **options: Any) -> xmpp.Client:
    number = next(_users) if user_id is None else user_id
    wanted = {"attempts": 1, "timeout": PATIENCE_S, "interrupts": False, **options}
    return xmpp.connect(number, via=url, **wanted)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_a_user_logs_in_and_leaves(url: str, mechanism: str) -> None:
    client = connect(url, mechanism=mechanism)
    assert client.ping(timeout=PATIENCE_S) > 0
    client.close()
    assert not client.is_open


def test_a_wrong_password_is_refused(url: str) -> None:
    with pytest.raises(xmpp.SaslError) as raised:
        connect(url, password="wrong")
    assert raised.value.condition == "not-authorized"


def test_users_of_different_transports_write_to_each_other(
    url: str, xmpp_server: XmppServer
) -> None:
    with connect(url) as one, connect(xmpp_server.address, tls="off") as other:
        for client in (one, other):
            client.send_presence()
            client.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for size in (0, 1, 100, 126, 65_000, 66_000, 200_000):
            text = "<é&>"[: size % 5] + "x" * size
            one.send_chat(other.jid, text)
            assert other.receive(xmpp.is_chat, timeout=PATIENCE_S).body == text
            other.send_chat(one.jid, text)
            assert one.receive(xmpp.is_chat, timeout=PATIENCE_S).body == text


def test_many_messages_in_both_directions_arrive_once_and_in_order(url: str) -> None:
    count = 200
    with connect(url, inbox_size=2 * count) as one, connect(url, inbox_size=2 * count) as other:
        for client in (one, other):
            client.send_presence()
            client.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for number in range(count):
            one.send_chat(other.jid, str(number))
            other.send_chat(one.jid, str(number))
        for client in (one, other):
            heard = [client.receive(xmpp.is_chat, timeout=PATIENCE_S).body for _ in range(count)]
            assert heard == [str(number) for number in range(count)]


def test_raw_xml_goes_out_as_it_is_and_its_consequences_are_told(url: str) -> None:
    client = connect(url)
    client.send("<message><oops></message>")
    with pytest.raises(xmpp.XmppError):
        client.receive(timeout=PATIENCE_S)
    assert not client.is_open


def test_a_newer_connection_takes_the_resource(url: str) -> None:
    number = next(_users)
    older = connect(url, number, resource="same")
    with connect(url, number, resource="same"), pytest.raises(xmpp.StreamError) as raised:
        older.receive(timeout=PATIENCE_S)
    assert raised.value.condition == "conflict"


@pytest.mark.parametrize("kind", [Prosody, Ejabberd])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_ends_its_users(
    kind: type[XmppServer], transport: str, tmp_path: Path
) -> None:
    kind.available()
    with kind(tmp_path, 2) as server:
        clients = [connect(getattr(server, transport), number) for number in (1, 2)]
        server.kill()
        for client in clients:
            with pytest.raises(xmpp.Disconnected):
                client.receive(timeout=PATIENCE_S)
