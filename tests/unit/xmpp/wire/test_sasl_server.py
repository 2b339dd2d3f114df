from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire.mechanisms import SERVER_MECHANISMS, server
from amoc.xmpp.wire.sasl import Challenge, Refused, Success, decode
from amoc.xmppd.accounts import Accounts


def exchange(mechanism: str, accounts: Accounts | None = None) -> object:
    return server(mechanism, accounts or Accounts(limit=10), "localhost")


def condition(mechanism: str, *steps: bytes | None) -> str:
    machine = server(mechanism, Accounts(limit=10), "localhost")
    for step in steps[:-1]:
        machine.step(step)
    with pytest.raises(Refused) as raised:
        machine.step(steps[-1])
    return raised.value.condition


class ScramClient:
    """The client side, written from RFC 5802 with only the standard library."""

    def __init__(self, mechanism: str, user: str, password: str, gs2: str = "n,,") -> None:
        self.hash = "sha1" if mechanism == "SCRAM-SHA-1" else "sha256"
        self.password = password.encode()
        self.gs2 = gs2
        self.bare = f"n={user},r=fyko+d2lbbFgONRv9qkxdawL"

    def first(self) -> bytes:
        return (self.gs2 + self.bare).encode()

    def final(self, challenge: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
        salted = hashlib.pbkdf2_hmac(
            self.hash, self.password, base64.b64decode(fields["s"]), int(fields["i"])
        )
        client_key = hmac.digest(salted, b"Client Key", self.hash)
        binding = base64.b64encode(self.gs2.encode()).decode()
        without_proof = f"c={binding},r={fields['r']}"
        message = f"{self.bare},{challenge.decode()},{without_proof}".encode()
        stored = hashlib.new(self.hash, client_key).digest()
        signature = hmac.digest(stored, message, self.hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", self.hash)
        self.verifier = hmac.digest(server_key, message, self.hash)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def scram(mechanism: str, client: ScramClient, accounts: Accounts | None = None) -> Success:
    machine = server(mechanism, accounts or Accounts(limit=10), "localhost")
    challenge = machine.step(client.first())
    assert isinstance(challenge, Challenge)
    success = machine.step(client.final(challenge.data))
    assert isinstance(success, Success)
    return success


SCRAM = ["SCRAM-SHA-1", "SCRAM-SHA-256"]


@pytest.mark.parametrize("mechanism", SCRAM)
def test_scram_logs_in_and_proves_that_the_server_knows_the_password(mechanism: str) -> None:
    client = ScramClient(mechanism, "user_5", "password_5")
    success = scram(mechanism, client)
    assert success.local == "user_5"
    assert success.data == b"v=" + base64.b64encode(client.verifier)


@pytest.mark.parametrize("gs2", ["y,,", "n,a=user_5,", "n,a=user_5@localhost,"])
def test_scram_accepts_every_header_without_channel_binding(gs2: str) -> None:
    assert scram("SCRAM-SHA-1", ScramClient("SCRAM-SHA-1", "user_5", "password_5", gs2))


@pytest.mark.parametrize("mechanism", SCRAM)
def test_scram_accepts_registered_names_with_escaped_characters(mechanism: str) -> None:
    accounts = Accounts(limit=10)
    accounts.register("a=b,c", "\u00fcnic\u00f6de")
    client = ScramClient(mechanism, "a=3Db=2Cc", "\u00fcnic\u00f6de")
    assert scram(mechanism, client, accounts).local == "a=b,c"


@pytest.mark.parametrize("mechanism", SCRAM)
@pytest.mark.parametrize(("user", "password"), [("user_5", "password_6"), ("nobody", "password_5")])
def test_scram_refuses_a_wrong_name_and_a_wrong_password_alike(
    mechanism: str, user: str, password: str
) -> None:
    with pytest.raises(Refused) as raised:
        scram(mechanism, ScramClient(mechanism, user, password))
    assert raised.value.condition == "not-authorized"


@pytest.mark.parametrize("position", range(3))
def test_scram_refuses_a_tampered_final_message(position: int) -> None:
    client = ScramClient("SCRAM-SHA-256", "user_5", "password_5")
    machine = server("SCRAM-SHA-256", Accounts(limit=10), "localhost")
    challenge = machine.step(client.first())
    assert isinstance(challenge, Challenge)
    parts = client.final(challenge.data).decode().split(",")
    parts[position] = {0: "c=eSws", 1: "r=other", 2: "p=AAAA"}[position]
    with pytest.raises(Refused) as raised:
        machine.step(",".join(parts).encode())
    assert raised.value.condition == "not-authorized"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"", "malformed-request"),
        (b"n,,", "malformed-request"),
        (b"n,,n=user_5", "malformed-request"),
        (b"n,,n=user_5,r=", "malformed-request"),
        (b"n,,m=x,n=user_5,r=a", "malformed-request"),
        (b"p=tls-unique,,n=user_5,r=a", "malformed-request"),
        (b"n,b=c,n=user_5,r=a", "malformed-request"),
        (b"n,a=user_6,n=user_5,r=a", "invalid-authzid"),
        (b"n,,n=us=er,r=a", "malformed-request"),
        (b"\xff", "malformed-request"),
    ],
)
def test_scram_refuses_an_invalid_first_message(first: bytes, expected: str) -> None:
    assert condition("SCRAM-SHA-1", first) == expected


