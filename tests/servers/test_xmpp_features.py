"""Other XMPP features, on independent servers and on the embedded one."""

from __future__ import annotations

import urllib.request

import gevent
import pytest

from amoc import xmpp
from amoc.steps import recorder
from tests.servers.conftest import Connect
from tests.unit.xmpp.fake import count

PATIENCE_S = 60.0
pytestmark = pytest.mark.once
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


def test_two_users_that_befriend_each_other_at_once_become_friends(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        other = gevent.spawn(alice.befriend, bob.user_id or 0, PATIENCE_S)
        bob.befriend(alice.user_id or 0, PATIENCE_S)
        other.get(timeout=PATIENCE_S)
        assert alice.roster()[bob.bare_jid].subscription == "both"
        assert bob.roster()[alice.bare_jid].subscription == "both"
        alice.befriend(bob.user_id or 0, PATIENCE_S)  # they are already


def test_a_user_may_befriend_another_that_follows_later(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        other = gevent.spawn(alice.befriend, bob.user_id or 0, PATIENCE_S)
        bob.receive(xmpp.is_subscription, timeout=PATIENCE_S)  # it has been asked
        assert not other.ready()
        bob.befriend(alice.user_id or 0, PATIENCE_S)
        other.get(timeout=PATIENCE_S)


def test_an_unanswered_friend_request_times_out(connect: Connect) -> None:
    with (
        connect() as alice,
        connect() as bob,
        pytest.raises(xmpp.ReceiveTimeout, match=f"{bob.bare_jid} did not agree"),
    ):
        alice.befriend(bob.user_id or 0, 0.2)


def test_a_blocked_user_reaches_nobody(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        alice.block(bob.user_id or 0)
        assert alice.blocked() == [bob.bare_jid]
        bob.send_chat(alice.bare_jid, "hello?")  # prosody drops it silently for a full JID
        assert bob.receive(xmpp.is_error, timeout=PATIENCE_S).error
        alice.unblock(bob.user_id or 0)
        assert alice.blocked() == []
        bob.send_chat(alice.jid, "again")
        assert alice.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "again"


def test_carbons_are_copies_for_the_other_client(connect: Connect) -> None:
    with connect() as alice, connect() as phone, connect(phone.user_id, resource="desk") as desk:
        desk.carbons()
        alice.send_chat(phone.jid, "to the phone")
        assert phone.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "to the phone"
        copy = desk.receive(xmpp.is_carbon, timeout=PATIENCE_S)
        assert copy.body is None
        assert "to the phone" in str(copy)
        desk.carbons(False)
        alice.send_chat(phone.jid, "no copy")
        phone.receive(xmpp.has_body("no copy"), timeout=PATIENCE_S)
        desk.ping()
        assert desk.receive_nowait(xmpp.is_carbon) is None


def test_receipts_markers_and_chat_states(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        bob.send_receipts()
        assert 0 < alice.send_chat_and_wait(bob.jid, "sure?", PATIENCE_S) < PATIENCE_S
        alice.send_message(bob.jid, "seen?", "chat", xmpp.WANTS_MARKERS)
        message = bob.receive(xmpp.has_body("seen?"), timeout=PATIENCE_S)
        bob.send_marker(message, "displayed")
        marker = alice.receive(xmpp.is_marker("displayed"), timeout=PATIENCE_S)
        assert message.id in str(marker)
        alice.send_chat_state(bob.jid, "composing")
        bob.receive(xmpp.is_chat_state("composing"), timeout=PATIENCE_S)


def test_waiting_for_a_missing_receipt_times_out(connect: Connect) -> None:
    with connect() as alice, connect() as bob, pytest.raises(xmpp.ReceiveTimeout, match="receipt"):
        alice.send_chat_and_wait(bob.jid, "sure?", 0.1)


def test_a_client_that_is_active_again_has_missed_nothing(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        bob.inactive()
        alice.send_chat(bob.jid, "wake up")
        alice.ping()  # the server has it, and may hold it back
        bob.active()
        assert bob.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "wake up"


def test_a_server_reports_its_identity(connect: Connect) -> None:
    with connect() as client:
        assert any(category == "server" for category, _, _ in client.disco().identities)
        services = {one.jid for one in client.disco_items()}
        assert {"conference.localhost", "pubsub.localhost"} <= services
        rooms = client.disco("conference.localhost")
        assert "http://jabber.org/protocol/muc" in rooms.features


def test_a_vcard_can_be_read_by_others(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        alice.set_vcard({"FN": "Alice <a>"})
        assert bob.vcard(alice.user_id).findtext("{vcard-temp}FN") == "Alice <a>"
        assert alice.vcard().findtext("{vcard-temp}FN") == "Alice <a>"


def test_an_avatar_is_published(connect: Connect) -> None:
    with connect() as alice:
        digest = alice.set_avatar(PICTURE)
        assert len(digest) == 40
        assert alice.avatar() == PICTURE
        alice.set_vcard4({"fn": "Alice"})
        card = alice.vcard4()
        assert card is not None
        assert "Alice" in "".join(card.itertext())


def test_private_storage_keeps_an_element(connect: Connect) -> None:
    with connect() as alice:
        alice.store("<notes xmlns='urn:my'>buy milk</notes>")
        kept = alice.stored("urn:my", "notes")
        assert kept is not None
        assert kept.text == "buy milk"


def test_an_uploaded_file_can_be_downloaded(connect: Connect, xmpp_name: str) -> None:
    if xmpp_name == "embedded":
        pytest.skip("the embedded server takes no files")
    uploads = recorder.of("upload").timer
    with connect() as alice:
        uploaded = count(uploads)
        url = alice.upload(b"x" * 100_000, "x.txt", "text/plain")
        assert count(uploads) - uploaded == 1
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            assert answer.read() == b"x" * 100_000
        slot = alice.upload_slot(10)
        assert "put" not in repr(slot)
