"""Message archives (XEP-0313), on independent servers and on the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.steps import recorder
from amoc.xmpp import meters
from tests.servers.conftest import Connect
from tests.unit.xmpp.fake import count

PATIENCE_S = 60.0
pytestmark = pytest.mark.once


@pytest.fixture
def talk(connect: Connect) -> Iterator[tuple[xmpp.Client, xmpp.Client, xmpp.Client]]:
    """Three users; the first has had six messages from the second and one from the third."""
    with connect() as alice, connect() as bob, connect() as carol:
        for number in range(6):
            bob.send_chat(alice.jid, f"m{number}")
            alice.receive(xmpp.has_body(f"m{number}"), timeout=PATIENCE_S)
        carol.send_chat(alice.jid, "other")
        alice.receive(xmpp.has_body("other"), timeout=PATIENCE_S)
        yield alice, bob, carol


Talk = tuple[xmpp.Client, xmpp.Client, xmpp.Client]


def bodies(pages: Iterator[object]) -> list[list[str | None]]:
    return [[one.message.body for one in page.messages] for page in pages]  # type: ignore[attr-defined]


def test_an_archive_is_read_from_the_beginning(talk: Talk) -> None:
    alice, bob, _ = talk
    pages = bodies(alice.archive(with_=bob.user_id, page_size=4))
    assert pages == [["m0", "m1", "m2", "m3"], ["m4", "m5"]]
    assert bodies(alice.archive(with_=bob.bare_jid, first=3, page_size=2)) == [["m0", "m1"], ["m2"]]


def test_an_archive_is_read_from_the_end(talk: Talk) -> None:
    alice, bob, carol = talk
    assert bodies(alice.archive(with_=bob.user_id, last=3)) == [["m3", "m4", "m5"]]
    pages = bodies(alice.archive(with_=bob.user_id, last=5, page_size=2))
    assert pages == [["m4", "m5"], ["m2", "m3"], ["m1"]]
    assert bodies(alice.archive(with_=carol.user_id, last=20)) == [["other"]]


def test_an_archive_goes_on_before_or_after_a_message(talk: Talk) -> None:
    alice, bob, _ = talk
    page = next(alice.archive(with_=bob.user_id, last=3))
    assert bodies(alice.archive(with_=bob.user_id, before=page.first, page_size=10)) == [
        ["m0", "m1", "m2"]
    ]
    assert bodies(alice.archive(with_=bob.user_id, after=page.first)) == [["m4", "m5"]]
    assert page.first == page.messages[0].id
    assert page.messages[0].stamp.startswith("20")


def test_an_archive_is_searched_by_time(talk: Talk) -> None:
    alice, _, _ = talk
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    assert sum(map(len, bodies(alice.archive(start=now - hour, end=now + hour)))) == 7
    assert sum(map(len, bodies(alice.archive(start=now + hour)))) == 0
    assert sum(map(len, bodies(alice.archive(end="2020-01-01T00:00:00Z")))) == 0


def test_archived_messages_do_not_count_as_received(talk: Talk) -> None:
    alice, _, _ = talk
    received, timed = count(meters.messages_received), count(meters.message_ttd)
    pages = count(recorder.of("archive_page").timer)
    seen: list[xmpp.Stanza] = []
    off = alice.on_received(xmpp.is_message, seen.append)
    assert sum(map(len, bodies(alice.archive(page_size=4)))) == 7
    off()
    assert not seen
    assert alice.receive_nowait(xmpp.is_message) is None
    assert count(meters.messages_received) == received
    assert count(meters.message_ttd) == timed
    assert count(recorder.of("archive_page").timer) - pages == 2


def test_an_empty_archive_is_one_empty_page(connect: Connect) -> None:
    with connect() as client:
        (page,) = client.archive(last=10)
        assert page.messages == []
        assert page.complete


def test_preferences_say_what_is_archived(connect: Connect, xmpp_name: str) -> None:
    if xmpp_name == "embedded":
        pytest.skip("the embedded server archives everything")
    with connect() as client:
        client.set_archive_preferences("roster", always=[2], never=["x@y"])
        found = client.archive_preferences()
        assert found == ("roster", ("user_2@localhost",), ("x@y",))
        client.set_archive_preferences("always")
        assert client.archive_preferences() == ("always", (), ())


def test_an_archive_is_read_in_one_direction(connect: Connect) -> None:
    both = "first and after, or last and before"
    with connect() as client, pytest.raises(ScenarioError, match=both):
        list(client.archive(first=1, last=1))
