"""TLS in the client: when it is used, which certificates it trusts, how failures are reported."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import gevent.ssl
import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.base.tls_context import MAX_SESSIONS, Sessions
from amoc.xmpp import meters, options
from tests.certificates import Authority
from tests.unit.xmpp.fake import (
    BINDING,
    HEADER,
    LOGIN,
    OFFER,
    PATIENCE_S,
    Conn,
    FakeServer,
    TlsConn,
    connect,
    idle,
    serving,
    session,
)
from tests.unit.xmpp.fake import count as recorded

pytestmark = pytest.mark.usefixtures("authority")

TLS = b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'"
OFFERS_TLS = OFFER.replace(b"<stream:features>", b"<stream:features><starttls " + TLS + b"/>")
PROCEED = b"<proceed " + TLS + b"/>"


class StartTlsConn(TlsConn):
    """The server end of a connection that begins without TLS."""

    scheme = ""

    def begin(self) -> None:
        """Begin without TLS."""

    def proceed(self, answer: bytes = PROCEED) -> None:
        """Offer STARTTLS and send `answer`."""
        self.expect(rb"<stream:stream[^>]*>")
        self.say(HEADER + OFFERS_TLS)
        self.expect(rb"<starttls[^>]*/>")
        self.say(answer)


Script = Callable[[Any], object]


@contextmanager
def speaking(
    kind: type[Conn],
    script: Script,
    certificate: str = "",
    monkeypatch: pytest.MonkeyPatch | None = None,
    **context: Any,
) -> Iterator[FakeServer]:
    """A server that speaks `kind`, with a different certificate or context if given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeServer, "speaks", kind)
        if certificate or context:
            made = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.load_cert_chain(certificate)
            for name, value in context.items():
                setattr(made, name, value)
            patch.setattr(TlsConn, "context", made)
        with serving(script) as server:
            yield server


def over_tls(after: Script = idle) -> Script:
    def script(conn: StartTlsConn) -> None:
        conn.proceed()
        conn.start_tls()
        conn.log_in()
        after(conn)

    return script


@pytest.mark.parametrize("mode", ["auto", "starttls"])
def test_a_connection_is_upgraded_to_tls_when_the_server_offers_it(mode: str) -> None:
    before = recorded(meters.tls_handshake)
    with speaking(StartTlsConn, over_tls()) as server, connect(server, tls=mode) as client:
        assert client.is_open
    assert recorded(meters.tls_handshake) == before + 1


def test_tls_off_ignores_a_starttls_offer() -> None:
    def script(conn: StartTlsConn) -> None:
        conn.log_in([(LOGIN[0][0], HEADER + OFFERS_TLS), *LOGIN[1:]])
        idle(conn)

    with speaking(StartTlsConn, script) as server, connect(server, tls="off") as client:
        assert client.is_open


def test_a_connection_is_never_silently_plain_if_tls_is_required() -> None:
    with serving(session(idle)) as server:
        with pytest.raises(xmpp.TlsRequiredError, match="xmpp_tls is starttls") as raised:
            connect(server, tls="starttls")
        assert raised.value.cause == "tls"
        with connect(server, tls="auto") as client:
            assert client.is_open
    with pytest.raises(ScenarioError, match="wss://"):
        xmpp.connect(1, server="ws://127.0.0.1:1/x", tls="starttls")
    with pytest.raises(ScenarioError, match="tls must be one of auto, starttls, direct, off"):
        xmpp.connect(1, server="127.0.0.1:1", tls="yes")


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"<failure " + TLS + b"/></stream:stream>", xmpp.TlsError, "refuses it"),
        (b"<message/>", xmpp.BadStreamError, "the answer to STARTTLS must be"),
        (PROCEED + b"<message/>", xmpp.BadStreamError, "data before the TLS handshake"),
    ],
)
def test_a_wrong_answer_to_starttls_is_an_error(
    answer: bytes, error: type[xmpp.XmppError], text: str
) -> None:
    def script(conn: StartTlsConn) -> None:
        conn.proceed(answer)
        conn.rest()

    with speaking(StartTlsConn, script) as server, pytest.raises(error, match=text):
        connect(server)


@pytest.mark.parametrize(
    ("names", "days", "text"),
    [
        (["localhost"], -1.0, "has expired; renew it"),
        (["elsewhere.example"], 2.0, "not for localhost; set xmpp_tls_name"),
    ],
)
def test_an_invalid_certificate_is_an_error_that_names_the_setting(
    authority: Authority, names: list[str], days: float, text: str
) -> None:
    certificate = authority.issue("bad.pem", names, days)
    with (
        speaking(TlsConn, session(idle), certificate) as server,
        pytest.raises(xmpp.CertificateError, match=text) as raised,
    ):
        connect(server, attempts=3)
    assert server.connections == 1  # not tried again
    assert raised.value.cause == "tls"


def test_an_unknown_ca_is_an_error_unless_verification_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options.xmpp_tls_ca, "default", "")
    with speaking(TlsConn, session(idle)) as server:
        with pytest.raises(xmpp.CertificateError, match="set xmpp_tls_ca"):
            connect(server)
        before = recorded(meters.tls_unverified)
        monkeypatch.setattr(options.xmpp_tls_verify, "default", False)
        with connect(server) as client:
            assert client.is_open
        assert recorded(meters.tls_unverified) == before + 1


