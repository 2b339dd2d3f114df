"""TLS with prosody and ejabberd: logging in by each variant, certificates, versions, resumption."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from amoc import xmpp
from amoc.xmpp import meters, options
from tests.servers.certificates import ServerCertificates
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.prosody import TLS_1_2, Prosody
from tests.unit.xmpp.fake import count as recorded

PATIENCE_S = 60.0
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")

pytestmark = pytest.mark.once

_users = itertools.count(1)


@pytest.fixture(autouse=True)
def trusted(certificates: ServerCertificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users trust the servers' authority."""
    monkeypatch.setattr(options.xmpp_tls_ca, "default", certificates.ca)


def connect(server: XmppServer, mode: str = "starttls", **wanted: Any) -> xmpp.Client:
    """A new user, over TLS."""
    number = wanted.pop("user_id", None) or next(_users)
    address = f"127.0.0.1:{server.direct_tls_port if mode == 'direct' else server.port}"
    return xmpp.connect(number, server=address, tls=mode, attempts=1, **wanted)


@pytest.mark.parametrize("mode", ["starttls", "direct", "auto"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_user_logs_in_over_tls(tls_server: XmppServer, mode: str, mechanism: str) -> None:
    before = recorded(meters.tls_handshake)
    with connect(tls_server, mode, mechanism=mechanism) as client:
        assert client.ping(timeout=PATIENCE_S) > 0
    assert recorded(meters.tls_handshake) == before + 1


@pytest.mark.parametrize("mode", ["starttls", "direct"])
def test_chat_of_any_size_arrives_over_tls(tls_server: XmppServer, mode: str) -> None:
    with connect(tls_server, mode) as alice, connect(tls_server, mode) as bob:
        bob.send_presence()
        bob.receive(xmpp.is_presence, timeout=PATIENCE_S)
        for length in (1, 16_000, 100_000):
            alice.send_chat(bob.jid, "x" * length)
            assert bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "x" * length


def test_an_authority_that_is_not_trusted_is_an_error(
    tls_server: XmppServer, certificates: ServerCertificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options.xmpp_tls_ca, "default", certificates.other_ca)
    with pytest.raises(xmpp.CertificateError, match="xmpp_tls_ca"):
        connect(tls_server)
    monkeypatch.setattr(options.xmpp_tls_verify, "default", False)
    with connect(tls_server) as client:
        assert client.is_open


def test_an_expired_certificate_is_an_error(tls_server: XmppServer) -> None:
    with pytest.raises(xmpp.CertificateError, match="has expired"):
        connect(tls_server, domain="expired.localhost", mechanism="ANONYMOUS")


def test_a_certificate_for_another_name_is_an_error(tls_server: XmppServer) -> None:
    with pytest.raises(xmpp.CertificateError, match="xmpp_tls_name"):
        connect(tls_server, domain="misnamed.localhost", mechanism="ANONYMOUS")


def test_sessions_are_resumed(tls_server: XmppServer, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(tls_server, Prosody):
        pytest.skip("ejabberd 23.01 resumes none")
    monkeypatch.setattr(options.xmpp_tls_resumption, "default", True)
    before = recorded(meters.tls_handshakes_resumed)
    for _ in range(3):
        connect(tls_server).close()
    assert recorded(meters.tls_handshakes_resumed) - before == 2


def test_a_plain_port_and_a_port_for_tls_are_told_apart(tls_server: XmppServer) -> None:
    swapped = {"server": tls_server.address, "tls": "direct", "attempts": 1}
    with pytest.raises(xmpp.ConnectError, match=r"without TLS on this port|in the TLS handshake"):
        xmpp.connect(next(_users), **swapped)
    with pytest.raises(xmpp.XmppError) as raised:
        xmpp.connect(
            next(_users), server=f"127.0.0.1:{tls_server.direct_tls_port}", tls="off", attempts=1
        )
    assert "TLS" in str(raised.value)


def test_a_version_that_is_too_old_is_an_error(
    tls_server: XmppServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(tls_server, Prosody):
        pytest.skip("ejabberd has no host with old versions only")
    with connect(tls_server, domain=TLS_1_2) as client:
        assert client.is_open
    monkeypatch.setattr(options.xmpp_tls_minimum_version, "default", "1.3")
    with pytest.raises(xmpp.TlsError, match="xmpp_tls_minimum_version"):
        connect(tls_server, domain=TLS_1_2)


def test_a_user_logs_in_with_its_certificate(
    tls_server: XmppServer, certificates: ServerCertificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(tls_server, Ejabberd):
        pytest.skip("prosody 0.12 itself has no EXTERNAL for clients")
    monkeypatch.setattr(options.xmpp_tls_certificate, "default", certificates.users)
    number = next(_users)
    certificates.issue_user(number)
    with connect(tls_server, user_id=number, mechanism="EXTERNAL", password="") as client:
        assert client.bare_jid == f"user_{number}@localhost"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"])
def test_a_login_is_bound_to_its_tls_1_2_connection(tls_server: XmppServer, mechanism: str) -> None:
    # Either server binds by tls-unique, which TLS 1.3 does not have.
    where: dict[str, Any] = (
        {"domain": TLS_1_2} if isinstance(tls_server, Prosody) else {"mode": "direct"}
    )
    with connect(tls_server, mechanism=mechanism, **where) as client:
        assert client.ping(timeout=PATIENCE_S) > 0
    with pytest.raises(xmpp.SaslError) as raised:
        connect(tls_server, mechanism=mechanism, password="wr0ng", **where)
    assert raised.value.condition == "not-authorized"
    with connect(tls_server, **where) as client:  # by itself, too
        assert client.is_open
