"""The BOSH session logic without HTTP: which requests may be made, and negotiated limits."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.pattern_reader import PatternReader, read_in_body
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.bosh import MAX_REQUESTS, Dialogue, Polling, ends_session
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import Parsers, TreeParser
from amoc.xmpp.wire.xml_text import serialise


class Reader:
    """Ignores everything read."""

    def on_header(self, attrs: dict[str, str]) -> None:
        pass

    def on_element(self, element: ET.Element) -> None:
        pass

    def on_close(self) -> None:
        pass


def begun(*, wait: int = 60, hold: int = 1, requests: int = 2) -> Dialogue:
    """Return a session that has made its first request."""
    dialogue = Dialogue(Parsers(TreeParser, 10), Polling(wait, hold, requests))
    assert not dialogue.wants_request(0)
    dialogue.header(" to='localhost'")
    assert dialogue.wants_request(0)
    dialogue.request()
    return dialogue


def created(attributes: str = "") -> Dialogue:
    """Return a session that the server has accepted."""
    dialogue = begun(requests=5)
    dialogue.feed(f"<body xmlns='{ns.BOSH}' sid='s'{attributes}/>".encode(), Reader())
    return dialogue


def test_the_second_request_waits_for_the_first_response() -> None:
    dialogue = begun()
    dialogue.add(b"<presence/>")
    assert not dialogue.wants_request(1)
    assert not dialogue.wants_poll(0)
    dialogue.feed(f"<body xmlns='{ns.BOSH}' sid='s'/>".encode(), Reader())
    assert dialogue.wants_request(1)


@pytest.mark.parametrize(
    ("attributes", "agreed"),
    [
        ("", Polling(60, 1, 2)),
        (" wait='20' hold='1' requests='2'", Polling(20, 1, 2)),
        (" wait='200' hold='3' requests='100'", Polling(60, 3, 5)),
        (" requests='0'", Polling(60, 1, 1)),
        (" wait='-1' hold='x' requests=''", Polling(60, 1, 2)),
        (" hold='99999999999'", Polling(60, 1, 2)),
        (" hold='999'", Polling(60, MAX_REQUESTS, 5)),
    ],
)
def test_negotiated_values_are_bounded(attributes: str, agreed: Polling) -> None:
    assert created(attributes).polling == agreed


def test_a_request_contains_all_queued_stanzas_in_their_namespaces() -> None:
    dialogue = created()
    rid, empty = dialogue.request()
    assert f" rid='{rid}' sid='s'/>".encode() in empty
    dialogue.add(b"<presence/>")
    dialogue.add(b"<stream:error><a/></stream:error>")
    assert dialogue.unsent > 0
    number, data = dialogue.request()
    assert number == rid + 1
    assert dialogue.unsent == 0
    body = ET.fromstring(data)
    assert [child.tag for child in body] == [
        f"{{{ns.CLIENT}}}presence",
        "{http://etherx.jabber.org/streams}error",
    ]
    assert not dialogue.wants_request(0)
    assert dialogue.wants_poll(0)
    assert not dialogue.wants_poll(1)


@pytest.mark.parametrize("name", ["challenge", "success", "failure"])
def test_the_server_is_not_polled_while_the_client_owes_an_answer(name: str) -> None:
    dialogue = created()
    for content in (
        f"<stream:features xmlns:stream='{ns.STREAMS}'/>",
        f"<{name} xmlns='{ns.SASL}'/>",
    ):
        dialogue.feed(f"<body xmlns='{ns.BOSH}'>{content}</body>".encode(), Reader())
        assert not dialogue.wants_poll(0)
        dialogue.add(b"<response/>")
        assert dialogue.wants_request(0)
        dialogue.request()
        dialogue.feed(f"<body xmlns='{ns.BOSH}'/>".encode(), Reader())
        assert dialogue.wants_poll(0)  # the server's answer to it follows


def test_termination_may_exceed_the_request_limit_by_one_and_is_sent_once() -> None:
    dialogue = created(" requests='2'")
    dialogue.ending()
    assert dialogue.wants_request(2)
    assert not dialogue.wants_request(3)
    assert b" type='terminate'" in dialogue.request()[1]
    assert not dialogue.wants_request(0)
    assert not dialogue.wants_poll(0)


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        (b"<body type='terminate'/>", True),
        (b"<body a='b' type = \"terminate\" c='d'></body>", True),
        (b"<body/>", False),
        (b"<body><a type='terminate'/></body>", False),
        (b"<body xtype='terminate'/>", False),
        (b"", False),
    ],
)
def test_the_end_of_a_session_is_recognised_in_the_body_tag(body: bytes, ends: bool) -> None:
    assert ends_session(body) is ends


HEAD = f"<body sid='s' xmlns:stream='{ns.STREAMS}' xmlns='{ns.BOSH}'>".encode()
FEATURES = b"<stream:features/>"
CHAT = (
    b"<message xmlns='jabber:client' from='a@b/c' to='d@e/f' type='chat' id='i'>"
    b"<body>hello</body></message>"
)
END = b"</body>"


class Heard(Reader):
    """Records what is read, and how."""

    def __init__(self) -> None:
        self.stanzas: list[tuple[str, ...]] = []
        self.by_pattern = 0

    def on_element(self, element: ET.Element | Stanza) -> None:
        stanza = element if isinstance(element, Stanza) else Stanza(element)
        self.by_pattern += stanza.raw is not None
        about = (stanza.id, stanza.type, stanza.sender, stanza.to, stanza.body or "")
        self.stanzas.append((*about, serialise(stanza.xml, inherit=False)))


def heard(alike: PatternReader | None, *answers: bytes) -> tuple[Heard, str]:
    """Read these responses; return what was read, and the condition of the violation if any."""
    read_whole = None if alike is None else alike.read
    dialogue = Dialogue(Parsers(TreeParser, 10), Polling(60, 1, 2), read_whole)
    reader = Heard()
    try:
        for answer in answers:
            dialogue.feed(answer, reader)
    except Violation as violation:
        return reader, violation.condition
    return reader, ""


def fresh() -> PatternReader:
    return PatternReader(read_in_body)


def test_messages_in_similar_responses_are_read_by_a_learned_pattern() -> None:
    answers = [HEAD + FEATURES + END, HEAD + END, *[HEAD + CHAT + END] * 2, HEAD + 3 * CHAT + END]
    by_pattern, plain = heard(fresh(), *answers), heard(None, *answers)
    assert by_pattern[0].by_pattern == 4  # the pattern is learned from the first
    assert by_pattern[0].stanzas == plain[0].stanzas
    assert by_pattern[1] == plain[1] == ""


PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [b"", b">", b"/>", b"'", b" a='>'", END, END + HEAD, CHAT, b"<presence/>", b"xmlns", b"&"]
    ),
)
EDITS = st.tuples(st.integers(0, 260), st.integers(0, 60), PIECES)
OWN_NAME = b" xmlns='jabber:client'"


@given(
    st.lists(st.tuples(st.sampled_from((CHAT, 2 * CHAT, b"")), EDITS), max_size=3),
    st.sampled_from((HEAD, HEAD.replace(b" sid", b" a='>' sid"), HEAD.replace(b"'", b'"'))),
)
def test_any_response_is_read_as_by_a_parser(
    answers: list[tuple[bytes, tuple[int, int, bytes]]], head: bytes
) -> None:
    said = [head + FEATURES + END, *[head + CHAT + END] * 3]
    for content, (at, gone, piece) in answers:
        answer = head + content + END
        said.append(answer[:at] + piece + answer[at + gone :])
    by_pattern, plain = heard(fresh(), *said), heard(None, *said)
    assert by_pattern[0].stanzas == plain[0].stanzas
    assert by_pattern[1] == plain[1]


def test_a_message_in_the_bosh_namespace_is_always_refused() -> None:
    answers = [HEAD + FEATURES + END, *[HEAD + CHAT + END] * 3]
    answers.append(HEAD + CHAT.replace(OWN_NAME, b"") + END)
    assert heard(fresh(), *answers)[1] == heard(None, *answers)[1] == "invalid-namespace"
