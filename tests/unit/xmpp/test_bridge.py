"""slixmpp clients as users' connections, against the embedded server in a separate process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import slixmpp

from amoc import xmpp
from amoc.base.errors import ClosedError, ScenarioError
from amoc.base.loop_guard import guard_loop
from amoc.base.waiting import Waiter, interrupt, wait
from amoc.users.user import UserStopped
from amoc.xmpp import meters
from tests.unit.xmpp.fake import HEADER, OFFER, SASL, Conn, FakeServer, TlsConn, count, serving
from tests.unit.xmppd.sockets import Daemon

PATIENCE_S = 60.0
NS_TLS = b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with Daemon() as daemon:
        yield f"127.0.0.1:{daemon.port}"


class Chatter(slixmpp.ClientXMPP):
    """A client as its author would have written it for slixmpp."""

    def __init__(self, jid: str, password: str, mood: str = "calm") -> None:
        super().__init__(jid, password)
        self.mood = mood
        self.came: asyncio.Queue[str] = asyncio.Queue()
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("message", self.take)

    def begin(self, _: object) -> None:
        self.send_presence()

    async def take(self, message: Any) -> None:
        if message["body"].startswith("raise"):
            raise RuntimeError(message["body"])
        await self.came.put(message["body"])

    def take_at_once(self, message: Any) -> None:
        raise RuntimeError("at once: " + message["body"])


class OldChatter(slixmpp.ClientXMPP):
    """A client that does not use super()."""

    def __init__(self, jid: str, password: str) -> None:
        slixmpp.ClientXMPP.__init__(self, jid, password)


def say(one: Any, to: int, body: str) -> None:
    one.run(lambda: one.client.send_message(f"user_{to}@localhost", body, mtype="chat"))


def meet(one: Any) -> None:
    """Wait for an answer sent after the presence: the server then knows that `one` is available."""
    one.run(one.client.plugin["xep_0199"].ping("localhost"), PATIENCE_S)


@pytest.fixture
def chatter(server: str) -> Iterator[Any]:
    with xmpp.slixmpp_client(Chatter, 1, server=server, mood="merry") as one:
        one.run(lambda: one.client.register_plugin("xep_0199"))
        meet(one)
        yield one


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_two_users_exchange_messages_and_are_counted(
    chatter: Any, server: str, mechanism: str
) -> None:
    counted = (
        meters.connections, meters.connected, meters.messages_sent, meters.messages_received
    )  # fmt: skip
    connections, connected, sent, received = map(count, counted)
    assert chatter.client.mood == "merry"
    assert chatter.jid == "user_1@localhost/amoc"
    with xmpp.slixmpp_client(OldChatter, 2, server=server, mechanism=mechanism) as other:
        assert count(meters.connections) == connections + 1
        assert count(meters.connected) == connected + 1
        assert isinstance(other.client, OldChatter)
        say(other, 1, "hello")
        assert chatter.run(chatter.client.came.get(), PATIENCE_S) == "hello"
        assert count(meters.messages_sent) == sent + 1
        assert count(meters.messages_received) == received + 1
    assert not other.is_open
    assert count(meters.connected) == connected


def test_amocs_own_client_times_stamped_messages_of_slixmpp(chatter: Any, server: str) -> None:
    with xmpp.connect(3, server=server) as lean:
        lean.send_presence()
        lean.receive(xmpp.is_presence, PATIENCE_S)
        before = count(meters.message_ttd)
        message = chatter.client.make_message("user_3@localhost", "hello", mtype="chat")
        message["id"] = xmpp.stamp()
        chatter.run(message.send)
        assert lean.receive(xmpp.is_chat, PATIENCE_S).body == "hello"
        lean.send_chat(1, "hello back")
        assert chatter.run(chatter.client.came.get(), PATIENCE_S) == "hello back"
        assert count(meters.message_ttd) == before + 2


def test_all_clients_share_one_ssl_context(chatter: Any, server: str) -> None:
    with xmpp.slixmpp_client(slixmpp.ClientXMPP, 4, server=server) as other:
        assert other.client.ssl_context is chatter.client.ssl_context


def test_exceptions_of_an_awaitable_are_raised_in_the_user(chatter: Any) -> None:
    async def fail() -> None:
        raise LookupError("there is none")

    with pytest.raises(LookupError, match="there is none"):
        chatter.run(fail())
    assert chatter.is_open


def test_a_call_that_takes_too_long_is_cancelled(chatter: Any) -> None:
    ended: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(PATIENCE_S)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(xmpp.CallTimeout, match=r"longer than 0\.05 s"):
        chatter.run(linger(), 0.05)
    meet(chatter)
    assert ended == ["cancelled"]


def test_stopping_a_user_cancels_its_call_and_closes_the_client(server: str) -> None:
    ended: list[str] = []
    begun: Waiter[bool] = Waiter()

    async def linger() -> None:
        begun.set(True)
        begun.wake()
        try:
            await asyncio.sleep(PATIENCE_S)
        finally:
            ended.append("cancelled")

    def user() -> None:
        try:
            with xmpp.slixmpp_client(Chatter, 5, server=server) as one:
                clients.append(one)
                one.run(linger())
        except UserStopped:
            ended.append("stopped")

    clients: list[Any] = []
    one = gevent.spawn(user)
    assert begun.wait(PATIENCE_S)
    interrupt(one, UserStopped())
    one.join(PATIENCE_S)
    assert sorted(ended) == ["cancelled", "stopped"]
    assert not clients[0].is_open
    with pytest.raises(ClosedError):
        clients[0].run(lambda: None)


def wait_for_nothing(chatter: Any) -> None:
    for _ in range(1000):
        if not chatter.is_open:
            break
        gevent.sleep(0.01)
    chatter.run(lambda: None)


WAITS = {
    "run": lambda chatter: chatter.run(asyncio.Event().wait(), PATIENCE_S),
    "wait": lambda _: wait(Waiter(), PATIENCE_S),
    "nothing": wait_for_nothing,
}


@pytest.mark.parametrize("waits_in", WAITS)
@pytest.mark.parametrize("kind", ["coroutine", "function"])
def test_an_exception_in_a_handler_ends_the_user(
    chatter: Any, server: str, waits_in: str, kind: str
) -> None:
    with xmpp.connect(6, server=server) as lean:
        if kind == "function":
            chatter.client.add_event_handler("message", chatter.client.take_at_once)
        before = count(meters.disconnections)
        lean.send_chat(1, "raise")
        with pytest.raises(RuntimeError, match="raise"):
            WAITS[waits_in](chatter)
        assert not chatter.is_open
        assert count(meters.disconnections) == before + 1
        wait(Waiter(), 0.01)  # it is raised only once


def test_a_handler_must_not_wait_for_itself(chatter: Any) -> None:
    with pytest.raises(ScenarioError, match="must await"):
        chatter.run(lambda: chatter.run(asyncio.sleep(0)))
    assert chatter.is_open


def test_sys_exit_in_a_callback_does_not_end_the_process(chatter: Any) -> None:
    heard: list[BaseException] = []
    unguard = guard_loop(lambda _, error: heard.append(error))
    try:
        chatter.run(lambda: asyncio.get_running_loop().call_soon(sys.exit, 7))
        meet(chatter)
    finally:
        unguard()
    assert [type(error) for error in heard] == [SystemExit]


def test_a_server_that_dies_interrupts_the_users_wait() -> None:
    with Daemon() as daemon:
        address = f"127.0.0.1:{daemon.port}"
        before = count(meters.connected)
        with xmpp.slixmpp_client(Chatter, 1, server=address):
            daemon.process.kill()
            with pytest.raises(xmpp.Disconnected, match=r"user_1@localhost at 127\.0\.0\.1"):
                wait(Waiter(), PATIENCE_S)
            assert count(meters.connected) == before


def test_a_refused_login_or_connection_raises_the_same_errors_as_connect(server: str) -> None:
    before = count(meters.connection_failures)
    with pytest.raises(xmpp.SaslError) as raised:
        xmpp.slixmpp_client(Chatter, 1, server=server, password="wr0ng")
    assert raised.value.condition == "not-authorized"
    with pytest.raises(xmpp.ConnectError):
        xmpp.slixmpp_client(Chatter, 1, server="127.0.0.1:1", attempts=1)
    assert count(meters.connection_failures) == before + 2


def refusing(conn: Conn) -> None:
    assert isinstance(conn, TlsConn)
    conn.expect(rb"<stream:stream[^>]*>")
    conn.say(HEADER + OFFER)
    conn.expect(rb"<auth[^>]*>[^<]*</auth>")
    conn.say(b"<failure %s><not-authorized/></failure>" % SASL)


def refusing_after_starttls(conn: Conn) -> None:
    assert isinstance(conn, StartTlsConn)
    conn.expect(rb"<stream:stream[^>]*>")
    conn.say(HEADER + b"<stream:features><starttls %s/></stream:features>" % NS_TLS)
    conn.expect(rb"<starttls [^>]*>")
    conn.say(b"<proceed %s/>" % NS_TLS)
    conn.start_tls()
    refusing(conn)


class StartTlsConn(TlsConn):
    scheme = ""

    def begin(self) -> None:
        """Do nothing: TLS starts later."""


@pytest.mark.parametrize(
    ("speaks", "script"), [(TlsConn, refusing), (StartTlsConn, refusing_after_starttls)]
)
@pytest.mark.parametrize("trusted", [True, False])
def test_tls_follows_the_settings(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    speaks: type[Conn],
    script: Any,
    trusted: bool,
) -> None:
    request.getfixturevalue("authority" if trusted else "session_authority")
    wanted = xmpp.SaslError if trusted else xmpp.CertificateError
    monkeypatch.setattr(FakeServer, "speaks", speaks)
    with serving(script) as fake, pytest.raises(wanted):
        xmpp.slixmpp_client(Chatter, 1, server=fake.address, attempts=1)


def test_a_class_other_than_a_slixmpp_client_is_refused(server: str) -> None:
    with pytest.raises(ScenarioError, match=r"slixmpp_client needs slixmpp\.ClientXMPP"):
        xmpp.slixmpp_client(dict, 1, server=server)  # type: ignore[type-var]


def test_an_unreferenced_client_closes_its_connection(server: str) -> None:
    before = count(meters.connected)
    one: Any = xmpp.slixmpp_client(Chatter, 7, server=server)
    client = one.client
    del one
    for _ in range(100):
        if not client.is_connected():
            break
        gevent.sleep(0.01)
    assert not client.is_connected()
    assert count(meters.connected) == before


def test_slixmpp_is_not_imported_unless_used() -> None:
    code = "import sys; from amoc import xmpp; print('slixmpp' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert said == "False\n"


def test_a_process_that_has_parsed_stanzas_exits_cleanly() -> None:
    # CPython 3.12 crashes at exit if an ElementTree parser is still alive.
    code = "from amoc.xmpp.stanza import PARSERS; assert PARSERS.read(b'<iq/>').tag"
    subprocess.run([sys.executable, "-c", code], check=True)