@pytest.mark.parametrize("authzid", [b"", b"user_5", b"user_5@localhost", b"USER_5@LOCALHOST"])
def test_plain_logs_in(authzid: bytes) -> None:
    machine = server("PLAIN", Accounts(limit=10), "localhost")
    assert machine.step(authzid + b"\0user_5\0password_5") == Success("user_5", None)


def test_plain_requests_a_missing_initial_response() -> None:
    machine = server("PLAIN", Accounts(limit=10), "localhost")
    assert machine.step(None) == Challenge(b"")
    assert machine.step(b"\0user_5\0password_5") == Success("user_5", None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "malformed-request"),
        (b"user_5\0password_5", "malformed-request"),
        (b"\0\0password_5", "malformed-request"),
        (b"\0user_5\0password_5\0", "malformed-request"),
        (b"\0user_5\0\xff", "malformed-request"),
        (b"\0user_5\0password_6", "not-authorized"),
        (b"\0us er\0password_6", "not-authorized"),
        (b"user_6\0user_5\0password_5", "invalid-authzid"),
    ],
)
def test_plain_refuses_invalid_credentials(data: bytes, expected: str) -> None:
    assert condition("PLAIN", data) == expected


def test_anonymous_users_are_all_different() -> None:
    names = set()
    for _ in range(100):
        success = server("ANONYMOUS", Accounts(limit=10), "localhost").step(None)
        assert isinstance(success, Success)
        names.add(success.local)
    assert len(names) == 100


@pytest.mark.parametrize("name", ["", "DIGEST-MD5", "plain", "SCRAM-SHA-1-PLUS"])
def test_other_mechanisms_are_invalid(name: str) -> None:
    with pytest.raises(Refused, match="invalid-mechanism"):
        exchange(name)


@pytest.mark.parametrize("text", ["a", "AAA", "A A=", "\u00e4", "====", "AA=="[:3]])
def test_invalid_base64_is_an_incorrect_encoding(text: str) -> None:
    with pytest.raises(Refused, match="incorrect-encoding"):
        decode(text)


def test_an_equals_sign_decodes_to_an_empty_value_and_no_text_to_none() -> None:
    assert decode("=") == b""
    assert decode("") is None
    assert decode(None) is None


@given(st.sampled_from(SERVER_MECHANISMS), st.lists(st.binary(max_size=60), max_size=4))
def test_random_responses_end_in_a_sasl_failure_or_another_challenge(
    mechanism: str, steps: list[bytes]
) -> None:
    machine = server(mechanism, Accounts(limit=10), "localhost")
    for step in steps:
        try:
            answer = machine.step(step)
        except Refused:
            return
        if isinstance(answer, Success):
            assert mechanism == "ANONYMOUS"
            return
