"""Connecting: retries, cleanup and the trace."""

from __future__ import annotations

import base64
import re
import sys
import textwrap
from pathlib import Path

import gevent
import gevent.subprocess
import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.metrics.board import UserState
from amoc.users.user import StopReason, User
from amoc.xmpp import meters, options, tracing
from tests.unit.xmpp.fake import (
    HEADER,
    LOGIN,
    MESSAGE,
    OFFER,
    PATIENCE_S,
    SASL,
    Conn,
    connect,
    count,
    idle,
    saying,
    serving,
    session,
)


def test_a_temporary_failure_is_retried_on_the_next_server() -> None:
    def busy(conn: Conn) -> None:
        conn.expect(rb"<stream:stream")
        conn.log_in(LOGIN[:0])

    failures, connections = count(meters.connection_failures), count(meters.connections)
    with serving(busy) as bad, serving(session(idle)) as good:
        servers = f"{good.address},{bad.address}"  # user 1 begins with the second
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(options.xmpp_servers, "default", servers)
            patch.setattr(options.xmpp_connect_pause, "default", 0.001)
            with xmpp.connect(1, mechanism="PLAIN", attempts=2) as client:
                assert client.is_open
        assert (bad.connections, good.connections) == (1, 1)
    assert count(meters.connection_failures) == failures + 1
    assert count(meters.connections) == connections + 1


def test_a_wrong_password_is_not_retried() -> None:
    def refusing(conn: Conn) -> None:
        conn.log_in(LOGIN[:1])
        conn.expect(rb"<auth")
        conn.say(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
        conn.rest()

    with serving(refusing) as server, pytest.raises(xmpp.SaslError):
        connect(server, attempts=5)
    assert server.connections == 1


def test_a_user_asked_to_stop_does_not_retry() -> None:
    class Crowd:
        states = memoryview(bytearray(2))
        seed, repeat_num, repeat_interval_s, crash_pause_s = 1, 1.0, 0.0, 0.1
        wait_turn = None
        errors: list[BaseException] = []  # noqa: RUF012
        gone = gevent.event.Event()

        def run_once(self, user_id: int) -> None:
            xmpp.connect(user_id, server=address, attempts=1_000_000)

        def crashed(self, _: User, error: BaseException) -> None:
            self.errors.append(error)

        def iteration_ended(self, _: User) -> None: ...

        def left(self, _: User) -> None:
            self.gone.set()

    with serving(idle) as server:
        address = server.address
    crowd = Crowd()
    user = User(1, crowd)
    gevent.get_hub().loop.run_callback(user.switch)
    with gevent.Timeout(PATIENCE_S):
        while user.waiting_for is None:  # until it pauses between two attempts
            gevent.sleep(0)
    user.ask_to_stop(StopReason.RUN_ENDS)
    assert crowd.gone.wait(PATIENCE_S)
    assert crowd.errors == []
    assert crowd.states[1] == UserState.FINISHED


def test_failed_connection_attempts_leave_no_descriptors_open() -> None:
    def refusing(conn: Conn) -> None:
        conn.expect(rb"<stream:stream")

    with serving(refusing) as server:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            with pytest.raises(xmpp.Disconnected):
                connect(server)
        gevent.sleep(0.01)  # the server's ends
        after = len(list(Path("/proc/self/fd").iterdir()))
    assert after <= before + 1


def test_missing_or_invalid_arguments_are_errors() -> None:
    with pytest.raises(ScenarioError, match="user_id or a username"):
        xmpp.connect(server="127.0.0.1:1")
    with pytest.raises(ScenarioError, match="mechanism must be one of"):
        xmpp.connect(1, mechanism="DIGEST-MD5")
    with pytest.raises(ScenarioError, match="server must be host:port"):
        xmpp.connect(1, server="::1:5222:x")


def test_a_trace_shows_the_traffic_without_secrets() -> None:
    seen: list[tuple[str, str, str]] = []
    xmpp.trace(lambda *what: seen.append(what))
    try:
        with serving(saying(MESSAGE)) as server, connect(server) as client:
            xmpp.trace(None)
            client.send_presence()
            client.receive(timeout=PATIENCE_S)
            client.send("<iq type='set'><query><password>pass word_1</password></query></iq>")
    finally:
        xmpp.trace(None)
    sent = [text for direction, _, text in seen if direction == "sent"]
    received = "".join(text for direction, _, text in seen if direction == "received")
    assert sent[0].startswith("<?xml")
    assert sent[1].endswith("mechanism='PLAIN'>***</auth>")
    assert "<presence/>" in sent
    assert "<iq type='set'><query><password>***</password></query></iq>" in sent
    assert MESSAGE.decode() in received
    assert all("password_1" not in text and "cGFzc3dvcmRf" not in text for *_, text in seen)
    assert {who for _, who, _ in seen} == {f"user_1@localhost at {server.address}"}


@pytest.mark.parametrize("name", ["password", "challenge", "success", "sasl:challenge"])
def test_a_secret_received_in_several_pieces_is_masked(name: str) -> None:
    data = f"<a><b>c</b><{name} xmlns='d'>s3cr3t</{name}></a>".encode()
    seen: list[str] = []
    try:
        xmpp.trace(lambda *what: seen.append(what[2]))
        for at in range(1, len(data) - 1):
            shown = tracing.current()
            assert shown is not None
            for piece in (data[:at], data[at : at + 1], data[at + 1 :]):
                shown.received("user_1", piece)
            masked = re.sub(r"(\*\*\*)+", "***", "".join(seen))
            assert masked == f"<a><b>c</b><{name} xmlns='d'>***</{name}></a>"
            seen.clear()
    finally:
        xmpp.trace(None)


# Host limits and user behaviour


@pytest.mark.slow
def test_a_process_out_of_descriptors_reports_it_and_recovers() -> None:
    code = """
        import resource
        import sys
        from amoc import config as settings
        from amoc.scenario.resolving import resolve
        from amoc import xmpp
        from tests.unit.xmpp.fake import connect
        settings.apply(resolve(settings.declared(), []))  # as in a run
        address = sys.argv[1]
        clients = [connect(address)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        try:
            for _ in range(40):
                clients.append(connect(address, attempts=5))
            print("no error")
        except xmpp.OutOfFilesError as error:
            print("may open only 40" in str(error) and "maximum 40" in str(error))
        print(len(clients) > 5, all(client.is_open for client in clients))
        clients.pop().close()
        clients.append(connect(address))
        print("ok")
        for client in clients:
            client.abort()
    """
    with serving(session(idle)) as server:
        # gevent's own subprocess keeps the loop, and thus the server, running.
        done = gevent.subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), server.address],
            stdout=gevent.subprocess.PIPE,
            stderr=gevent.subprocess.PIPE,
            timeout=60,
            cwd=Path(__file__).parents[3],
        )
    assert done.stdout.decode().split("\n")[:3] == ["True", "True True", "ok"], done.stderr.decode()