def test_the_name_to_verify_may_differ_from_the_domain(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setattr(options.xmpp_tls_name, "default", "chat.example")
    certificate = authority.issue("chat.pem", ["chat.example"])
    asked: list[str | None] = []

    def note(_sock: object, name: str | None, _context: object) -> None:
        asked.append(name)

    with (
        speaking(TlsConn, session(idle), certificate, sni_callback=note) as server,
        connect(server) as client,
    ):
        assert client.is_open
    assert asked == ["chat.example"]


def test_an_old_tls_version_is_refused_and_the_error_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setattr(options.xmpp_tls_minimum_version, "default", "1.3")
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    with (
        speaking(TlsConn, session(idle), authority.issue("old.pem"), **old) as server,
        pytest.raises(xmpp.TlsError, match="xmpp_tls_minimum_version"),
    ):
        connect(server)


def test_a_server_that_requires_a_client_certificate_is_an_error_that_names_the_setting(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(authority.issue("mutual.pem"))
    made.load_verify_locations(authority.ca)
    made.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setattr(TlsConn, "context", made)
    with speaking(TlsConn, session(idle)) as server:
        with pytest.raises(xmpp.TlsError, match="xmpp_tls_certificate"):
            connect(server, attempts=3)
        assert server.connections == 1
        authority.issue("user_1.pem", jid="user_1@localhost")
        pattern = str(authority.directory / "user_{id}.pem")
        monkeypatch.setattr(options.xmpp_tls_certificate, "default", pattern)
        with connect(server) as client:
            assert client.is_open


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP without TLS on this port"),
        (HEADER, "speaks XMPP without TLS on this port; use xmpp_tls=starttls"),
        (b"SSH-2.0-x\r\n", "speaks SSH without TLS"),
        (b"\0\0\0", "speaks something other than TLS"),
    ],
)
def test_the_error_says_what_a_port_without_tls_speaks(said: bytes, text: str) -> None:
    def script(conn: Conn) -> None:
        conn.hear()
        conn.say(said)
        conn.rest()

    with speaking(Conn, script) as server, pytest.raises(xmpp.TlsError, match=text):
        connect(server, tls="direct", attempts=3)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x16", "speaks TLS on this port, so use xmpp_tls=direct"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP on this port, so use ws://"),
    ],
)
def test_the_error_says_what_a_port_without_xmpp_speaks(said: bytes, text: str) -> None:
    def script(conn: Conn) -> None:
        conn.hear()
        conn.say(said)
        conn.rest()

    with serving(script) as server, pytest.raises(xmpp.BadStreamError, match=text):
        connect(server)


def test_the_tls_handshake_is_limited_by_the_connect_timeout() -> None:
    def script(conn: Conn) -> None:
        conn.hear()
        conn.rest()

    with (
        speaking(Conn, script) as server,
        pytest.raises(xmpp.ConnectTimeout, match="TLS handshake in time") as raised,
    ):
        connect(server, tls="direct", timeout=0.05)
    assert raised.value.cause == "timeout-tls"


def test_a_connection_closed_during_the_handshake_is_a_clear_error() -> None:
    with (
        speaking(Conn, Conn.hear) as server,
        pytest.raises(xmpp.ConnectError, match="closed the connection during the TLS handshake"),
    ):
        connect(server, tls="direct")


def test_a_connection_cut_without_a_tls_close_is_reported_as_incomplete() -> None:
    def cut(conn: TlsConn) -> None:
        conn.sock.shutdown(1)  # of the TCP connection
        conn.rest()

    with speaking(TlsConn, session(cut)) as server:
        client = connect(server)
        with pytest.raises(xmpp.Disconnected, match="may be incomplete") as raised:
            client.receive(timeout=10)
        assert raised.value.cause == "closed"


def test_a_tls_close_without_a_stream_end_is_a_closed_connection() -> None:
    def end(conn: TlsConn) -> None:
        conn.sock.unwrap()

    with speaking(TlsConn, session(end)) as server:
        client = connect(server)
        with pytest.raises(xmpp.Disconnected, match="the server closed the connection"):
            client.receive(timeout=10)


