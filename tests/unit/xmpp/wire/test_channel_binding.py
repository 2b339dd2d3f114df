"""Channel binding: the bound data, and the flag of a client that cannot or need not bind."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire import sasl
from amoc.xmpp.wire.channel_binding import NO_BINDING, NOT_OFFERED, Channel, server_end_point
from amoc.xmpp.wire.mechanisms import PASSWORD_MECHANISMS, client
from amoc.xmpp.wire.offer import Features, choose_login
from tests.certificates import Authority

PLUS = ("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "PLAIN")
PLAIN = ("SCRAM-SHA-1", "PLAIN")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = Authority(tmp_path_factory.mktemp("ca")).issue("server.pem")
    pem = Path(file).read_text()
    return ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----BEGIN PRIVATE")])


def features(mechanisms: tuple[str, ...], bindings: tuple[str, ...] = ()) -> Features:
    return Features(mechanisms, bindings, False, False, True, False, False, management=False)


def test_tls_server_end_point_hashes_the_certificate(certificate: bytes) -> None:
    assert server_end_point(certificate) == hashlib.sha256(certificate).digest()


@given(st.binary(max_size=60))
def test_invalid_certificates_have_no_end_point(data: bytes) -> None:
    assert server_end_point(data) is None


def test_up_to_tls_1_2_a_login_is_bound_to_its_handshake(certificate: bytes) -> None:
    name, binding = choose_login(PASSWORD_MECHANISMS, features(PLUS), Channel(b"u", certificate))
    assert (name, binding) == ("SCRAM-SHA-1-PLUS", ("p=tls-unique,,", b"u"))


def test_in_tls_1_3_a_login_is_bound_to_the_certificate_if_the_server_offers_it(
    certificate: bytes,
) -> None:
    channel = Channel(None, certificate)
    offer = features(PLUS, ("tls-exporter", "tls-server-end-point"))
    name, binding = choose_login(PASSWORD_MECHANISMS, offer, channel)
    digest = hashlib.sha256(certificate).digest()
    assert (name, binding) == ("SCRAM-SHA-1-PLUS", ("p=tls-server-end-point,,", digest))
    for unknown in (features(PLUS), features(PLUS, ("tls-exporter",))):
        assert choose_login(PASSWORD_MECHANISMS, unknown, channel) == ("SCRAM-SHA-1", NO_BINDING)


def test_a_client_not_offered_binding_announces_its_support(certificate: bytes) -> None:
    for channel in (Channel(b"u", certificate), Channel(None, certificate)):
        chosen = choose_login(PASSWORD_MECHANISMS, features(PLAIN), channel)
        assert chosen == ("SCRAM-SHA-1", NOT_OFFERED)


def test_there_is_no_binding_without_tls_or_unless_wanted(certificate: bytes) -> None:
    assert choose_login(PASSWORD_MECHANISMS, features(PLUS), None) == ("SCRAM-SHA-1", NO_BINDING)
    channel = Channel(b"u", certificate)
    assert choose_login(PLAIN, features(PLUS), channel) == ("SCRAM-SHA-1", NO_BINDING)
    with pytest.raises(sasl.Refused, match="SCRAM-SHA-1-PLUS"):
        choose_login(("SCRAM-SHA-1-PLUS",), features(PLUS), None)


def test_both_messages_carry_the_binding() -> None:
    channel = Channel(b"\0unique", None)
    name, binding = choose_login(PASSWORD_MECHANISMS, features(PLUS), channel)
    scram = client(name, "user", "pencil", nonce=lambda: "abc", binding=binding)
    assert scram.first() == b"p=tls-unique,,n=user,r=abc"
    final = scram.answer(b"r=abcdef,s=QSXCR+Q6sek8bf92,i=4096")
    # base64 of the header and the data
    assert final.startswith(b"c=cD10bHMtdW5pcXVlLCwAdW5pcXVl,r=abcdef,p=")
