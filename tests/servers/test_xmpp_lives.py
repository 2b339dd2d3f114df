"""Lost connections on prosody, ejabberd and the embedded server: resumed, or bound anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from amoc import xmpp
from amoc.xmpp import meters, options
from tests.servers.conftest import Connect
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.prosody import Prosody
from tests.unit.xmpp.fake import count

PATIENCE_S = 60.0


@pytest.fixture(params=[Prosody, Ejabberd])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[XmppServer]:
    """A server of the test's own, which forgets lost sessions after a second."""
    request.param.available()
    with request.param(tmp_path, 2, resume_s=1) as server:
        yield server


def of_own(server: XmppServer, user_id: int, **more: Any) -> dict[str, Any]:
    return {"user_id": user_id, "server": server.address, "tls": "off", **more}


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "silent"])
def test_each_message_arrives_however_often_connections_are_cut(
    connect: Connect, xmpp_name: str, reset: bool
) -> None:
    resumed = count(meters.sessions_resumed)
    with connect(resumable=True) as alice, connect(resumable=True, inbox_size=1000) as bob:
        bob.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for number in range(40):
            alice.send_chat(bob.jid, str(number))
            if number % 10 == 3:
                alice.cut(reset)
                assert alice.resume(PATIENCE_S)
            if number % 10 == 7:
                bob.cut(reset)
                assert bob.resume(PATIENCE_S)
        sent = [str(number) for number in range(40)]
        bodies: list[str | None] = []
        while len(set(bodies)) < len(sent):
            bodies.append(bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body)
        bob.ping(timeout=PATIENCE_S)
        if xmpp_name != "ejabberd":
            # ejabberd 23.01 says h=2, and then handles the third stanza of the lost connection too
            # when it is busy; so what is sent again, rightly, comes twice.
            assert bodies == sent
            with pytest.raises(xmpp.ReceiveTimeout):
                bob.receive(xmpp.is_chat, timeout=0)
    assert count(meters.sessions_resumed) == resumed + 8


def test_the_server_acknowledges_what_it_has(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_ack_interval, "default", 0.05)
    with connect(resumable=True) as client:
        for number in range(25):
            client.send_chat(client.jid, str(number))
        for _ in range(25):
            client.receive(xmpp.is_chat, timeout=PATIENCE_S)
        with gevent.Timeout(PATIENCE_S):
            while client._session.stream.management.sent.stanzas:  # type: ignore[attr-defined]
                gevent.sleep(0.01)


def test_acknowledgements_can_be_used_without_resumption(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_stream_management, "default", "acks")
    with connect() as client:
        assert client._session.stream.management.id == ""  # type: ignore[attr-defined]
        assert client.ping(timeout=PATIENCE_S) > 0


def test_an_expired_session_is_replaced_by_a_new_one(own_server: XmppServer) -> None:
    unknown = count(meters.stanzas_unacknowledged)
    with (
        xmpp.connect(**of_own(own_server, 1, resource="other")) as watcher,
        xmpp.connect(**of_own(own_server, 1, resumable=True, interrupts=False)) as client,
    ):
        for one in (watcher, client):
            one.send_presence()
        for one in (watcher, client):
            one.receive(xmpp.is_presence & xmpp.from_jid(client.jid), timeout=PATIENCE_S)
        client.cut(reset=True)
        left = xmpp.is_unavailable & xmpp.from_jid(client.jid)
        watcher.receive(left, timeout=PATIENCE_S)  # the server has waited long enough
        assert client.resume(PATIENCE_S) is False
        assert client.ping(timeout=PATIENCE_S) > 0
    # What was sent before had been handled, as far as the server still says.
    assert count(meters.stanzas_unacknowledged) <= unknown + 1


def test_users_come_back_after_a_server_was_killed(
    own_server: XmppServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_reconnect_pause, "default", 0.05)
    monkeypatch.setattr(options.xmpp_reconnect_max_pause, "default", 0.2)
    outages, failures = count(meters.outage), count(meters.connection_failures)
    lives: dict[int, int] = {1: 0, 2: 0}

    # ejabberd may not have written the latest accounts to disk.
    how = {"resumable": True, "register": True}

    def user(user_id: int) -> None:
        for client in xmpp.staying_connected(**of_own(own_server, user_id, **how)):
            with client:
                client.send_presence()
                client.receive(xmpp.is_presence, timeout=PATIENCE_S)
                lives[user_id] += 1
                if lives[user_id] == 1:
                    client.wait(150.0)

    users = [gevent.spawn(user, one) for one in lives]
    with gevent.Timeout(150.0):  # a busy machine takes half a minute to start ejabberd
        while set(lives.values()) != {1}:
            gevent.sleep(0.01)
        own_server.kill()
        while count(meters.connection_failures) < failures + 2:
            gevent.sleep(0.01)
        gevent.get_hub().threadpool.apply(own_server.start)
        gevent.joinall(users, raise_error=True)
    assert lives == {1: 2, 2: 2}
    assert count(meters.outage) == outages + 2