def test_a_killed_user_leaves_no_connection_behind() -> None:
    heard: list[bytes] = []
    inside: list[bool] = []

    def script(conn: Conn) -> None:
        conn.log_in()
        heard.append(conn.rest())

    def user() -> None:
        with connect(server) as client:
            inside.append(True)
            client.receive()

    with serving(script) as server:
        greenlet = gevent.spawn(user)
        while not inside:
            gevent.sleep(0.001)
        greenlet.kill(timeout=PATIENCE_S)
        while not heard:
            gevent.sleep(0.001)
    assert heard[0].endswith(b"</stream:stream>") or heard == [b""]


def test_a_server_that_does_not_know_the_password_is_rejected() -> None:
    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(HEADER + OFFER.replace(b"PLAIN", b"SCRAM-SHA-1"))
        auth = conn.expect(rb"<auth[^>]*>([^<]*)</auth>")[1]
        nonce = base64.b64decode(auth).rpartition(b"r=")[2]
        first = base64.b64encode(b"r=" + nonce + b"more,s=QSXCR+Q6sek8bf92,i=4096")
        conn.say(b"<challenge " + SASL + b">" + first + b"</challenge>")
        conn.expect(rb"</response>")
        conn.say(b"<success " + SASL + b">" + base64.b64encode(b"v=AAAA") + b"</success>")
        conn.rest()

    with serving(script) as server, pytest.raises(xmpp.SaslError) as raised:
        connect(server, mechanism="SCRAM-SHA-1")
    assert raised.value.condition == "bad-server-signature"
