from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.xmppd.lab import (
    HEADER,
    Client,
    bind,
    in_stream,
    logged_in,
    new_domain,
    plain_auth,
    sasl_auth,
    stanza_error,
    stream_error,
)

GREETING = b"<?xml version='1.0'?><stream:stream "
LOGIN = (HEADER, plain_auth("user_1", "password_1"), HEADER)


def ended_with(*chunks: bytes, **limits: float) -> str:
    """Return the stream error that these chunks end in."""
    client = Client(new_domain(**limits))
    said = client.say(*chunks)
    assert said.startswith(GREETING), "an error is told inside a stream"
    assert client.outlet.finished
    assert client.session.closed
    return stream_error(said)


def test_a_client_that_logs_in_correctly_is_bound() -> None:
    domain = new_domain()
    client = Client(domain)
    offered = client.say(HEADER)
    for mechanism in (b"PLAIN", b"SCRAM-SHA-1", b"SCRAM-SHA-256", b"ANONYMOUS"):
        assert b"<mechanism>%s</mechanism>" % mechanism in offered
    assert b"http://jabber.org/features/iq-register" in offered
    assert client.say(plain_auth("user_1", "password_1")).startswith(b"<success ")
    assert b"urn:ietf:params:xml:ns:xmpp-bind" in client.say(HEADER)
    assert not client.outlet.in_time
    answer = in_stream(client.say(bind("home")))[0]
    assert answer.get("type") == "result"
    assert answer[0][0].text == "user_1@localhost/home"
    assert client.outlet.in_time
    assert domain.sessions["user_1@localhost/home"] is client.session
    assert client.say(b"</stream:stream>") == b"</stream:stream>"
    assert client.outlet.finished
    assert not domain.sessions
    assert not domain.users, "nobody needs to be remembered"
    assert domain.counts.bound == 0
    assert domain.counts.logins == 1
    assert not domain.counts.stream_errors


def test_a_complete_login_may_arrive_in_one_piece() -> None:
    client = Client(new_domain())
    said = client.say(b"".join(LOGIN) + bind("r") + b"<presence/>")
    assert client.session.jid == "user_1@localhost/r"
    assert said.count(GREETING) == 2
    assert client.session.presence is not None


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (HEADER.replace(b"localhost", b"example.org"), "host-unknown"),
        (HEADER.replace(b"to='localhost'", b"to='a b'"), "host-unknown"),
        (HEADER.replace(b"to='localhost'", b""), "improper-addressing"),
        (HEADER.replace(b"version='1.0'", b"version='0.9'", 2), "unsupported-version"),
        (HEADER.replace(b" version='1.0' xmlns", b" xmlns"), "unsupported-version"),
        (HEADER.replace(b"stream:stream", b"stream:flow"), "bad-format"),
        (HEADER.replace(b"etherx", b"ether"), "invalid-namespace"),
        (b"<html>", "bad-format"),
        (b"<!DOCTYPE html>", "restricted-xml"),
        (b"hello", "not-well-formed"),
    ],
)
def test_an_unacceptable_stream_header_is_answered_with_an_error(
    header: bytes, condition: str
) -> None:
    if condition == "unsupported-version":
        header = header.replace(b"<?xml version='0.9'?>", b"<?xml version='1.0'?>")
    assert ended_with(header) == condition


@pytest.mark.parametrize(
    "stanza",
    [
        b"<message/>",
        b"<presence/>",
        b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        b"<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>",
        b"<x xmlns='y'/>",
    ],
)
def test_only_registration_is_allowed_before_login(stanza: bytes) -> None:
    assert ended_with(HEADER, stanza) == "not-authorized"


@pytest.mark.parametrize(
    "stanza",
    [
        b"<message to='user_2@localhost'/>",
        b"<presence/>",
        bind("r").replace(b"'set'", b"'get'"),
        b"<iq type='set' id='1'/>",
        plain_auth("user_1", "password_1"),
    ],
)
def test_only_binding_is_allowed_before_a_resource_is_bound(stanza: bytes) -> None:
    assert ended_with(*LOGIN, stanza) == "not-authorized"


