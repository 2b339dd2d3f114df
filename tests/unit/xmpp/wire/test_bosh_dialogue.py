"""A session over BOSH, without HTTP: which requests may be made, and what the server agrees to."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.bosh import MAX_REQUESTS, Dialogue, Polling, ends_session
from amoc.xmpp.wire.parsers import Parsers, TreeParser


class Reader:
    """Hears nothing of interest."""

    def on_header(self, attrs: dict[str, str]) -> None:
        pass

    def on_element(self, element: ET.Element) -> None:
        pass

    def on_close(self) -> None:
        pass


def begun(*, wait: int = 60, hold: int = 1, requests: int = 2) -> Dialogue:
    """A session whose first request was made."""
    dialogue = Dialogue(Parsers(TreeParser, 10), Polling(wait, hold, requests))
    assert not dialogue.wants_request(0)
    dialogue.header(" to='localhost'")
    assert dialogue.wants_request(0)
    dialogue.request()
    return dialogue


def created(attributes: str = "") -> Dialogue:
    """A session to which the server agreed."""
    dialogue = begun(requests=5)
    dialogue.feed(f"<body xmlns='{ns.BOSH}' sid='s'{attributes}/>".encode(), Reader())
    return dialogue


def test_the_first_request_is_answered_before_the_second_is_made() -> None:
    dialogue = begun()
    dialogue.say(b"<presence/>")
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
def test_what_the_server_agrees_to_has_bounds(attributes: str, agreed: Polling) -> None:
    assert created(attributes).polling == agreed


def test_a_request_says_all_there_is_to_say_in_its_namespaces() -> None:
    dialogue = created()
    rid, empty = dialogue.request()
    assert f" rid='{rid}' sid='s'/>".encode() in empty
    dialogue.say(b"<presence/>")
    dialogue.say(b"<stream:error><a/></stream:error>")
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


def test_the_end_may_be_said_in_one_request_more_than_usual_and_once() -> None:
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
def test_the_end_of_a_session_is_seen_in_the_tag_of_its_body(body: bytes, ends: bool) -> None:
    assert ends_session(body) is ends
