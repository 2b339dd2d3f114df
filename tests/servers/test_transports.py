"""The same client over WebSocket and BOSH, with prosody and ejabberd, and through a proxy."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amoc import xmpp
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.nginx import Nginx
from tests.servers.prosody import Prosody

PATIENCE_S = 60.0
TRANSPORTS = ["websocket", "bosh"]

pytestmark = pytest.mark.once

# Tests share the servers, so each takes users of its own, others than those of test_xmpp.py.
_users = itertools.count(100)


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


def test_raw_xml_is_sent_unchanged_and_its_errors_are_raised(url: str) -> None:
    client = connect(url)
    client.send("<message><oops></message>")
    with pytest.raises(xmpp.XmppError):
        client.receive(timeout=PATIENCE_S)
    assert not client.is_open


def test_a_newer_connection_takes_over_the_resource(url: str) -> None:
    number = next(_users)
    older = connect(url, number, resource="same")
    with connect(url, number, resource="same"), pytest.raises(xmpp.StreamError) as raised:
        older.receive(timeout=PATIENCE_S)
    assert raised.value.condition == "conflict"


@pytest.fixture(scope="session")
def nginx(prosody: Prosody, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx in front of prosody."""
    with Nginx(tmp_path_factory.mktemp("nginx"), prosody.http_port) as proxy:
        yield proxy


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_users_write_to_each_other_through_a_reverse_proxy(
    nginx: Nginx, prosody: Prosody, scheme: str
) -> None:
    path = prosody.websocket_path if scheme == "ws" else prosody.bosh_path
    url = f"{scheme}://127.0.0.1:{nginx.port}{path}"
    with connect(url) as one, connect(url) as other:
        for client in (one, other):
            client.send_presence()
            client.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for size in (1, 200_000):
            one.send_chat(other.jid, "x" * size)
            assert len(other.receive(xmpp.is_chat, timeout=PATIENCE_S).body or "") == size


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_tls_is_for_the_host_in_the_url(
    nginx: Nginx, prosody: Prosody, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prosody.websocket_path if scheme == "wss" else prosody.bosh_path
    url = f"{scheme}://127.0.0.1:{nginx.tls_port}{path}"
    with pytest.raises(xmpp.TlsError):
        connect(url)
    monkeypatch.setattr(xmpp.options.xmpp_tls_ca, "default", str(nginx.certificate))
    with connect(url) as client:
        client.send_presence()
        client.receive(xmpp.is_presence, timeout=PATIENCE_S)
        client.send_chat(client.jid, "x" * 100_000)
        assert len(client.receive(xmpp.is_chat, timeout=PATIENCE_S).body or "") == 100_000
    with pytest.raises(xmpp.XmppError):
        connect(f"{scheme.removesuffix('s')}://127.0.0.1:{nginx.tls_port}{path}")


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_redirect_is_reported_with_its_target(nginx: Nginx, scheme: str) -> None:
    with pytest.raises(xmpp.UpgradeError, match=r"to https://elsewhere\.example/ws"):
        connect(f"{scheme}://127.0.0.1:{nginx.port}/elsewhere")


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_proxy_without_its_server_is_reported_and_retried(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xmpp.options.xmpp_connect_pause, "default", 0.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen; no other test can have its port
        port = nobody.getsockname()[1]
        with Nginx(tmp_path, port) as proxy, pytest.raises(xmpp.UpgradeError) as raised:
            connect(f"{scheme}://127.0.0.1:{proxy.port}/x", attempts=2)
    assert raised.value.status == 502


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