@pytest.mark.parametrize("stanza", [b"<x xmlns='y'/>", b"<stream:features/>", plain_auth("a", "b")])
def test_elements_that_are_not_stanzas_are_an_error(stanza: bytes) -> None:
    assert ended_with(*LOGIN, bind("r"), stanza) == "unsupported-stanza-type"


@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
@pytest.mark.parametrize(
    "sender", ["user_2@localhost/r", "user_1@localhost/other", "localhost", "@"]
)
def test_a_forged_sender_ends_the_stream(kind: str, sender: str) -> None:
    stanza = f"<{kind} from='{sender}' id='1' type='get' to='user_1@localhost'/>".encode()
    assert ended_with(*LOGIN, bind("r"), stanza) == "invalid-from"


@pytest.mark.parametrize("sender", ["user_1@localhost/r", "user_1@localhost", "USER_1@localhost/r"])
def test_a_client_may_give_its_own_address_and_the_full_one_is_delivered(sender: str) -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    one.say(f"<message from='{sender}' to='user_2@localhost'><body>b</body></message>".encode())
    assert [stanza.get("from") for stanza in two.stanzas()] == ["user_1@localhost/r"]


@pytest.mark.parametrize(
    ("auth", "condition"),
    [
        (plain_auth("user_1", "password_2"), b"not-authorized"),
        (plain_auth("nobody", "password_2"), b"not-authorized"),
        (sasl_auth("DIGEST-MD5", None), b"invalid-mechanism"),
        (b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", b"invalid-mechanism"),
        (sasl_auth("PLAIN", b"").replace(b"=</", b"!</"), b"incorrect-encoding"),
        (b"<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", b"aborted"),
        (b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", b"malformed-request"),
    ],
)  # fmt: skip
def test_a_failed_login_can_be_retried(auth: bytes, condition: bytes) -> None:
    client = Client(new_domain())
    client.say(HEADER)
    failure = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><%s/></failure>" % condition
    assert client.say(auth) == failure
    assert client.say(plain_auth("user_1", "password_1")).startswith(b"<success ")


def test_the_last_failed_login_ends_the_stream() -> None:
    wrong = plain_auth("user_1", "password_2")
    assert ended_with(HEADER, wrong, wrong, wrong) == "policy-violation"


def test_errors_and_logs_contain_no_password(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(new_domain())
    said = client.say(HEADER, *[plain_auth("user_1", "SECRET")] * 3)
    assert b"SECRET" not in said
    assert "SECRET" not in caplog.text


def test_plain_can_request_the_initial_response() -> None:
    client = Client(new_domain())
    client.say(HEADER)
    assert b"<challenge " in client.say(sasl_auth("PLAIN", None))
    response = plain_auth("user_1", "password_1").replace(b"auth", b"response", 1)
    said = client.say(response.replace(b"</auth>", b"</response>"))
    assert said.startswith(b"<success ")


def test_anonymous_login_can_be_disabled() -> None:
    from amoc.xmppd.limits import Limits
    from amoc.xmppd.routing import Domain

    client = Client(Domain("localhost", Limits(), ("PLAIN",)))
    assert b"ANONYMOUS" not in client.say(HEADER)
    assert b"<invalid-mechanism/>" in client.say(sasl_auth("ANONYMOUS", None))


def test_clients_that_name_no_resource_get_generated_ones() -> None:
    domain = new_domain()
    jids = set()
    for _ in range(3):
        client = Client(domain)
        client.say(*LOGIN, bind(None))
        jids.add(client.session.jid)
    assert len(jids) == 3
    assert all(jid.startswith("user_1@localhost/") for jid in jids)


def test_an_invalid_resource_is_refused_and_another_can_be_bound() -> None:
    client = Client(new_domain())
    client.say(*LOGIN)
    answer = in_stream(client.say(bind("r" * 1024)))[0]
    assert stanza_error(answer) == "bad-request"
    client.say(bind("a&lt;'\"&amp;"))
    assert client.session.jid == "user_1@localhost/a<'\"&"


def test_the_newer_connection_keeps_the_resource() -> None:
    domain = new_domain()
    old = logged_in(domain, 1)
    new = logged_in(domain, 1)
    assert stream_error(old.heard()) == "conflict"
    assert old.outlet.finished
    assert domain.sessions == {"user_1@localhost/r": new.session}
    sender = logged_in(domain, 2)
    sender.say(b"<message to='user_1@localhost/r'><body>b</body></message>")
    sender.say(b"<message to='user_1@localhost'><body>b</body></message>")
    assert len(new.stanzas()) == 2
    assert domain.counts.bound == 2


def test_the_number_of_connections_per_user_is_limited() -> None:
    domain = new_domain(resources=2)
    logged_in(domain, 1, "a")
    logged_in(domain, 1, "b")
    client = Client(domain)
    client.say(*LOGIN)
    assert stanza_error(in_stream(client.say(bind("c")))[0]) == "resource-constraint"
    client.say(bind("a"))
    assert client.session.jid == "user_1@localhost/a"


def test_a_second_bind_is_refused() -> None:
    domain = new_domain()
    client = logged_in(domain, 1)
    assert stanza_error(in_stream(client.say(bind("other")))[0]) == "service-unavailable"
    assert client.session.jid == "user_1@localhost/r"


def test_limits_before_login_are_tighter() -> None:
    long = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + b"A" * 10_000 + b"</auth>"
    assert ended_with(HEADER, long) == "policy-violation"
    message = b"<message to='user_2@localhost'><body>" + b"A" * 200_000 + b"</body></message>"
    assert ended_with(*LOGIN, bind("r"), message + b"<x/>") == "unsupported-stanza-type"
    assert ended_with(*LOGIN, bind("r"), message.replace(b"A", b"BB")) == "policy-violation"


def test_nesting_depth_is_limited() -> None:
    deep = b"<message to='localhost'>" + b"<a>" * 100
    assert ended_with(*LOGIN, bind("r"), deep) == "policy-violation"


def test_a_stanza_before_a_malformed_one_is_delivered() -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    said = one.say(b"<message to='user_2@localhost'><body>b</body></message></message>")
    assert stream_error(said) == "not-well-formed"
    assert len(two.stanzas()) == 1


def test_an_internal_error_ends_one_connection_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    domain = new_domain()
    other = logged_in(domain, 9)

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(domain, "message", broken)
        for number in (1, 2, 3):
            client = logged_in(domain, number)
            said = client.say(b"<message to='user_9@localhost'/>")
            assert stream_error(said) == "internal-server-error"
    assert domain.counts.internal_errors == 3
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert "2 times" in caplog.text
    other.send(b"<message to='user_9@localhost'><body>b</body></message>")
    assert len(other.stanzas()) == 1


NOISE = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                HEADER,
                *LOGIN,
                bind("r"),
                bind(None),
                b"<presence/>",
                b"</stream:stream>",
                b"<",
                b">",
                b"<message to='user_1@localhost' type='",
                b"chat",
                b"'><body>",
                b"</body></message>",
                b"<iq type='get' id='1'>",
                b"<query xmlns='jabber:iq:roster'>",
                b"</query></iq>",
                b"<item jid='",
                b"a@localhost",
                b"'/>",
                b"<presence to='user_2@localhost' type='",
                b"subscribe",
                b"'/>",
                b"&lt;",
                b"&x;",
                b"<!--",
                b"<![CDATA[",
                b"]]>",
                b" xmlns='y'",
            ]
        ),
    ),
    max_size=25,
)


@given(NOISE, st.booleans())
def test_no_input_causes_an_internal_error_or_disturbs_other_clients(
    noise: list[bytes], bound: bool
) -> None:
    domain = new_domain()
    other = logged_in(domain, 2)
    client = logged_in(domain, 1) if bound else Client(domain)
    client.say(*noise)
    assert domain.counts.internal_errors == 0
    in_stream(other.heard())  # raises unless everything sent to others is well-formed
    other.send(b"<message to='user_2@localhost' id='last'><body>b</body></message>")
    assert other.stanzas()[-1].get("id") == "last"


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_connection_lost_at_any_byte_leaves_nothing_behind(first: int, last: int) -> None:
    domain = new_domain()
    data = b"".join(LOGIN) + bind("r") + b"<presence/><message to='user_1@localhost'/>"
    client = Client(domain)
    begin, end = sorted((first, last))
    client.say(data[:begin], data[begin:end])
    client.session.lost()
    assert not domain.sessions
    assert not domain.users
    assert client.session.framer.parser is None
    assert domain.counts.bound == 0
