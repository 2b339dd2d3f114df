from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmppd.routing import Domain
from tests.unit.xmppd.lab import (
    HEADER,
    Client,
    bind,
    in_stream,
    logged_in,
    new_domain,
    plain_auth,
    stanza_error,
)

ODD_HEADER = (
    b"<s:stream to='localhost' version='1.0' xmlns='urn:odd' xmlns:c='jabber:client'"
    b" xmlns:s='http://etherx.jabber.org/streams' xmlns:x='urn:x'>"
)


def message(to: str | None, kind: str | None = "chat", id_: str = "1") -> bytes:
    address = "" if to is None else f" to='{to}'"
    typed = "" if kind is None else f" type='{kind}'"
    return f"<message{address}{typed} id='{id_}'><body>hi &lt;</body></message>".encode()


def arrived(client: Client) -> list[str]:
    return [stanza.get("id", "") for stanza in client.stanzas()]


def test_a_message_to_a_full_address_is_delivered_verbatim_with_its_sender() -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2, there=False)
    raw = (
        b"<message  to='user_2@localhost/r'\n id=\"1\"><body><![CDATA[<&]]>&#65;</body></message >"
    )
    assert one.say(raw) == b""
    assert two.heard() == raw.replace(b"<message", b"<message from='user_1@localhost/r'", 1)
    assert domain.counts.messages_in == domain.counts.messages_routed == 1


@pytest.mark.parametrize("kind", ["chat", "normal", None, "unheard-of"])
def test_a_message_to_a_bare_address_goes_to_the_highest_priority_latest_first(
    kind: str | None,
) -> None:
    domain = new_domain()
    sender = logged_in(domain, 1)
    low, high, tied = (logged_in(domain, 2, resource) for resource in ("low", "high", "tied"))
    absent = logged_in(domain, 2, "absent", there=False)
    low.say(b"<presence><priority>-1</priority></presence>")
    tied.say(b"<presence><priority> 5 </priority></presence>")
    high.say(b"<presence><priority>5</priority></presence>")
    for client in (low, high, tied):
        client.heard()
    sender.say(message("user_2@localhost", kind))
    assert (arrived(high), arrived(tied), arrived(low), arrived(absent)) == (["1"], [], [], [])
    high.say(b"<presence type='unavailable'/>")
    for client in (low, high, tied):
        client.heard()
    sender.say(message("user_2@localhost", kind))
    assert (arrived(high), arrived(tied), arrived(low), arrived(absent)) == ([], ["1"], [], [])
    tied.session.lost()
    assert sender.say(message("user_2@localhost", kind)) == b""
    assert domain.counts.messages_kept == 1


def test_addresses_are_normalised_before_routing() -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    for to in ("USER_2@LocalHost/r", "USER_2@LOCALHOST", "user_2@localhost."):
        one.say(message(to))
    assert len(two.stanzas()) == 3


def test_a_message_without_an_address_goes_to_the_senders_own_account() -> None:
    domain = new_domain()
    one, other = logged_in(domain, 1, "a"), logged_in(domain, 1, "b")
    one.heard()
    one.say(message(None))
    (stanza,) = other.stanzas()
    assert stanza.get("to") == "user_1@localhost"
    assert stanza.get("from") == "user_1@localhost/a"


BOUNCED = "service-unavailable"
DROPPED = ""


@pytest.mark.parametrize(
    ("to", "kind", "outcome"),
    [
        # RFC 6121 section 8.5: 1 no such user, 2.2 nobody available, 3.2 no such resource
        ("nobody@localhost", "chat", BOUNCED),
        ("nobody@localhost", "normal", BOUNCED),
        ("nobody@localhost", "groupchat", BOUNCED),
        ("nobody@localhost", "headline", DROPPED),
        ("nobody@localhost", "error", DROPPED),
        ("user_3@localhost", "headline", DROPPED),
        ("user_3@localhost", "error", DROPPED),
        ("user_2@localhost", "groupchat", BOUNCED),
        ("user_2@localhost", "error", DROPPED),
        ("user_2@localhost/gone", "normal", BOUNCED),
        ("user_2@localhost/gone", "groupchat", BOUNCED),
        ("user_2@localhost/gone", "headline", DROPPED),
        ("user_2@localhost/gone", "error", DROPPED),
        ("localhost", "chat", BOUNCED),
        ("localhost/r", "chat", BOUNCED),
        ("user_2@example.org", "chat", "remote-server-not-found"),
        ("user_2@example.org", "error", DROPPED),
        ("a b@localhost", "chat", "jid-malformed"),
        ("", "chat", "jid-malformed"),
        ("@", "error", DROPPED),
    ],
)
def test_undeliverable_messages_are_bounced_or_dropped_according_to_rfc_6121(
    to: str, kind: str, outcome: str
) -> None:
    domain = new_domain()
    sender, two = logged_in(domain, 1), logged_in(domain, 2)
    logged_in(domain, 3, there=False)
    answers = list(in_stream(sender.say(message(to, kind))))
    assert two.heard() == b""
    if outcome == DROPPED:
        assert answers == []
        assert (domain.counts.messages_dropped, domain.counts.messages_bounced) == (1, 0)
    else:
        (answer,) = answers
        assert answer.tag == "{jabber:client}message"
        assert stanza_error(answer) == outcome
        assert (answer.get("from"), answer.get("id")) == (to, "1")
        assert answer.get("to") == "user_1@localhost/r"
        assert (domain.counts.messages_dropped, domain.counts.messages_bounced) == (0, 1)
    assert domain.counts.messages_routed == 0