def test_closing_the_client_sends_a_tls_close() -> None:
    ends: list[bytes] = []

    def script(conn: TlsConn) -> None:
        conn.log_in()
        conn.expect(rb"</stream:stream>")
        conn.say(b"</stream:stream>")
        ends.append(conn.sock.recv(100))  # raises if the connection is cut instead

    with speaking(TlsConn, script) as server:
        with connect(server):
            pass
        while not ends:
            gevent.sleep(0.001)
    assert ends == [b""]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_sessions_are_resumed_if_enabled(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    certificate = authority.issue("resumed.pem")
    resumed: list[int] = []
    with speaking(TlsConn, session(idle), certificate, maximum_version=version) as server:
        for wanted in (False, True):
            monkeypatch.setattr(options.xmpp_tls_resumption, "default", wanted)
            before = recorded(meters.tls_handshakes_resumed)
            for _ in range(3):
                with connect(server):
                    pass
            resumed.append(recorded(meters.tls_handshakes_resumed) - before)
    assert resumed == [0, 2]


def test_an_unusable_client_certificate_is_an_error(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = authority.issue("other.pem")
    with speaking(TlsConn, session(idle)) as server:
        monkeypatch.setattr(options.xmpp_tls_key, "default", other)
        with pytest.raises(ScenarioError, match="xmpp_tls_key requires xmpp_tls_certificate"):
            connect(server)
        monkeypatch.setattr(options.xmpp_tls_certificate, "default", authority.issue("one.pem"))
        with pytest.raises(ScenarioError, match=r"must name a PEM file .*key values mismatch"):
            connect(server)


def test_the_tls_session_cache_is_bounded() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sessions = Sessions()
    marker: Any = context  # any object will do: it is only stored
    for number in range(MAX_SESSIONS + 2):
        sessions.put(number, marker)
        sessions.put(1, marker)
    assert len(sessions) == MAX_SESSIONS
    assert sessions.get(0) is None
    assert sessions.get(1) is marker


def test_tls_sessions_and_failures_leave_no_reference_cycles(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    def end(conn: TlsConn) -> None:
        conn.sock.shutdown(1)
        conn.rest()

    def client() -> None:
        with suppress(xmpp.XmppError):
            connect(address).receive(timeout=10)

    def left() -> int:
        client()
        gevent.sleep(0.01)
        return gc.collect()

    with speaking(TlsConn, session(end)) as server:
        address = server.address
        left()
        gc.disable()
        try:
            cut = min(left() for _ in range(3))
            monkeypatch.setattr(options.xmpp_tls_name, "default", "elsewhere.example")
            refused = min(left() for _ in range(3))
        finally:
            gc.enable()
    assert (cut, refused) == (0, 0)


def redirecting_to(target: str) -> Script:
    """Redirect the client to `target` at once."""

    def script(conn: Any) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(
            HEADER
            + b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
            + target.encode()
            + b"</see-other-host></stream:error>"
        )
        conn.rest()

    return script


def test_a_redirect_without_a_scheme_from_a_tls_server_stays_on_tls() -> None:
    with speaking(TlsConn, session(idle)) as other:
        target = other.address.removeprefix("xmpps://")
        with (
            speaking(TlsConn, redirecting_to(target)) as second,
            speaking(TlsConn, redirecting_to(second.address.removeprefix("xmpps://"))) as server,
            connect(server) as client,
        ):
            assert client.is_open
        assert other.connections == 1


@pytest.mark.parametrize(
    ("scheme", "tls", "kind"),
    [
        ("xmpp://", "auto", xmpp.TlsRequiredError),
        ("ws://", "auto", xmpp.SeeOtherHost),
        ("ws://", "starttls", xmpp.SeeOtherHost),
        ("http://", "direct", xmpp.SeeOtherHost),
    ],
)
def test_no_password_is_sent_without_tls_after_a_redirect_from_a_tls_server(
    scheme: str, tls: str, kind: type[xmpp.XmppError]
) -> None:
    heard: list[bytes] = []

    def plain(conn: Any) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(HEADER + OFFER)
        heard.append(conn.rest())

    with serving(plain) as other:
        target = scheme + other.address
        with speaking(TlsConn, redirecting_to(target)) as server:
            with pytest.raises(kind):
                connect(server, tls=tls, attempts=2)
            assert server.connections == 1
    assert b"<auth" not in b"".join(heard)


MANAGED = b"xmlns='urn:xmpp:sm:3'"


@pytest.mark.parametrize("scheme", ["", "ws://", "http://"])
def test_a_tls_session_is_resumed_over_tls_whatever_location_the_server_gives(scheme: str) -> None:
    heard: list[bytes] = []
    features = BINDING.replace(b"</stream", b"<sm " + MANAGED + b"/></stream")
    begun: list[Conn] = []

    def plain(conn: Any) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(HEADER + OFFER)
        heard.append(conn.rest())

    def script(conn: StartTlsConn) -> None:
        conn.proceed()
        conn.start_tls()
        conn.log_in([*LOGIN[:2], (LOGIN[2][0], HEADER + features)])
        begun.append(conn)
        if len(begun) == 1:
            place = f" id='x' resume='true' location='{scheme}{other.address}'/>".encode()
            conn.log_in([LOGIN[3], (rb"<enable [^>]*/>", b"<enabled " + MANAGED + place)])
        else:
            conn.expect(rb"<resume [^>]*/>")
            conn.say(b"<resumed " + MANAGED + b" previd='x' h='0'/>")
        conn.rest()

    with serving(plain) as other, speaking(StartTlsConn, script) as server:
        client = connect(server, resumable=True)
        client.cut(reset=True)
        assert client.resume(PATIENCE_S)
        assert server.connections == 2
        client.abort()
    assert b"<auth" not in b"".join(heard)
    assert other.connections == (1 if not scheme else 0)
