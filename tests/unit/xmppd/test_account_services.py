"""Account services of the server: archive, offline messages, carbons and blocking."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from amoc.xmppd.routing import Domain
from tests.unit.xmppd.lab import Client, logged_in, new_domain, stanza_error

C = "{jabber:client}"
MAM = "{urn:xmpp:mam:2}"
RSM = "{http://jabber.org/protocol/rsm}"
FORM = "<x xmlns='jabber:x:data' type='submit'>"
DELAY = "{urn:xmpp:delay}delay"


def ask(client: Client, kind: str, payload: str, to: str | None = None) -> list[ET.Element]:
    """Send a request and return everything the client then receives; the answer comes last."""
    address = "" if to is None else f" to='{to}'"
    client.send(f"<iq type='{kind}' id='q'{address}>{payload}</iq>".encode())
    return client.stanzas()


def answer(client: Client, kind: str, payload: str, to: str | None = None) -> ET.Element:
    return next(it for it in ask(client, kind, payload, to) if it.get("id") == "q")


def chat(client: Client, to: str, body: str, more: str = "") -> None:
    client.send(f"<message to='{to}' type='chat'><body>{body}</body>{more}</message>".encode())


def archived(
    client: Client, rsm: str = "", **fields: str
) -> tuple[list[str | None], ET.Element, list[ET.Element]]:
    """Return the bodies, the end of the page and the messages that a query yields."""
    shown = "".join(
        f"<field var='{name.rstrip('_').replace('_', '-')}'><value>{value}</value></field>"
        for name, value in fields.items()
    )
    form = f"{FORM}{shown}</x>"
    paging = f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>"
    query = f"<query xmlns='urn:xmpp:mam:2' queryid='z'>{form}{paging}</query>"
    client.heard()
    *messages, end = ask(client, "set", query)
    assert all(it.find(f"{MAM}result").get("queryid") == "z" for it in messages)  # type: ignore[union-attr]
    assert end.get("type") == "result"
    return [it.findtext(f".//{C}body") for it in messages], end[0], messages


@pytest.fixture
def domain() -> Domain:
    return new_domain(archived=50)


class TestArchive:
    def test_both_ends_find_their_messages_under_the_delivered_ids(self, domain: Domain) -> None:
        one, two = logged_in(domain, 1), logged_in(domain, 2)
        chat(one, "user_2@localhost", "to the user")
        chat(two, "user_1@localhost/r", "to the client")
        marks = [it.find("{urn:xmpp:sid:0}stanza-id") for it in (*two.stanzas(), *one.stanzas())]
        bodies, end, messages = archived(one)
        assert bodies == archived(two)[0] == ["to the user", "to the client"]
        assert end.get("complete") == "true"
        ids = [it.find(f"{MAM}result").get("id") for it in messages]  # type: ignore[union-attr]
        assert [mark.get("id") for mark in marks if mark is not None] == ids
        assert [mark.get("by") for mark in marks if mark is not None] == [
            "user_2@localhost",
            "user_1@localhost",
        ]
        assert all(it.find(f".//{DELAY}") is not None for it in messages)

    def test_queries_filter_by_peer_and_time_and_are_paged(self, domain: Domain) -> None:
        one = logged_in(domain, 1)
        for number in (2, 3):
            logged_in(domain, number)
        for number in range(6):
            chat(one, f"user_{2 + number % 2}@localhost", str(number))
        assert archived(one, with_="user_2@localhost")[0] == ["0", "2", "4"]
        assert archived(one, with_="user_9@localhost")[0] == []
        assert archived(one, start="2100-01-01T00:00:00Z")[0] == []
        assert archived(one, end="2000-01-01T00:00:00Z")[0] == []
        bodies, end, _ = archived(one, "<max>2</max>")
        seen = list(bodies)
        while end.get("complete") != "true":
            last = end.findtext(f"{RSM}set/{RSM}last")
            bodies, end, _ = archived(one, f"<max>2</max><after>{last}</after>")
            seen += bodies
        assert seen == ["0", "1", "2", "3", "4", "5"]
        assert end.findtext(f"{RSM}set/{RSM}count") == "6"
        bodies, end, _ = archived(one, "<max>2</max><before/>")
        assert bodies == ["4", "5"]
        first = end.findtext(f"{RSM}set/{RSM}first")
        assert archived(one, f"<max>2</max><before>{first}</before>")[0] == ["2", "3"]
        after = archived(one)[2][3].find(f"{MAM}result").get("id")  # type: ignore[union-attr]
        assert archived(one, after_id=str(after))[0] == ["4", "5"]

    @pytest.mark.parametrize(
        ("content", "condition"),
        [
            ("<set xmlns='http://jabber.org/protocol/rsm'><max>x</max></set>", "bad-request"),
            (
                "<set xmlns='http://jabber.org/protocol/rsm'><after>7</after></set>",
                "item-not-found",
            ),
            (f"{FORM}<field var='start'><value>now</value></field></x>", "bad-request"),
            (f"{FORM}<field var='with'><value>@</value></field></x>", "jid-malformed"),
        ],
    )
    def test_an_invalid_query_is_an_error(
        self, domain: Domain, content: str, condition: str
    ) -> None:
        one = logged_in(domain, 1)
        query = f"<query xmlns='urn:xmpp:mam:2'>{content}</query>"
        assert stanza_error(answer(one, "set", query)) == condition

    def test_messages_not_meant_for_storage_are_not_archived(self, domain: Domain) -> None:
        one = logged_in(domain, 1)
        logged_in(domain, 2)
        chat(one, "user_2@localhost", "x", "<no-store xmlns='urn:xmpp:hints'/>")
        one.send(b"<message to='user_2@localhost' type='chat'><composing/></message>")
        one.send(b"<message to='user_2@localhost' type='headline'><body>x</body></message>")
        assert archived(one)[0] == []

    def test_each_end_follows_its_own_preferences(self, domain: Domain) -> None:
        one, two = logged_in(domain, 1), logged_in(domain, 2)
        prefs = "<prefs xmlns='urn:xmpp:mam:2'{}><always>{}</always><never>{}</never></prefs>"
        assert answer(one, "get", "<prefs xmlns='urn:xmpp:mam:2'/>")[0].get("default") == "always"
        never = prefs.format(" default='never'", "<jid>user_3@localhost</jid>", "")
        assert answer(one, "set", never)[0].get("default") == "never"
        chat(one, "user_2@localhost", "a")
        assert (archived(one)[0], archived(two)[0]) == ([], ["a"])
        always = prefs.format(" default='always'", "", "<jid>user_2@localhost</jid>")
        answer(one, "set", always)
        chat(one, "user_2@localhost", "b")
        chat(one, "user_1@localhost", "c")
        assert (archived(one)[0], archived(two)[0]) == (["c"], ["a", "b"])
        bad = prefs.format(" default='perhaps'", "", "")
        assert stanza_error(answer(one, "set", bad)) == "bad-request"

    def test_archives_are_limited_individually_and_together(self) -> None:
        domain = new_domain(archived=3, all_archived=4)
        one = logged_in(domain, 1)
        for number in range(5):
            chat(one, "user_1@localhost", str(number))
        assert archived(one)[0] == ["2", "3", "4"]
        two = logged_in(domain, 2)
        for _ in range(2):
            chat(two, "user_2@localhost", "x")
        assert archived(one)[0] == []
        assert len(domain.archives) == 2

    def test_disabled_archives_are_not_advertised(self) -> None:
        one = logged_in(new_domain(archived=0), 1)
        assert stanza_error(answer(one, "set", "<query xmlns='urn:xmpp:mam:2'/>")) == (
            "service-unavailable"
        )
        info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        for to in ("localhost", None, "conference.localhost"):
            assert "urn:xmpp:mam:2" not in {it.get("var") for it in answer(one, "get", info, to)[0]}


class TestOffline:
    def test_offline_messages_are_delivered_with_a_delay_on_the_next_presence(
        self, domain: Domain
    ) -> None:
        one = logged_in(domain, 1)
        for body in "ab":
            chat(one, "user_2@localhost", body)
        assert domain.counts.messages_kept == 2
        two = logged_in(domain, 2, there=False)
        two.send(b"<presence><priority>-1</priority></presence>")
        assert [it.tag for it in two.stanzas()] == [f"{C}presence"]
        two.send(b"<presence/>")
        messages = [it for it in two.stanzas() if it.tag == f"{C}message"]
        assert [it.findtext(f"{C}body") for it in messages] == ["a", "b"]
        assert all(it.find(DELAY).get("from") == "localhost" for it in messages)  # type: ignore[union-attr]
        two.send(b"<presence/>")
        assert [it.tag for it in two.stanzas()] == [f"{C}presence"]
        assert domain.budget.used == 0

    @pytest.mark.parametrize("limit", [{"offline": 1}, {"kept_bytes": 500}])
    def test_offline_storage_is_limited(self, limit: dict[str, float]) -> None:
        domain = new_domain(**limit)
        one = logged_in(domain, 1)
        for body in "ab":
            chat(one, "user_2@localhost", body)
        (error,) = one.stanzas()
        assert stanza_error(error) in ("service-unavailable", "resource-constraint")
        assert domain.counts.messages_kept == 1

    def test_users_without_pending_messages_are_forgotten(self, domain: Domain) -> None:
        one = logged_in(domain, 1)
        chat(one, "user_2@localhost", "x")
        assert "user_2@localhost" in domain.users
        logged_in(domain, 2).session.lost()
        one.session.lost()
        assert not domain.users


class TestCarbons:
    def test_other_clients_of_both_ends_receive_carbons(self, domain: Domain) -> None:
        here, there = logged_in(domain, 1, "here"), logged_in(domain, 1, "there")
        two, other = logged_in(domain, 2, "r"), logged_in(domain, 2, "other")
        for client in (here, there, other):  # the sender of a message gets no copy of it
            assert answer(client, "set", "<enable xmlns='urn:xmpp:carbons:2'/>").get("type") == (
                "result"
            )
        for client in (here, there, two, other):
            client.heard()
        chat(here, "user_2@localhost/r", "x")
        assert [it.findtext(f"{C}body") for it in two.stanzas()] == ["x"]
        for client, name in ((there, "sent"), (other, "received")):
            (copy,) = client.stanzas()
            assert copy.get("from") == client.session.user.jid
            inner = copy.find(
                f"{{urn:xmpp:carbons:2}}{name}/{{urn:xmpp:forward:0}}forwarded/{C}message"
            )
            assert inner is not None
            assert (inner.get("from"), inner.get("to")) == (
                "user_1@localhost/here",
                "user_2@localhost/r",
            )
        assert here.heard() == b""
        for client in (here, other):
            answer(client, "set", "<disable xmlns='urn:xmpp:carbons:2'/>")
        there.session.lost()
        chat(here, "user_2@localhost/r", "y", "<x/>")
        assert (len(two.stanzas()), other.stanzas()) == (1, [])
        assert not two.session.user.special
        assert not here.session.user.special

    def test_private_messages_are_not_copied(self, domain: Domain) -> None:
        one, two, other = (logged_in(domain, n, r) for n, r in ((1, "r"), (2, "r"), (2, "other")))
        answer(other, "set", "<enable xmlns='urn:xmpp:carbons:2'/>")
        other.heard()
        chat(one, "user_2@localhost/r", "x", "<private xmlns='urn:xmpp:carbons:2'/>")
        assert (len(two.stanzas()) >= 1, other.stanzas()) == (True, [])


class TestBlocking:
    def test_no_stanzas_pass_between_a_user_and_a_blocked_contact(self, domain: Domain) -> None:
        one, two = logged_in(domain, 1), logged_in(domain, 2)
        items = "<item jid='user_2@localhost'/>"
        block = f"<block xmlns='urn:xmpp:blocking'>{items}</block>"
        assert answer(one, "set", block).get("type") == "result"
        listed = answer(one, "get", "<blocklist xmlns='urn:xmpp:blocking'/>")[0]
        assert [it.get("jid") for it in listed] == ["user_2@localhost"]
        ping = "<ping xmlns='urn:xmpp:ping'/>"
        for to in ("user_1@localhost", "user_1@localhost/r"):
            chat(two, to, "x")
            two.send(f"<presence to='{to}'/>".encode())
            assert [stanza_error(it) for it in two.stanzas()] == ["service-unavailable"]
        assert stanza_error(answer(two, "get", ping, "user_1@localhost/r")) == "service-unavailable"
        assert one.heard() == b""
        chat(one, "user_2@localhost", "x")
        assert stanza_error(one.stanzas()[0]) == "not-acceptable"
        answer(one, "set", f"<unblock xmlns='urn:xmpp:blocking'>{items}</unblock>")
        chat(two, "user_1@localhost", "x")
        assert len(one.stanzas()) == 1
        assert not one.session.user.special

    def test_a_blocked_contact_sees_the_user_go_and_an_unblocked_one_sees_it_return(
        self, domain: Domain
    ) -> None:
        one, two = logged_in(domain, 1), logged_in(domain, 2)
        two.send(b"<presence type='subscribe' to='user_1@localhost'/>")
        one.send(b"<presence type='subscribed' to='user_2@localhost'/>")
        for client in (one, two):
            client.heard()
        items = "<item jid='user_2@localhost'/>"
        answer(one, "set", f"<block xmlns='urn:xmpp:blocking'>{items}</block>")
        assert [it.get("type") for it in two.stanzas()] == ["unavailable"]
        one.send(b"<presence><show>away</show></presence>")
        assert two.heard() == b""
        answer(one, "set", "<unblock xmlns='urn:xmpp:blocking'/>")
        (seen,) = two.stanzas()
        assert seen.findtext(f"{C}show") == "away"

    def test_other_clients_are_notified_and_the_block_list_is_limited(self) -> None:
        domain = new_domain(blocked=1)
        one, other = logged_in(domain, 1), logged_in(domain, 1, "other")
        one.heard()
        block = "<block xmlns='urn:xmpp:blocking'><item jid='{}@x'/></block>"
        answer(one, "set", block.format("a"))
        (push,) = other.stanzas()
        assert (push.get("type"), push[0][0].get("jid")) == ("set", "a@x")
        assert stanza_error(answer(one, "set", block.format("b"))) == "resource-constraint"
        assert stanza_error(answer(one, "set", "<block xmlns='urn:xmpp:blocking'/>")) == (
            "bad-request"
        )


class TestStored:
    def test_a_vcard_is_stored_and_visible_to_others(self, domain: Domain) -> None:
        one, two = logged_in(domain, 1), logged_in(domain, 2)
        get = "<vCard xmlns='vcard-temp'/>"
        assert len(answer(one, "get", get)[0]) == 0
        assert stanza_error(answer(two, "get", get, "user_1@localhost")) == "item-not-found"
        answer(one, "set", "<vCard xmlns='vcard-temp'><FN>One &amp; only</FN></vCard>")
        one.session.lost()
        card = answer(two, "get", get, "user_1@localhost")[0]
        assert card.findtext("{vcard-temp}FN") == "One & only"

    def test_private_data_is_stored_by_element(self, domain: Domain) -> None:
        one = logged_in(domain, 1)
        query = "<query xmlns='jabber:iq:private'>{}</query>"
        answer(one, "set", query.format("<s xmlns='urn:a'><v>1</v></s>"))
        assert answer(one, "get", query.format("<s xmlns='urn:a'/>"))[0][0][0].text == "1"
        assert len(answer(one, "get", query.format("<s xmlns='urn:b'/>"))[0][0]) == 0
        assert stanza_error(answer(one, "set", query.format(""))) == "not-acceptable"
        used = domain.budget.used
        answer(one, "set", query.format("<s xmlns='urn:a'><v>2</v></s>"))
        assert domain.budget.used == used

    def test_stored_data_is_limited(self) -> None:
        one = logged_in(new_domain(private=1, kept_bytes=1000), 1)
        query = "<query xmlns='jabber:iq:private'><s xmlns='urn:{}'>{}</s></query>"
        assert answer(one, "set", query.format("a", "x")).get("type") == "result"
        for more in (query.format("b", "x"), query.format("a", "x" * 1000)):
            assert stanza_error(answer(one, "set", more)) == "resource-constraint"


def test_entity_time_and_client_state_are_supported(domain: Domain) -> None:
    one = logged_in(domain, 1)
    assert (
        answer(one, "get", "<time xmlns='urn:xmpp:time'/>")[0]
        .findtext("{urn:xmpp:time}utc", "")
        .endswith("Z")
    )
    assert one.say(b"<inactive xmlns='urn:xmpp:csi:0'/><active xmlns='urn:xmpp:csi:0'/>") == b""
    assert not one.session.closed
