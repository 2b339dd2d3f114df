"""The client against prosody and ejabberd, two independent servers."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
import pytest
import slixmpp

from amoc import xmpp
from amoc.xmpp import meters
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.prosody import TLS_ONLY, Prosody
from tests.unit.xmpp.fake import count as recorded

PATIENCE_S = 60.0

# Tests share the servers, so each takes new users.
_users = itertools.count(1)

Connect = Callable[..., xmpp.Client]


@pytest.fixture
def connect(xmpp_server: XmppServer) -> Connect:
    """`xmpp.connect` to the server, with a new user unless one is given."""

    def call(user_id: int | None = None, **options: Any) -> xmpp.Client:
        number = next(_users) if user_id is None and "username" not in options else user_id
        return xmpp.connect(number, server=xmpp_server.address, **options)

    return call


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_a_user_logs_in_with_each_mechanism(connect: Connect, mechanism: str) -> None:
    with connect(mechanism=mechanism) as client:
        assert client.jid == f"user_{client.user_id}@localhost/amoc"
        assert client.bare_jid == f"user_{client.user_id}@localhost"


def test_anonymous_login(connect: Connect, xmpp_server: XmppServer) -> None:
    with connect(domain=xmpp_server.anonymous, mechanism="ANONYMOUS") as client:
        local, _, domain = client.bare_jid.partition("@")
        assert local
        assert domain == xmpp_server.anonymous


def test_the_server_may_choose_the_resource(connect: Connect) -> None:
    with connect(resource="") as client:
        assert client.jid.partition("/")[2] not in ("", "amoc")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_a_wrong_password_is_a_sasl_error_that_does_not_show_it(
    connect: Connect, mechanism: str
) -> None:
    with pytest.raises(xmpp.SaslError) as raised:
        connect(password="wr0ng-one", mechanism=mechanism)
    assert raised.value.condition == "not-authorized"
    assert "not-authorized" in str(raised.value)
    assert "wr0ng-one" not in str(raised.value)


def test_an_unknown_user_is_a_sasl_error(connect: Connect) -> None:
    with pytest.raises(xmpp.SaslError) as raised:
        connect(username="nobody", password="nothing")
    assert raised.value.condition == "not-authorized"


def test_the_error_for_a_mechanism_not_offered_names_those_offered(connect: Connect) -> None:
    with pytest.raises(xmpp.SaslError, match="SCRAM-SHA-1") as raised:
        connect(mechanism="ANONYMOUS")
    assert raised.value.condition == "invalid-mechanism"


def test_an_unknown_domain_is_a_stream_error(connect: Connect) -> None:
    with pytest.raises(xmpp.StreamError) as raised:
        connect(domain="nowhere.invalid")
    assert raised.value.condition == "host-unknown"


def test_a_server_that_requires_tls_raises_its_own_error(prosody: Prosody) -> None:
    with pytest.raises(xmpp.TlsRequiredError, match="xmpp_tls is off"):
        xmpp.connect(next(_users), server=prosody.address, domain=TLS_ONLY, tls="off")


def test_chat_reaches_the_other_user_and_is_timed(connect: Connect) -> None:
    sent, received = recorded(meters.messages_sent), recorded(meters.messages_received)
    timed = recorded(meters.message_ttd)
    with connect() as alice, connect() as bob:
        alice.send_presence()
        bob.send_presence()
        bob.receive(xmpp.is_presence, timeout=PATIENCE_S)
        text = "5 < 6 & 'x' \"y\" – 😀\n\ttabbed"
        alice.send_chat(bob.user_id or 0, text)
        message = bob.receive(xmpp.is_chat, timeout=PATIENCE_S)
        assert message.body == text
        assert message.sender == alice.jid
        assert message["body"] == text  # as slixmpp reads it
        bob.send_chat(message.sender, "back")
        assert alice.receive(xmpp.from_jid(bob.bare_jid), timeout=PATIENCE_S).body == "back"
    assert recorded(meters.messages_sent) - sent == 2
    assert recorded(meters.messages_received) - received == 2
    assert recorded(meters.message_ttd) - timed == 2


def test_messages_arrive_in_the_order_in_which_they_were_sent(connect: Connect) -> None:
    with connect() as alice, connect(inbox_size=1000) as bob:
        bob.send_presence()
        bob.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for number in range(500):
            alice.send_chat(bob.jid, str(number))
        got = [bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body for _ in range(500)]
    assert got == [str(number) for number in range(500)]


def test_a_message_to_nobody_comes_back_as_an_error(connect: Connect) -> None:
    before = recorded(meters.message_errors)
    with connect() as client:
        client.send_chat("nobody-at-all@localhost", "hello?")
        error = client.receive(xmpp.is_error, timeout=PATIENCE_S)
        assert error.error is not None
        assert error.error[0] == "service-unavailable"
    assert recorded(meters.message_errors) == before + 1


def test_presence_reaches_those_who_subscribed(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        alice.send_presence()
        bob.send_presence()
        alice.send_presence(bob.bare_jid, type="subscribe")
        wish = bob.receive(xmpp.is_subscription, timeout=PATIENCE_S)
        assert (wish.type, wish.sender) == ("subscribe", alice.bare_jid)
        bob.send_presence(alice.bare_jid, type="subscribed")
        alice.receive(xmpp.is_available & xmpp.from_jid(bob.bare_jid), timeout=PATIENCE_S)
        bob.send_presence(show="away", status="tea & cake", priority=3)
        away = alice.receive(xmpp.from_jid(bob.jid) & xmpp.is_available, timeout=PATIENCE_S)
        if away["show"] != "away":  # the presence sent with the subscription
            away = alice.receive(xmpp.from_jid(bob.jid) & xmpp.is_available, timeout=PATIENCE_S)
        assert (away["show"], away["status"], away["priority"]) == ("away", "tea & cake", 3)
        assert alice.roster()[bob.bare_jid].subscription == "to"
        bob.close()
        alice.receive(xmpp.is_unavailable & xmpp.from_jid(bob.bare_jid), timeout=PATIENCE_S)


def test_the_roster_is_read_changed_and_pushed(connect: Connect) -> None:
    with connect() as client:
        assert client.roster() == {}
        client.add_to_roster("friend@localhost", "My <best> friend", ["Friends", "R & D"])
        contact = client.roster()["friend@localhost"]
        assert contact.name == "My <best> friend"
        assert sorted(contact.groups) == ["Friends", "R & D"]
        assert contact.subscription == "none"
        push = client.receive(xmpp.is_request, timeout=PATIENCE_S)
        assert push["roster"]["items"]
        client.remove_from_roster("friend@localhost")
        assert client.roster() == {}


def test_an_iq_is_answered(connect: Connect) -> None:
    with connect() as client:
        from slixmpp import Iq

        iq = Iq()
        iq["type"] = "get"
        iq["to"] = "localhost"
        iq["query"] = "http://jabber.org/protocol/disco#info"
        answer = client.request(iq, timeout=PATIENCE_S)
        assert answer.type == "result"
        assert answer["query"] == "http://jabber.org/protocol/disco#info"
        assert client.ping(timeout=PATIENCE_S) > 0


def test_a_refused_iq_raises_the_servers_condition(connect: Connect) -> None:
    with connect() as client:
        with pytest.raises(xmpp.IqError) as raised:
            client.request("<query xmlns='urn:example:nothing'/>", to="localhost")
        assert raised.value.condition == "service-unavailable"
        assert raised.value.kind == "cancel"
        assert raised.value.answer is not None


def test_users_answer_each_others_iqs_automatically(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        assert alice.ping(bob.jid, timeout=PATIENCE_S) > 0
        with pytest.raises(xmpp.IqError) as raised:
            alice.request("<query xmlns='jabber:iq:version'/>", PATIENCE_S, to=bob.jid)
        assert raised.value.condition == "service-unavailable"


def test_a_handler_may_answer_an_iq_itself(connect: Connect) -> None:
    with connect() as alice, connect() as bob:

        def answer(iq: xmpp.Stanza) -> bool:
            bob.send(f"<iq type='result' id='{iq.id}' to='{iq.sender}'><x xmlns='urn:x'/></iq>")
            return True

        bob.on_received(xmpp.has_child("urn:x", "q"), answer)
        result = alice.request("<q xmlns='urn:x'/>", PATIENCE_S, to=bob.jid)
        assert result.payload is not None
        assert result.payload.tag == "{urn:x}x"


def test_a_user_registers_or_logs_in_if_the_name_is_taken(connect: Connect) -> None:
    with connect(username="newcomer", password="s3cret & more", register=True) as client:
        assert client.bare_jid == "newcomer@localhost"
    with connect(username="newcomer", password="s3cret & more", register=True):
        pass
    with connect(username="newcomer", password="s3cret & more") as client:
        client.unregister()
    with pytest.raises(xmpp.SaslError):
        connect(username="newcomer", password="s3cret & more")


def test_a_second_session_with_the_same_resource_ends_the_first_with_conflict(
    connect: Connect,
) -> None:
    with connect(interrupts=False) as first:
        with connect(first.user_id):
            with pytest.raises(xmpp.StreamError) as raised:
                first.receive(timeout=PATIENCE_S)
            assert raised.value.condition == "conflict"
        assert not first.is_open


def test_bad_xml_is_answered_by_the_servers_stream_error(connect: Connect) -> None:
    with connect(interrupts=False) as client:
        client.send("<message><body></message>")
        with pytest.raises(xmpp.StreamError) as raised:
            client.receive(timeout=PATIENCE_S)
        assert raised.value.condition == "not-well-formed"


def test_messages_sent_before_close_arrive_though_the_sender_reads_nothing(
    connect: Connect,
) -> None:
    with connect(inbox_size=1000) as bob:
        bob.send_presence()
        bob.receive(xmpp.is_presence, timeout=PATIENCE_S)
        with connect() as alice:
            for number in range(300):
                # Each also sends one to itself, so that there is unread input when it closes.
                alice.send_chat(bob.jid, str(number))
                alice.send_chat(alice.jid, str(number))
        for number in range(300):
            assert bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body == str(number)


def test_neighbours_lose_no_message_when_they_join_and_leave(connect: Connect) -> None:
    numbers = [next(_users) for _ in range(6)]
    sent: dict[tuple[int, int], int] = {}
    received: dict[tuple[int, int], int] = {}
    leaving: set[int] = set()

    def user(me: int) -> None:
        with connect(me, inbox_size=0) as client:

            def count(message: xmpp.Stanza) -> None:
                pair = (int((message.body or "").partition(" ")[0]), me)
                received[pair] = received.get(pair, 0) + 1

            client.on_received(xmpp.is_chat, count)
            client.send_presence()
            others = xmpp.Neighbours(client, [one for one in numbers if one != me])
            while me not in leaving:
                for other in others:
                    client.send_chat(other, f"{me} writes")
                    sent[me, other] = sent.get((me, other), 0) + 1
                gevent.sleep(0.002)
            others.part(PATIENCE_S)

    users = [gevent.spawn(user, number) for number in numbers]
    with gevent.Timeout(PATIENCE_S):
        while len(sent) < len(numbers) * (
            len(numbers) - 1
        ):  # until everybody has written to everybody
            gevent.sleep(0.01)
    # The first half leaves while the others still write, the other half all at once.
    leaving.update(numbers[:3])
    gevent.joinall(users[:3], timeout=PATIENCE_S, raise_error=True)
    leaving.update(numbers)
    gevent.joinall(users, timeout=PATIENCE_S, raise_error=True)
    assert all(one.successful() for one in users)
    assert received == sent


@pytest.mark.slow
def test_2000_users_are_logged_in_at_once_and_chat_with_each_other(prosody: Prosody) -> None:
    count = 2000
    clients: dict[int, xmpp.Client] = {}
    pool = gevent.pool.Pool(100)

    def log_in(number: int) -> None:
        client = xmpp.connect(number, server=prosody.address, mechanism="PLAIN", timeout=120.0)
        client.send_presence()
        client.receive(xmpp.is_presence, timeout=120.0)
        clients[number] = client

    for _ in pool.imap_unordered(log_in, range(1, count + 1)):
        pass
    try:
        assert all(client.is_open for client in clients.values())
        for number, client in clients.items():
            client.send_chat(number % count + 1, str(number))
        for number, client in clients.items():
            expected = str((number - 2) % count + 1)
            assert client.receive(xmpp.is_chat, timeout=120.0).body == expected
    finally:
        for client in clients.values():
            client.abort()


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("kind", [Prosody, Ejabberd])
def test_a_server_does_not_outlive_a_killed_test_run(
    kind: type[Prosody | Ejabberd], tmp_path: Path
) -> None:
    kind.available()
    code = f"""
        import pathlib, sys, time
        from {kind.__module__} import {kind.__name__} as Server
        server = Server(pathlib.Path(sys.argv[1]))
        print(server.pid, flush=True)
        time.sleep(60)
    """
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert kind.__name__.lower().encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        run.kill()
    with gevent.Timeout(PATIENCE_S):
        while alive(pid):
            gevent.sleep(0.01)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_slixmpp_client_can_be_a_users_connection(
    connect: Connect, xmpp_server: XmppServer, mechanism: str
) -> None:
    class Echo(slixmpp.ClientXMPP):  # type: ignore[misc]
        def __init__(self, jid: str, password: str) -> None:
            super().__init__(jid, password)
            self.register_plugin("xep_0030")
            self.add_event_handler("session_start", lambda _: self.send_presence())
            self.add_event_handler("message", self.answer)

        async def answer(self, message: Any) -> None:
            message.reply(message["body"]).send()

    number = next(_users)
    echo = xmpp.slixmpp_client(Echo, number, server=xmpp_server.address, mechanism=mechanism)
    with echo as one, connect() as lean:
        info = one.run(one.client.plugin["xep_0030"].get_info("localhost"), PATIENCE_S)
        assert info["disco_info"]["identities"]
        lean.send_presence()
        lean.send_chat(one.jid, "echo")
        assert lean.receive(xmpp.is_chat, PATIENCE_S).body == "echo"
