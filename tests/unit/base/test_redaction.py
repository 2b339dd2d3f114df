"""Redaction of secrets by name, at any depth, in values and in JSON text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from amoc.base.redaction import (
    HIDDEN,
    MAX_DEPTH,
    as_text,
    hide,
    holds_hidden,
    is_secret,
    reveals,
    shown,
)


@dataclass
class RunResults:
    user: str
    password: str


@dataclass
class Discreet:
    user: str
    password: str = field(repr=False)


class Login(NamedTuple):
    user: str
    api_key: str


class Model(BaseModel):
    user: str
    token: str
    note: str = Field("s3cret", repr=False)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "xmpp_password", "passwd", "client_secret", "auth_token", "key", "api_key"),
        *("Password", "API_KEY", "apiKey", "api-key", "X-Auth-Token", "aws.key"),
    ],
)
def test_names_of_secrets_are_recognized(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["rate", "monkey", "keys", "Monkey", "keyboard", "pass", "", 5])
def test_other_names_are_not_secret(name):
    assert not is_secret(name)


WITH_SECRETS = [
    {"alice": {"password": "s3cret"}},
    [{"user": "a", "password": "s3cret"}],
    ({"user": "a", "password": ["x", "s3cret"]},),
    {"a": [[{"b": {"Token": {"c": "s3cret"}}}]]},
    RunResults("a", "s3cret"),
    [RunResults("a", "s3cret")],
    Login("a", "s3cret"),
    Model(user="a", token="s3cret"),
    '[{"user": "a", "password": "s3cret"}]',
    ' {"api_key": "s3cret"}',
    '{"pass\\u0077ord": "s3cret"}',
    '{"a": {"password": "s3cret"}, "a": 5, "token": 1}',
    '{"a": {"password": "s3cret"}, "a": 5}',
    "{'password': 's3cret'}",
    '[{"password": "s3cret"',
    {"accounts": '[{"password": "s3cret"}]'},
    '{"token": ' + "[" * 5000 + '"s3cret"',
    {1: {"password": "s3cret"}},
    {("a", "b"): {"password": "s3cret"}},
]


@pytest.mark.parametrize("value", WITH_SECRETS)
def test_secrets_in_a_value_are_hidden(value):
    for text in (str(hide(value)), as_text(value), shown("accounts", value)):
        assert "s3cret" not in text
        assert HIDDEN in text
    assert holds_hidden(hide(value))
    assert hide(hide(value)) == hide(value)


@pytest.mark.parametrize(
    "value",
    [
        *(5, 0.5, None, True, "", "text", "[not json", "{}", '["a", {"b": 1}]', [1, ("a",)]),
        *({"monkey": 5}, {1: "a"}, {"a"}, Discreet("a", "s3cret")),
    ],
)
def test_a_value_without_secrets_is_unchanged(value):
    assert hide(value) is value
    assert as_text(value) == (f"{value:g}" if isinstance(value, float) else str(value))
    assert not holds_hidden(value)
    assert "s3cret" not in as_text(value)


def test_the_rest_of_a_value_is_shown_as_json():
    value = {"user": "ä", "password": "x", "rooms": ["a"], "when": {1}}
    assert json.loads(as_text(value)) == {
        "user": "ä",
        "password": HIDDEN,
        "rooms": ["a"],
        "when": "{1}",
    }
    assert as_text(RunResults("a", "x")) == '{"user": "a", "password": "(hidden)"}'


def test_anything_nested_too_deeply_is_hidden():
    value = "s3cret"
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    assert "s3cret" not in str(hide(value))
    for _ in range(100_000):
        value = [value]
    assert "s3cret" not in shown("deep", value)
    assert not reveals("s3cret", "deep", value)


def nested(depth: int, value, kind: str):
    """Return `value` nested in `depth` lists or dicts."""
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("kind", ["list", "table"])
def test_the_depth_limit_is_the_same_for_lists_and_dicts(kind):
    secret = {"password": "s3cret"}
    deepest = nested(MAX_DEPTH - 1, secret, kind)
    assert str(hide(deepest)) == str(nested(MAX_DEPTH - 1, {"password": HIDDEN}, kind))
    assert reveals("s3cret", "x", nested(MAX_DEPTH - 2, secret, kind))
    too_deep = nested(MAX_DEPTH, "open", kind)
    assert hide(too_deep) is too_deep
    assert str(hide(nested(MAX_DEPTH + 1, "open", kind))) == str(nested(MAX_DEPTH, HIDDEN, kind))
    assert not reveals("s3cret", "x", nested(MAX_DEPTH, secret, kind))


def test_json_text_adds_one_level_of_depth():
    fits = json.dumps(nested(MAX_DEPTH - 1, "open", "table"))
    assert hide(fits) is fits
    assert HIDDEN in hide(json.dumps(nested(MAX_DEPTH, "open", "table")))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("rate", 5, "5"),
        ("rate", "5", "'5'"),
        ("password", 5, HIDDEN),
        ("password", {"user": "a"}, HIDDEN),
        (
            "accounts",
            [{"user": "ä", "password": "x"}],
            f"[{{'user': 'ä', 'password': '{HIDDEN}'}}]",
        ),
    ],
)
def test_a_value_in_a_message_is_shown_or_hidden_by_its_name(name, value, text):
    assert shown(name, value) == text


def test_the_rest_of_a_json_text_stays_readable():
    assert hide('{"user": "ä", "token": "x"}') == f'{{"user": "ä", "token": "{HIDDEN}"}}'


NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.sampled_from(["a", "password", "b_key", "c"]), inner),
        st.dictionaries(st.sampled_from(["a", "token"]), inner).map(json.dumps),
    ),
    max_leaves=12,
)


def marked(value, secret=False):
    """Return `value` with secret leaves replaced by "s3cret" and all others by "open"."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            return json.dumps(marked(json.loads(value), secret))
        except ValueError:
            return "s3cret" if secret else "open"
    if isinstance(value, dict):
        return {
            key: marked(one, secret or key in ("password", "b_key", "token"))
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [marked(one, secret) for one in value]
    return "s3cret" if secret else "open"


@given(NESTED)
def test_all_secrets_and_only_secrets_are_hidden(value):
    value = marked(value)
    hidden = json.dumps(hide(value))
    assert "s3cret" not in hidden
    assert hidden.count("open") == json.dumps(value).count("open")
    assert ("s3cret" in json.dumps(value)) <= holds_hidden(hide(value))
    assert reveals("it is s3cret, is it not", "x", value) == ("s3cret" in json.dumps(value))
    assert not reveals("it is open", "x", value)


def test_reveals_finds_a_secret_in_a_text():
    assert reveals("bad value 's3cret'", "password", "s3cret")
    assert reveals("bad value 's3cret'", "accounts", [{"password": "s3cret"}])
    assert reveals("bad value 's3cret'", "accounts", '[{"password": "s3cret"}]')
    assert not reveals("bad value 's3cret'", "user", "s3cret")
    assert not reveals("must be at least 10", "password", "10")
    assert reveals("must be at least 100", "password", "100"), "three characters are enough"
    assert reveals("bad [1, 2]", "token", "[1, 2]"), "as a whole"
    assert not reveals("bad [1, 2]", "user", "[1, 2]")
    assert not reveals("must be at least 10", "password", "1")


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("http://amoc:s3cret@graphite/web", f"http://amoc:{HIDDEN}@graphite/web"),
        (
            "see http://:s3cret@a and ftp://b:s3cret@c",
            f"see http://:{HIDDEN}@a and ftp://b:{HIDDEN}@c",
        ),
    ],
)
def test_the_password_in_an_address_is_hidden(address, hidden):
    assert hide(address) == hidden
    assert hide({"graphite_web": [address]}) == {"graphite_web": [hidden]}
    assert holds_hidden(hide(address))


@pytest.mark.parametrize("address", ["http://graphite:8080/a", "http://a@b/c", "a:b@c", "user:1@x"])
def test_an_address_without_a_password_is_shown(address):
    assert hide(address) is address
