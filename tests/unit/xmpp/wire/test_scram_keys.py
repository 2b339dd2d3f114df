"""SCRAM computations and SASLprep, checked with the examples of the RFCs."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire import scram_keys as scram

# RFC 5802 section 5 and RFC 7677 section 3: user "user", password "pencil".
EXAMPLES = {
    "sha1": (
        "QSXCR+Q6sek8bf92",
        (
            "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
            "s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"
        ),
        "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "sha256": (
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        (
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,"
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        ),
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


@pytest.mark.parametrize("hash_name", EXAMPLES)
def test_proof_and_server_signature_match_the_rfc_examples(hash_name: str) -> None:
    salt, message, proof, verifier = EXAMPLES[hash_name]
    salted = scram.salted_password(hash_name, "pencil", base64.b64decode(salt), 4096)
    key = scram.client_key(hash_name, salted)
    stored = scram.stored_key(hash_name, key)
    signature = scram.signature(hash_name, stored, message.encode())
    assert base64.b64encode(scram.xor(key, signature)).decode() == proof
    server = scram.signature(hash_name, scram.server_key(hash_name, salted), message.encode())
    assert base64.b64encode(server).decode() == verifier


@pytest.mark.parametrize(
    ("text", "prepared"),
    [  # RFC 4013 section 3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_saslprep_matches_the_rfc_examples(text: str, prepared: str) -> None:
    assert scram.saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\u0007", "\u0627\u0031", "a\u0627", "\ud800", "\ue000", "\u0221"]
)
def test_saslprep_refuses_text_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="must") as raised:
        scram.saslprep(text)
    assert text not in str(raised.value)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_saslprep_leaves_printable_ascii_unchanged(text: str) -> None:
    assert scram.saslprep(text) == text


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_xor_is_its_own_inverse_and_requires_equal_lengths(a: bytes, b: bytes) -> None:
    if len(a) != len(b):
        with pytest.raises(ValueError, match="equal length"):
            scram.xor(a, b)
    else:
        assert scram.xor(scram.xor(a, b), b) == a


def test_salted_passwords_are_cached() -> None:
    arguments = ("sha1", "a password of this test", b"its salt", 3)
    before = scram.salted_password.cache_info()
    first = scram.salted_password(*arguments)
    assert scram.salted_password(*arguments) is first
    after = scram.salted_password.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)
    assert after.maxsize is not None