def test_a_chat_message_to_a_departed_resource_goes_to_another_of_that_user() -> None:
    domain = new_domain()
    sender, two = logged_in(domain, 1), logged_in(domain, 2)
    sender.say(message("user_2@localhost/gone"))
    assert arrived(two) == ["1"]


def test_a_headline_goes_to_all_available_clients() -> None:
    domain = new_domain()
    sender, a, b = logged_in(domain, 1), logged_in(domain, 2, "a"), logged_in(domain, 2, "b")
    absent = logged_in(domain, 2, "c", there=False)
    unwilling = logged_in(domain, 2, "d")
    unwilling.say(b"<presence><priority>-1</priority></presence>")
    for client in (a, b, unwilling):
        client.heard()
    sender.say(message("user_2@localhost", "headline"))
    assert [arrived(it) for it in (a, b, absent, unwilling)] == [["1"], ["1"], [], []]
    assert domain.counts.messages_routed == 2


def test_a_stream_with_unusual_namespaces_is_understood_and_rewritten() -> None:
    domain = new_domain()
    one = Client(domain)
    one.say(
        ODD_HEADER,
        plain_auth("user_1", "password_1"),
        ODD_HEADER,
        bind("r").replace(b"<iq", b"<c:iq").replace(b"</iq", b"</c:iq"),
    )
    assert one.session.jid == "user_1@localhost/r"
    two = logged_in(domain, 2)
    one.say(b"<c:message to='user_2@localhost/r' x:a='1'><c:body>hi</c:body><e/><x:e/></c:message>")
    (stanza,) = two.stanzas()
    assert stanza.get("from") == "user_1@localhost/r"
    assert stanza.get("{urn:x}a") == "1"
    assert [child.tag for child in stanza] == ["{jabber:client}body", "{urn:odd}e", "{urn:x}e"]


def test_stanzas_inherit_the_language_of_their_stream() -> None:
    domain = new_domain()
    one = logged_in(domain, 1, header=HEADER.replace(b"to=", b"xml:lang='de' to="))
    two = logged_in(domain, 2)
    one.say(message("user_2@localhost/r"), b"<message to='user_2@localhost' xml:lang='fr'/>")
    lang = "{http://www.w3.org/XML/1998/namespace}lang"
    assert [stanza.get(lang) for stanza in two.stanzas()] == ["de", "fr"]


HOSTILE = ["a'b", 'a"b', "<a>", "a&amp;b", "'/><message to='x"]


@pytest.mark.parametrize("resource", HOSTILE)
def test_a_resource_cannot_break_out_of_the_markup(resource: str) -> None:
    domain = new_domain()
    one = Client(domain)
    header = HEADER
    one.say(header, plain_auth("user_1", "password_1"), header)
    one.say(bind(resource.replace("&amp;", "&").replace("&", "&amp;").replace("<", "&lt;")))
    two = logged_in(domain, 2)
    one.say(message("user_2@localhost"))
    (stanza,) = two.stanzas()
    assert stanza.get("from") == "user_1@localhost/" + resource.replace("&amp;", "&")


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from(["chat", None, "headline"])),
    max_size=12,
)


def conversation(domain: Domain, steps: list[tuple[int, int, str | None]]) -> list[bytes]:
    """Return what each of three clients sends: its login and messages to the others."""
    said = [
        b"".join((HEADER, plain_auth(f"user_{n}", f"password_{n}"), HEADER, bind("r")))
        for n in (1, 2, 3)
    ]
    for sender, target, kind in steps:
        to = ("user_1@localhost", "user_2@localhost/r", "user_3@localhost/r", "x@localhost", "@")
        said[sender] += message(to[target], kind)
    return said


@given(STEPS, st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_routing_does_not_depend_on_how_the_input_is_split(
    steps: list[tuple[int, int, str | None]], sizes: list[int]
) -> None:
    heard = []
    for split in (False, True):
        domain = new_domain()
        clients = [Client(domain) for _ in range(3)]
        # Log in first, in this order, so that availability does not depend on the chunks.
        inputs = conversation(domain, [])
        for client, data in zip(clients, inputs, strict=True):
            client.say(data)
        for client, data, bare in zip(clients, conversation(domain, steps), inputs, strict=True):
            rest = data[len(bare) :]
            if not split:
                client.session.received(rest)
            turn = 0
            while split and rest:
                size = sizes[turn % len(sizes)]
                client.session.received(rest[:size])
                rest = rest[size:]
                turn += 1
        heard.append([client.heard() for client in clients])
        assert domain.counts.messages_in == len(steps)
    assert heard[0] == heard[1]
