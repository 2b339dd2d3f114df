from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.unit.xmppd.lab import (
    HEADER,
    Client,
    in_stream,
    logged_in,
    new_domain,
    plain_auth,
    stanza_error,
    stream_error,
)

ROSTER = "{jabber:iq:roster}"
REGISTER = "{jabber:iq:register}"


def request(kind: str, payload: str, to: str | None = None) -> bytes:
    address = "" if to is None else f" to='{to}'"
    return f"<iq type='{kind}' id='q1'{address}>{payload}</iq>".encode()


def answer(client: Client, kind: str, payload: str, to: str | None = None) -> ET.Element:
    stanzas = [
        it for it in in_stream(client.say(request(kind, payload, to))) if it.get("id") == "q1"
    ]
    assert len(stanzas) == 1
    assert stanzas[0].get("to") == client.session.jid
    assert stanzas[0].get("from") == to
    return stanzas[0]


@pytest.mark.parametrize("to", [None, "localhost", "user_1@localhost", "LOCALHOST"])
def test_a_ping_is_answered(to: str | None) -> None:
    pong = answer(logged_in(new_domain(), 1), "get", "<ping xmlns='urn:xmpp:ping'/>", to)
    assert pong.get("type") == "result"
    assert len(pong) == 0


def test_the_legacy_session_request_succeeds() -> None:
    payload = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"
    assert answer(logged_in(new_domain(), 1), "set", payload).get("type") == "result"


def test_disco_lists_the_features_of_the_server() -> None:
    client = logged_in(new_domain(), 1)
    payload = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    info = answer(client, "get", payload, "localhost")[0]
    ns = "{http://jabber.org/protocol/disco#info}"
    identity = info.find(f"{ns}identity")
    assert identity is not None
    assert (identity.get("category"), identity.get("type")) == ("server", "im")
    features = {it.get("var") for it in info.iterfind(f"{ns}feature")}
    assert {"urn:xmpp:ping", "jabber:iq:roster", "jabber:iq:register"} <= features
    account = answer(client, "get", payload)[0].find(f"{ns}identity")
    assert account is not None
    assert (account.get("category"), account.get("type")) == ("account", "registered")
    node = payload.replace("/>", " node='x'/>")
    assert stanza_error(answer(client, "get", node, "localhost")) == "item-not-found"
    items = answer(client, "get", payload.replace("info", "items"), "localhost")
    assert items.get("type") == "result"


@pytest.mark.parametrize(
    ("kind", "payload", "to", "condition"),
    [
        ("get", "<query xmlns='urn:unknown'/>", None, "service-unavailable"),
        ("set", "<query xmlns='urn:unknown'/>", "localhost", "service-unavailable"),
        ("get", "<other xmlns='jabber:iq:roster'/>", None, "feature-not-implemented"),
        ("set", "<ping xmlns='urn:xmpp:ping'/>", None, "feature-not-implemented"),
        ("get", "<query/>", None, "service-unavailable"),
        ("get", "", None, "bad-request"),
        ("get", "<a xmlns='b'/><c xmlns='d'/>", None, "bad-request"),
        ("unknown", "<ping xmlns='urn:xmpp:ping'/>", None, "bad-request"),
        ("get", "<ping xmlns='urn:xmpp:ping'/>", "user_2@localhost", "service-unavailable"),
        ("get", "<ping xmlns='urn:xmpp:ping'/>", "user_2@localhost/gone", "service-unavailable"),
        ("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost/x", "service-unavailable"),
        ("get", "<ping xmlns='urn:xmpp:ping'/>", "example.org", "remote-server-not-found"),
        ("get", "<ping xmlns='urn:xmpp:ping'/>", "a b@c", "jid-malformed"),
    ],
)
def test_an_unsupported_request_is_answered_with_an_error(
    kind: str, payload: str, to: str | None, condition: str
) -> None:
    domain = new_domain()
    client, other = logged_in(domain, 1), logged_in(domain, 2)
    assert stanza_error(answer(client, kind, payload, to)) == condition
    assert other.heard() == b""


