"""A certificate authority trusted by the client in these tests."""

from __future__ import annotations

import ssl

import gevent.ssl
import pytest

from amoc.xmpp import options
from tests.certificates import Authority
from tests.unit.xmpp.fake import TlsConn


@pytest.fixture(scope="session")
def session_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority, which also issues the fake servers' certificate."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    TlsConn.context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    TlsConn.context.load_cert_chain(authority.issue("server.pem"))
    return authority


@pytest.fixture
def authority(session_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, trusted by the client."""
    monkeypatch.setattr(options.xmpp_tls_ca, "default", session_authority.ca)
    return session_authority
