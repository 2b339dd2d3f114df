"""The SASL client as pure exchanges: examples from the RFCs, and untrustworthy servers."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire import sasl, scram_keys
from amoc.xmpp.wire.mechanisms import client
from amoc.xmpp.wire.offer import choose
from amoc.xmpp.wire.sasl import Refused

NONCE = "fyko+d2lbbFgONRv9qkxdawL"
FIRST = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
FINAL = b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="


def scram_sha1() -> sasl.Client:
    return client("SCRAM-SHA-1", "user", "pencil", nonce=lambda: NONCE)


def test_scram_matches_the_example_of_the_rfc() -> None:
    mechanism = scram_sha1()
    assert mechanism.first() == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    assert mechanism.answer(FIRST) == (
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    )
    mechanism.check(FINAL)


def test_the_server_signature_may_arrive_as_a_challenge() -> None:
    mechanism = scram_sha1()
    mechanism.answer(FIRST)
    assert mechanism.answer(FINAL) == b""
    mechanism.check(None)


def test_special_characters_in_a_name_are_escaped() -> None:
    mechanism = client("SCRAM-SHA-256", "a=b,c", "x", nonce=lambda: "N")
    assert mechanism.first() == b"n,,n=a=3Db=2Cc,r=N"


@pytest.mark.parametrize(
    "data",
    [None, b"", b"v=rmF9pqV8S7suAoZWja4dJRkFsAQ=", b"v=", b"v=!!", b"x=1", b"hello", b"\xff"],
)
def test_a_server_without_a_valid_signature_is_rejected(data: bytes | None) -> None:
    mechanism = scram_sha1()
    mechanism.answer(FIRST)
    with pytest.raises(Refused) as raised:
        mechanism.check(data)
    assert raised.value.condition in ("bad-server-signature", "bad-challenge")


def test_success_without_a_challenge_is_rejected() -> None:
    with pytest.raises(Refused, match="bad-server-signature"):
        scram_sha1().check(FINAL)


def test_an_error_from_the_server_is_passed_on() -> None:
    mechanism = scram_sha1()
    mechanism.answer(FIRST)
    with pytest.raises(Refused, match="invalid-proof"):
        mechanism.check(b"e=invalid-proof")


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"=",
        b"garbage",
        b"\xff\xfe",
        b"r=other,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=" + NONCE.encode() + b",s=QSXCR+Q6sek8bf92,i=4096",  # nothing added by the server
        b"r=" + NONCE.encode() + b"x" * 2000 + b",s=QSXCR+Q6sek8bf92,i=4096",
        b"r=" + NONCE.encode() + b"x,s=,i=4096",
        b"r=" + NONCE.encode() + b"x,s=!!,i=4096",
        b"r=" + NONCE.encode() + b"x,s=QSXCR+Q6sek8bf92,i=0",
        b"r=" + NONCE.encode() + b"x,s=QSXCR+Q6sek8bf92,i=-1",
        b"r=" + NONCE.encode() + b"x,s=QSXCR+Q6sek8bf92,i=2147483647",
        b"r=" + NONCE.encode() + b"x,s=QSXCR+Q6sek8bf92,i=" + b"9" * 5000,
        b"r=" + NONCE.encode() + "x,s=QSXCR+Q6sek8bf92,i=٣".encode(),
        b"m=extension,r=" + NONCE.encode() + b"x,s=QSXCR+Q6sek8bf92,i=4096",
        b"s=QSXCR+Q6sek8bf92,r=" + NONCE.encode() + b"x,i=4096",
    ],
)
def test_an_invalid_challenge_is_refused_without_computing_keys(challenge: bytes) -> None:
    with pytest.raises(Refused):
        scram_sha1().answer(challenge)


@given(st.lists(st.binary(max_size=200), max_size=4), st.none() | st.binary(max_size=100))
def test_random_challenges_are_refused_at_worst(
    challenges: list[bytes], success: bytes | None
) -> None:
    for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "ANONYMOUS"):
        mechanism = client(name, "user", "pencil", max_iterations=10)
        mechanism.first()
        try:
            for challenge in challenges:
                mechanism.answer(challenge)
            mechanism.check(success)
        except Refused:
            continue
        assert not name.startswith("SCRAM")


@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.binary(min_size=1, max_size=20))
def test_client_and_server_agree_for_any_name_and_password(
    name: str, password: str, salt: bytes
) -> None:
    try:
        mechanism = client("SCRAM-SHA-256", name, password, nonce=lambda: "C")
    except Refused:
        return
    first = mechanism.first()
    assert first is not None
    challenge = b"r=CS,s=" + base64.b64encode(salt) + b",i=2"
    final = mechanism.answer(challenge)
    without, _, proof = final.rpartition(b",p=")
    message = first[3:] + b"," + challenge + b"," + without
    salted = scram_keys.salted_password("sha256", password, salt, 2)
    key = scram_keys.xor(
        base64.b64decode(proof),
        scram_keys.signature(
            "sha256",
            scram_keys.stored_key("sha256", scram_keys.client_key("sha256", salted)),
            message,
        ),
    )
    assert key == scram_keys.client_key("sha256", salted)
    server = scram_keys.signature("sha256", scram_keys.server_key("sha256", salted), message)
    mechanism.check(b"v=" + base64.b64encode(server))


def test_plain_sends_name_and_password() -> None:
    mechanism = client("PLAIN", "user", "pencil")
    assert mechanism.first() == b"\0user\0pencil"
    with pytest.raises(Refused, match="challenge"):
        mechanism.answer(b"")
    mechanism.check(None)


def test_anonymous_sends_nothing() -> None:
    mechanism = client("ANONYMOUS", "", "")
    assert mechanism.first() is None
    assert mechanism.answer(b"") == b""
    with pytest.raises(Refused):
        mechanism.answer(b"who are you")


def test_an_invalid_password_is_refused_without_showing_it() -> None:
    for name in ("PLAIN", "SCRAM-SHA-1"):
        with pytest.raises(Refused) as raised:
            client(name, "user", "secret\u0007")
        assert "secret" not in str(raised.value)


def test_the_first_wanted_mechanism_on_offer_is_chosen() -> None:
    assert choose(("SCRAM-SHA-256", "PLAIN"), ["PLAIN", "SCRAM-SHA-256"]) == "SCRAM-SHA-256"
    assert choose(("SCRAM-SHA-256", "PLAIN"), ["DIGEST-MD5", "PLAIN"]) == "PLAIN"
    with pytest.raises(Refused, match=r"one of PLAIN .*got DIGEST-MD5"):
        choose(("PLAIN",), ["DIGEST-MD5"])
    with pytest.raises(Refused, match="got none"):
        choose(("PLAIN",), [])