def test_a_request_without_an_id_is_a_bad_request() -> None:
    client = logged_in(new_domain(), 1)
    said = client.say(b"<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert stanza_error(in_stream(said)[0]) == "bad-request"


@pytest.mark.parametrize("kind", ["result", "error"])
@pytest.mark.parametrize("to", ["localhost", "user_2@localhost/gone", "user_2@localhost", "@"])
def test_a_response_is_never_answered(kind: str, to: str) -> None:
    domain = new_domain()
    client, other = logged_in(domain, 1), logged_in(domain, 2)
    assert client.say(request(kind, "", to)) == b""
    assert other.heard() == b""


def test_clients_can_send_requests_to_each_other() -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    one.say(request("get", "<query xmlns='jabber:iq:version'/>", "user_2@localhost/r"))
    (asked,) = two.stanzas()
    assert asked.get("from") == "user_1@localhost/r"
    two.say(request("result", "<query xmlns='jabber:iq:version'/>", "user_1@localhost/r"))
    (answered,) = one.stanzas()
    assert answered.get("from") == "user_2@localhost/r"
    assert answered[0].tag == "{jabber:iq:version}query"


def test_a_roster_change_is_pushed_to_all_clients_that_requested_the_roster() -> None:
    domain = new_domain()
    one, other, deaf = (logged_in(domain, 1, it) for it in ("a", "b", "c"))
    query = "<query xmlns='jabber:iq:roster'/>"
    assert len(answer(one, "get", query)[0]) == 0
    answer(other, "get", query)
    for client in (one, other, deaf):
        client.heard()
    item = "<item jid='User_2@localhost/x' name='Two &amp; a half'><group>g</group></item>"
    said = in_stream(one.say(request("set", f"<query xmlns='jabber:iq:roster'>{item}</query>")))
    assert [it.get("type") for it in said] == ["set", "result"]
    (pushed,) = other.stanzas()
    for push in (said[0], pushed):
        (entry,) = push[0]
        assert entry.attrib == {
            "jid": "user_2@localhost", "name": "Two & a half", "subscription": "none",
        }  # fmt: skip
        assert [group.text for group in entry] == ["g"]
    assert deaf.heard() == b""
    kept = answer(one, "get", query)[0]
    assert [entry.get("jid") for entry in kept] == ["user_2@localhost"]
    removed = "<item jid='user_2@localhost' subscription='remove'/>"
    one.say(request("set", f"<query xmlns='jabber:iq:roster'>{removed}</query>"))
    assert [it[0][0].get("subscription") for it in other.stanzas()] == ["remove"]
    assert len(answer(one, "get", query)[0]) == 0


def test_a_roster_outlives_the_connection() -> None:
    domain = new_domain()
    one = logged_in(domain, 1)
    one.say(request("set", "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>"))
    one.session.lost()
    again = logged_in(domain, 1)
    assert len(answer(again, "get", "<query xmlns='jabber:iq:roster'/>")[0]) == 1


@pytest.mark.parametrize(
    ("items", "condition"),
    [
        ("", "bad-request"),
        ("<item/>", "bad-request"),
        ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"),
        ("<other jid='a@b'/>", "bad-request"),
        ("<item jid='a b@c'/>", "jid-malformed"),
        ("<item jid='a@b' subscription='remove'/>", "item-not-found"),
        ("<item jid='a@b'><group/></item>", "not-acceptable"),
        ("<item jid='a@b'><group>g</group><group>g</group></item>", "bad-request"),
        (f"<item jid='a@b' name='{'n' * 2000}'/>", "not-acceptable"),
    ],
)
def test_an_invalid_roster_change_is_refused(items: str, condition: str) -> None:
    client = logged_in(new_domain(), 1)
    payload = f"<query xmlns='jabber:iq:roster'>{items}</query>"
    assert stanza_error(answer(client, "set", payload)) == condition


@pytest.mark.parametrize("limit", ["contacts", "all_contacts"])
def test_rosters_are_limited(limit: str) -> None:
    domain = new_domain(**{limit: 2})
    client = logged_in(domain, 1)

    def add(jid: str) -> ET.Element:
        item = f"<query xmlns='jabber:iq:roster'><item jid='{jid}' name='n'/></query>"
        return answer(client, "set", item)

    assert add("a@b").get("type") == add("c@d").get("type") == "result"
    assert stanza_error(add("e@f")) == "resource-constraint"
    assert add("a@b").get("type") == "result"
    gone = "<query xmlns='jabber:iq:roster'><item jid='a@b' subscription='remove'/></query>"
    assert answer(client, "set", gone).get("type") == "result"
    assert add("e@f").get("type") == "result"


def registration(fields: str, kind: str = "set") -> bytes:
    return request(kind, f"<query xmlns='jabber:iq:register'>{fields}</query>")


def account(name: str, password: str) -> str:
    return f"<username>{name}</username><password>{password}</password>"


def test_an_account_can_be_registered_once_and_used() -> None:
    domain = new_domain()
    client = Client(domain)
    client.say(HEADER)
    form = in_stream(client.say(registration("", "get")))[0]
    assert {it.tag for it in form[0]} >= {f"{REGISTER}username", f"{REGISTER}password"}
    assert in_stream(client.say(registration(account("Bob", "s3cret"))))[0].get("type") == "result"
    again = in_stream(client.say(registration(account("bob", "other"))))[0]
    assert stanza_error(again) == "conflict"
    assert client.say(plain_auth("bob", "s3cret")).startswith(b"<success ")
    assert domain.counts.registrations == 1


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "<username>bob</username>",
        "<password>x</password>",
        account("", "x"),
        account("b", ""),
        account("a b", "x"),
        account("a@b", "x"),
        "<remove/>",
    ],
)
def test_an_incomplete_registration_is_not_acceptable(fields: str) -> None:
    client = Client(new_domain())
    client.say(HEADER)
    assert stanza_error(in_stream(client.say(registration(fields)))[0]) == "not-acceptable"
    assert client.say(plain_auth("user_1", "password_1")).startswith(b"<success ")


def test_a_password_can_be_changed_after_login() -> None:
    domain = new_domain()
    client = logged_in(domain, 1)
    form = answer(client, "get", "<query xmlns='jabber:iq:register'/>")[0]
    assert form.find(f"{REGISTER}registered") is not None
    change = f"<query xmlns='jabber:iq:register'>{account('user_1', 'new')}</query>"
    assert answer(client, "set", change).get("type") == "result"
    assert domain.accounts.check("user_1", "new")
    other = change.replace("user_1", "user_2")
    assert stanza_error(answer(client, "set", other)) == "not-allowed"
    assert domain.accounts.check("user_2", "password_2")


def test_removing_an_account_closes_its_connections() -> None:
    domain = new_domain()
    domain.accounts.register("bob", "secret")
    clients = [Client(domain), Client(domain)]
    for number, client in enumerate(clients):
        bind = (
            f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{number}</resource></bind>"
        )
        client.say(HEADER, plain_auth("bob", "secret"), HEADER, request("set", bind))
    said = clients[0].say(registration("<remove/>"))
    assert b"type='result'" in said
    assert stream_error(said) == stream_error(clients[1].heard()) == "not-authorized"
    assert not domain.accounts.check("bob", "secret")
    assert not domain.users
