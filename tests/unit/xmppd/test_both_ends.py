"""Client and server together: each reads what the other writes.

Most of it works without sockets: what one end serialises is fed to the other.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import xmpp
from amoc.xmpp import encode
from amoc.xmpp.features import roster
from amoc.xmpp.features.roster import Contact
from amoc.xmpp.stanza import PARSERS, Stanza
from amoc.xmpp.wire import elements
from amoc.xmpp.wire.elements import STREAM_END, stream_header
from amoc.xmpp.wire.namespaces import STREAM_ERROR
from amoc.xmpp.wire.xml_text import attributes
from tests.unit.xmpp.fake import Conn, connect, serving
from tests.unit.xmpp.wire.lab import Recorder
from tests.unit.xmppd.lab import Client, logged_in, new_domain, stream_error

CHARS = st.characters(
    exclude_categories=["Cs", "Cc"],
    include_characters="\t\n\r<>&'\"",
    exclude_characters="\ufffe\uffff",
)
TEXT = st.text(CHARS, max_size=20)
PIECES = st.integers(1, 50)


def read_by_client(data: bytes, size: int = 10**6) -> list[Stanza]:
    """Return the stanzas that a client reads in a server's output inside a stream."""
    stream = Recorder(PARSERS)
    stream.feed(stream_header(" from='localhost'"))
    stream.feed(*(data[at : at + size] for at in range(0, len(data), size)))
    assert stream.condition == ""
    return [Stanza(element) for element in stream.elements]


@given(TEXT, st.sampled_from(["chat", "normal", "headline"]), PIECES)
def test_a_message_arrives_as_it_was_written(body: str, kind: str, size: int) -> None:
    domain = new_domain()
    sender, receiver = logged_in(domain, 1), logged_in(domain, 2)
    before, after = encode.message("user_2@localhost/r", body, kind, "<x xmlns='urn:x'/>")
    data = f"{before}id1{after}".encode()
    sender.send(*(data[at : at + size] for at in range(0, len(data), size)))
    [stanza] = read_by_client(receiver.heard(), size)
    assert (stanza.body, stanza.type, stanza.id) == (body, kind, "id1")
    assert stanza.sender == "user_1@localhost/r"
    assert [child.tag for child in stanza.xml][1:] == ["{urn:x}x"]


@given(TEXT, st.integers(-128, 127), PIECES)
def test_a_presence_arrives_as_it_was_written(status: str, priority: int, size: int) -> None:
    domain = new_domain()
    sender = logged_in(domain, 1, there=False)
    data = encode.presence(None, None, "away", status, priority)
    sender.send(*(data[at : at + size] for at in range(0, len(data), size)))
    [stanza] = read_by_client(sender.heard(), size)
    assert (stanza.xml.findtext("{jabber:client}status") or "") == status
    assert stanza.xml.findtext("{jabber:client}priority") == str(priority)
    assert sender.session.priority == priority


@given(TEXT, st.lists(TEXT.filter(bool), max_size=3, unique=True), PIECES)
def test_a_roster_is_read_as_it_was_written(name: str, groups: list[str], size: int) -> None:
    client = logged_in(new_domain(), 1)
    client.say(f"<iq type='set' id='1'>{roster.put('a@localhost', name, groups)}</iq>".encode())
    said = client.say(f"<iq type='get' id='2'>{roster.GET}</iq>".encode())
    [answer] = read_by_client(said, size)
    assert roster.contacts(answer.xml) == {
        "a@localhost": Contact("a@localhost", name, "none", False, tuple(groups))
    }


@given(st.sampled_from(["message", "presence", "iq"]), TEXT, TEXT, TEXT)
def test_a_stanza_error_arrives_as_it_was_written(
    kind: str, to: str, from_: str, stanza_id: str
) -> None:
    data = elements.stanza_error(kind, "item-not-found", to=to, from_=from_, id_=stanza_id)
    [stanza] = read_by_client(data)
    assert stanza.error == ("item-not-found", "cancel", "")
    assert (stanza.name, stanza.to, stanza.sender, stanza.id) == (kind, to, from_, stanza_id)


@given(TEXT, PIECES)
def test_each_end_reads_headers_and_stream_errors_of_the_other(domain: str, size: int) -> None:
    data = (
        stream_header(attributes(to=domain))
        + elements.stream_error("undefined-condition", domain)
        + STREAM_END
    )
    reader = Recorder(PARSERS)
    reader.feed(*(data[at : at + size] for at in range(0, len(data), size)))
    assert reader.headers[0]["to"] == domain
    assert reader.tags == [STREAM_ERROR]
    assert reader.ends == 1


HEADER = stream_header(" to='localhost' id='a'")


@pytest.mark.parametrize(
    ("hostile", "condition"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'aaa'><!ENTITY b '&a;&a;&a;'>]>" + HEADER, "restricted-xml"),
        (HEADER + b"<message>&b;</message>", "restricted-xml"),
        (HEADER + b"<!-- -->", "restricted-xml"),
        (HEADER + b"<message>" + b"<a>" * 200, "policy-violation"),
        (HEADER + b"<" + b"n" * 40_000, "policy-violation"),
        (HEADER + b"<message a='" + b"x" * 40_000, "policy-violation"),
        (HEADER + b"<message>\xff\xfe</message>", "not-well-formed"),
        (HEADER + b"<message>\x00</message>", "not-well-formed"),
        (HEADER + b"<message></iq>", "not-well-formed"),
        (HEADER + b"<message xmlns='jabber:server'/>", "invalid-namespace"),
        (HEADER + b"hello", "bad-format"),
        (HEADER.replace(b"jabber:client", b"jabber:server"), "invalid-namespace"),
        (b"<html>", "bad-format"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x00\x02\x02\x16", "not-well-formed"),
    ],
    ids=range(15),
)
def test_both_ends_refuse_hostile_input_alike(hostile: bytes, condition: str) -> None:
    assert stream_error(Client(new_domain()).say(hostile)) == condition

    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(hostile)
        conn.rest()

    with serving(script) as server, pytest.raises(xmpp.BadStreamError) as raised:
        connect(server)
    assert raised.value.condition == condition
