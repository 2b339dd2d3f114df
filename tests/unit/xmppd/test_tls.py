"""TLS of the embedded server, with a real client: STARTTLS and direct TLS on the same port."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from amoc import xmpp
from amoc.base.errors import UsageError
from amoc.xmpp import options
from amoc.xmppd import Server, certificate
from tests.unit.xmppd.lab import HEADER, plain_auth
from tests.unit.xmppd.sockets import Peer

PATIENCE_S = 60.0
MODES = ("starttls", "direct", "auto")


def eventually(condition: Callable[[], object]) -> None:
    """Run the event loop until the condition holds."""
    with gevent.Timeout(PATIENCE_S):
        while not condition():
            gevent.sleep(0.005)


@pytest.fixture(scope="module")
def made() -> tuple[ssl.SSLContext, str]:
    """A server context, and the certificate that its clients trust."""
    return certificate.created_for(["localhost", "127.0.0.1"])


@pytest.fixture
def server(
    made: tuple[ssl.SSLContext, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    ca = tmp_path / "ca.pem"
    ca.write_text(made[1])
    monkeypatch.setattr(options.xmpp_tls_ca, "default", str(ca))
    with Server(tls=made[0]) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
def test_messages_of_any_size_pass_over_tls(server: Server, mode: str) -> None:
    with (
        xmpp.connect(1, server=server.address, tls=mode, attempts=1) as alice,
        xmpp.connect(2, server=server.address, tls=mode, attempts=1) as bob,
    ):
        bob.send_presence()
        bob.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for length in (1, 1000, 16_384, 200_000):
            alice.send_chat(bob.jid, "x" * length)
            assert bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "x" * length
        assert server.statistics().tls_handshakes == 2
    eventually(lambda: server.statistics().connections == 0)
    assert server.statistics().internal_errors == 0


def test_a_server_with_tls_accepts_plain_clients_unless_tls_is_required(
    server: Server, made: tuple[ssl.SSLContext, str]
) -> None:
    with xmpp.connect(1, server=server.address, tls="off") as client:
        assert client.is_open
    with (
        Server(tls=made[0], tls_required=True) as strict,
        pytest.raises(xmpp.TlsRequiredError, match="requires STARTTLS"),
    ):
        xmpp.connect(1, server=strict.address, tls="off", attempts=1)


def test_a_login_without_tls_is_refused_where_tls_is_required(
    made: tuple[ssl.SSLContext, str],
) -> None:
    with Server(tls=made[0], tls_required=True) as strict, Peer(strict.port) as client:
        client.say(HEADER)
        client.until(b"<required/></starttls></stream:features>")
        client.say(plain_auth("user_1", "password_1"))
        assert b"<policy-violation" in client.until_closed()
        assert strict.statistics().logins == 0


def test_a_server_without_a_certificate_offers_no_tls() -> None:
    with Server() as plain:
        with pytest.raises(xmpp.TlsRequiredError, match="does not offer it"):
            xmpp.connect(1, server=plain.address, tls="starttls", attempts=1)
        with pytest.raises(xmpp.ConnectError):
            xmpp.connect(1, server=plain.address, tls="direct", attempts=1)


def test_a_client_that_distrusts_the_server_affects_only_its_own_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with xmpp.connect(1, server=server.address) as other:
        monkeypatch.setattr(options.xmpp_tls_ca, "default", "")
        with pytest.raises(xmpp.CertificateError, match="xmpp_tls_ca"):
            xmpp.connect(2, server=server.address, attempts=1)
        assert other.ping(timeout=PATIENCE_S) > 0
    eventually(lambda: server.statistics().connections == 0)


def test_sessions_are_resumed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options.xmpp_tls_resumption, "default", True)
    for _ in range(3):
        with xmpp.connect(1, server=server.address, tls="direct", attempts=1):
            pass
    assert server.statistics().tls_handshakes == 3
    assert server.statistics().tls_resumed == 2


def test_an_unreadable_certificate_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.pem"):
        certificate.context(str(tmp_path / "nothing.pem"))
