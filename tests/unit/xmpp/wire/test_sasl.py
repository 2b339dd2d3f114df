"""SASL client and server together, and the elements that carry their messages."""

from __future__ import annotations

import hmac
import re
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire import sasl, scram_keys
from amoc.xmpp.wire.mechanisms import SERVER_MECHANISMS, client, server
from amoc.xmpp.wire.sasl import Challenge, Refused, Success


@dataclass
class OneAccount:
    """The only account known to the server end."""

    local: str
    password: str
    salt: bytes = b"salt"
    asked: list[str] = field(default_factory=list)

    def prepare(self, name: str) -> str | None:
        return name or None

    def check(self, local: str, password: str) -> bool:
        given = (local.encode(), password.encode())
        return all(map(hmac.compare_digest, given, (self.local.encode(), self.password.encode())))

    def scram_keys(self, local: str, hash_name: str) -> scram_keys.Keys | None:
        if local != self.local:
            return None
        salted = scram_keys.salted_password(hash_name, self.password, self.salt, 2)
        return scram_keys.keys(hash_name, salted, self.salt, 2)


def text_of(element: bytes) -> str:
    found = re.fullmatch(rb"<(\w+) xmlns='[^']+'[^>]*>([^<]*)</\1>", element)
    assert found is not None
    return found[2].decode()


def log_in(mechanism: str, account: OneAccount, username: str, password: str) -> Success:
    """Perform a whole login, with each message inside its element."""
    ours = client(mechanism, username, password)
    theirs = server(mechanism, account, "localhost")
    answer = theirs.step(sasl.decode(text_of(sasl.auth(mechanism, ours.first()))))
    while isinstance(answer, Challenge):
        challenge = sasl.decode(text_of(sasl.element("challenge", answer.data))) or b""
        response = sasl.element("response", ours.answer(challenge))
        answer = theirs.step(sasl.decode(text_of(response)) or b"")
    ours.check(sasl.decode(text_of(sasl.element("success", answer.data))))
    return answer


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)


@given(st.sampled_from(SERVER_MECHANISMS), NAMES, NAMES, st.binary(min_size=1, max_size=20))
def test_both_ends_agree_for_any_name_and_password(
    mechanism: str, name: str, password: str, salt: bytes
) -> None:
    try:
        local, secret = scram_keys.saslprep(name), scram_keys.saslprep(password)
    except ValueError:
        return
    if not local:
        return
    success = log_in(mechanism, OneAccount(local, secret, salt), name, password)
    assert mechanism == "ANONYMOUS" or success.local == local


@pytest.mark.parametrize("mechanism", [name for name in SERVER_MECHANISMS if name != "ANONYMOUS"])
@given(right=NAMES, wrong=NAMES)
def test_both_ends_refuse_any_wrong_password(mechanism: str, right: str, wrong: str) -> None:
    try:
        same = scram_keys.saslprep(right) == scram_keys.saslprep(wrong)
    except ValueError:
        return
    if same:
        return
    for account in (OneAccount("user", right), OneAccount("another", wrong)):
        with pytest.raises(Refused) as raised:
            log_in(mechanism, account, "user", wrong)
        assert raised.value.condition == "not-authorized"


@given(st.binary(max_size=60))
def test_data_survives_its_element(data: bytes) -> None:
    assert sasl.decode(text_of(sasl.auth("PLAIN", data))) == data
    assert (sasl.decode(text_of(sasl.element("challenge", data))) or b"") == data


def test_a_missing_initial_response_differs_from_an_empty_one() -> None:
    assert text_of(sasl.auth("PLAIN", None)) == ""
    assert text_of(sasl.auth("PLAIN", b"")) == "="
    assert sasl.decode("") is None
    assert sasl.decode(None) is None
    assert sasl.decode("=") == b""
    with pytest.raises(Refused, match="base64"):
        sasl.decode("???")


@given(st.sampled_from(SERVER_MECHANISMS), st.lists(st.binary(max_size=60), max_size=4))
def test_random_messages_are_refused_by_either_end_at_worst(
    mechanism: str, messages: list[bytes]
) -> None:
    ours = client(mechanism, "user", "pencil", max_iterations=10)
    theirs = server(mechanism, OneAccount("user", "pencil"), "localhost")
    for end in (ours.answer, theirs.step, ours.check):
        said = None
        with suppress(Refused):
            for message in messages:
                said = said or end(message)
        assert mechanism == "ANONYMOUS" or not isinstance(said, Success)
