"""Message accounting of one worker, and the exchange between workers at the end of a run."""

from __future__ import annotations

from time import monotonic_ns
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.peer_link import PeerLink
from amoc.ipc.worker_id import WorkerId
from amoc.users.placement import Placement, one_node
from amoc.xmpp import meters
from amoc.xmpp.account import ledger as ledger_module
from amoc.xmpp.account import stamps
from amoc.xmpp.account.lane import Lane
from amoc.xmpp.account.ledger import Ledger
from amoc.xmpp.stanza import Stanza

ROOM = "room@conference.localhost"
NAMES = [
    *("received", "expected", "delivered", "lost", "refused"),
    *("duplicated", "reordered", "late", "foreign", "untracked"),
]
DELAY = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"


class Grown(dict[str, int]):
    """Growth of the account's counters and timers within a block, without zeros."""

    def __enter__(self) -> Self:
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        now = self._now()
        self.update({name: n - self._before[name] for name, n in now.items()})
        for name in [name for name, n in self.items() if not n]:
            del self[name]

    @staticmethod
    def _now() -> dict[str, int]:
        counts = {name: getattr(meters, f"messages_{name}").value for name in NAMES}
        timers = {one.name: one.value for one in metrics.read()}
        for name in ("message_ttd", "message_delayed"):
            counts[name.removeprefix("message_")] = getattr(timers.get(name), "count", 0)
        return counts


class Run:
    """A run with several workers in one process."""

    def __init__(self, workers: int, name: str = "run") -> None:
        places = Placement(one_node(workers))
        self.links = [
            PeerLink(name, WorkerId("node0", index, 1), places, Outbox(self._send))
            for index in range(workers)
        ]
        self.ledgers = [Ledger(link) for link in self.links]

    def _send(self, worker: WorkerId, envelope: Envelope) -> None:
        assert envelope.header()[0] is Part.LIBRARY
        self.links[worker.worker].handle(envelope.body)

    def open(self, user_id: int, resource: str = "amoc") -> Lane:
        ledger = self.ledgers[(user_id - 1) % len(self.ledgers)]
        lane = ledger.open(f"user_{user_id}@localhost/{resource}")
        lane.sent_presence(None, None)
        return lane

    def end(self) -> None:
        for ledger in self.ledgers:
            ledger.late_ns = 0  # everyone present has stayed long enough
            for account in list(ledger.accounts.values()):
                for lane in list(account.lanes):
                    lane.close()
        for link in self.links:
            link.users_gone()
        for link in self.links:
            link.leave()


def message(stanza_id: str, inside: str = "<body>x</body>", **attributes: str) -> Stanza:
    given = {"from": "user_1@localhost/amoc", "type": "chat", **attributes}
    text = "".join(f" {name}='{value}'" for name, value in given.items())
    stanza = Stanza.of(f"<message id='{stanza_id}'{text}>{inside}</message>")
    stanza.received_ns = monotonic_ns()
    return stanza


def test_messages_between_workers_are_matched_and_missing_ones_are_lost() -> None:
    run = Run(2)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        ids = [one.stamp(2, "chat") for _ in range(6)]
        for at in (0, 2, 1, 1):  # 3, 4 and 5 never come
            two.received(message(ids[at]))
        run.end()
    assert by == {
        "received": 4,
        "expected": 6,
        "delivered": 3,
        "reordered": 1,
        "duplicated": 1,
        "lost": 3,
        "ttd": 3,
    }


def test_no_loss_is_reported_if_everything_arrived() -> None:
    run = Run(3)
    with Grown() as by:
        lanes = [run.open(user_id) for user_id in range(1, 10)]
        for number, lane in enumerate(lanes):
            for to in (number % 9 + 1, (number + 4) % 9 + 1):
                lanes[to - 1].received(message(lane.stamp(to, "chat")))
        run.end()
    assert by == {"received": 18, "expected": 18, "delivered": 18, "ttd": 18}


def test_messages_to_recipients_outside_the_run_are_not_lost() -> None:
    run = Run(2)
    with Grown() as by:
        lane = run.open(1)
        for to in (77, "admin@elsewhere", "room@conference.localhost/nick"):
            lane.stamp(to, "chat")
        run.end()
    assert by == {"expected": 3}


def test_messages_to_a_user_that_was_never_available_are_not_lost() -> None:
    run = Run(1)
    with Grown() as by:
        one = run.open(1)
        run.ledgers[0].open("user_2@localhost/amoc")
        one.stamp(2, "chat")
        run.end()
    assert by == {"expected": 1}


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize(("priorities", "lost"), [((-1,), 0), ((5, -128), 0), ((-1, 0), 1)])
def test_a_user_with_a_negative_priority_is_unavailable(
    is_raw: bool, priorities: tuple[int, ...], lost: int
) -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.ledgers[0].open("user_2@localhost/amoc")
        for priority in priorities:
            if is_raw:
                inside = f"<priority>{priority}</priority>"
                two.sent_raw(f"<presence><show>away</show>{inside}</presence>".encode())
            else:
                two.sent_presence(None, None, priority)
        one.stamp(2, "chat")
        run.end()
    assert by.get("lost", 0) == lost


def test_a_message_received_by_the_wrong_user_is_not_delivered() -> None:
    run = Run(2)
    with Grown() as by:
        one, two, three = (run.open(user_id) for user_id in (1, 2, 3))
        two.received(message(one.stamp("User_2@localhost/amoc", "chat")))
        for lane in (three, two, one, one):
            lane.received(message(one.stamp(2, "chat")))
        private = one.stamp(f"{ROOM}/nick", "chat")
        three.received(message(private, **{"from": f"{ROOM}/me"}))
        run.end()
    assert by == {"received": 6, "expected": 6, "delivered": 3, "lost": 3, "ttd": 6}


def test_a_refused_message_is_not_lost() -> None:
    run = Run(2)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        ids = [one.stamp(2, "chat") for _ in range(3)]
        two.received(message(ids[2]))
        for _ in range(2):
            one.received(message(ids[0], "<error/>", type="error"))
        run.end()
    assert by == {"received": 1, "expected": 3, "delivered": 1, "refused": 1, "lost": 1, "ttd": 1}


def test_a_message_from_another_run_counts_only_as_foreign() -> None:
    earlier = Run(1, "earlier").open(1).stamp(2, "chat")
    with Grown() as by:
        two = Run(1).open(2)
        two.received(message(earlier))
        two.received(message(earlier, f"<body>x</body>{DELAY}"))
    assert by == {"foreign": 2}


def test_stored_messages_are_counted_as_delayed() -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        two.received(message(one.stamp(2, "chat"), f"<body>x</body>{DELAY}"))
        run.end()
    assert by == {"received": 1, "expected": 1, "delivered": 1, "delayed": 1}


def test_losses_found_early_are_counted_only_once_at_the_end() -> None:
    run = Run(2)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        ids = [one.stamp(2, "chat") for _ in range(200)]
        for stanza_id in ids[1::2]:
            two.received(message(stanza_id))
        early = meters.messages_lost.value
        run.end()
    assert by["lost"] == by["delivered"] == 100
    assert meters.messages_lost.value - early == 100  # until then any may be refused


def test_none_is_lost_if_every_second_message_is_refused() -> None:
    run = Run(2)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        for number in range(1_000):
            stanza_id = one.stamp(2, "chat")
            if number % 2:
                one.received(message(stanza_id, "<error/>", type="error"))
            else:
                two.received(message(stanza_id))
        run.end()
    assert by == {
        **dict.fromkeys(("received", "delivered", "refused", "ttd"), 500),
        "expected": 1_000,
    }


@pytest.mark.parametrize("is_told", [True, False])
def test_forged_sequence_numbers_do_not_cause_losses(is_told: bool) -> None:
    run = Run(2)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        head, _, _ = one.stamp(2, "chat").partition("/")
        if not is_told:
            head = head[:-1]  # belongs to a pair that does not exist
        for number in range(1, stamps.MAX_NUMBER, stamps.MAX_NUMBER // 1_000):
            two.received(message(f"{head}/{number}.1.1"))
        run.end()
    assert by.get("lost", 0) == (not is_told)  # the one message really sent


def test_messages_of_untracked_flows_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_FLOWS", 2)
    run = Run(1)
    with Grown() as by:
        lanes = [run.open(user_id) for user_id in range(1, 5)]
        for lane in lanes[1:]:
            lane.received_presence(presence("").xml)
        for lane in lanes[1:]:
            lane.received(message(lanes[0].stamp(lanes.index(lane) + 1, "chat")))
        in_room = lanes[0].stamp(ROOM, "groupchat")
        lanes[1].received(message(in_room, **{"from": f"{ROOM}/me"}, type="groupchat"))
        lanes[0].stamp(2, "chat")  # from a tracked pair
        run.end()
    assert by == {"received": 4, "expected": 4, "delivered": 2, "lost": 1, "ttd": 4, "untracked": 2}


def test_pairs_above_the_limit_are_counted_as_untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_PAIRS", 1)
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        one.stamp(2, "chat")
        two.received(message(two.stamp(1, "chat")))
        run.end()
    assert by == {"received": 1, "expected": 1, "lost": 1, "ttd": 1, "untracked": 1}


def test_a_stored_message_after_a_live_one_is_not_reordered() -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        ids = [one.stamp(2, "chat") for _ in range(2)]
        two.received(message(ids[1]))
        two.received(message(ids[0], f"<body>x</body>{DELAY}"))
        run.end()
    assert by == {"received": 2, "expected": 2, "delivered": 2, "delayed": 1, "ttd": 1}


@pytest.mark.parametrize(
    "inside",
    [
        "<received xmlns='urn:xmpp:carbons:2'/>",
        "<sent xmlns='urn:xmpp:carbons:2'/>",
        "<result xmlns='urn:xmpp:mam:2'/>",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
    ],
)
def test_carbons_archive_results_and_events_are_not_counted_as_messages(inside: str) -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        two.received(message(one.stamp(1, "chat"), inside))
        two.received(message("of-a-server", inside))
    assert by == {"expected": 1}


def test_headlines_count_only_with_a_stamp() -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        two.received(message("of-a-server", type="headline"))
        two.received(message(one.stamp(2, "headline"), type="headline"))
    assert by == {"received": 1, "expected": 1, "delivered": 1, "ttd": 1}


def presence(kind: str, code: str = "110") -> Stanza:
    return Stanza.of(
        f"<presence from='{ROOM}/me'{kind}><x xmlns='http://jabber.org/protocol/muc#user'>"
        f"<status code='{code}'/></x></presence>"
    )


def test_a_room_message_is_expected_by_each_member_and_nobody_else() -> None:
    run = Run(2)
    with Grown() as by:
        speaker, *members = (run.open(user_id) for user_id in range(1, 5))
        for lane in (speaker, members[0], members[1]):
            lane.received_presence(presence("").xml)
        members[2].received_presence(presence("", "100").xml)  # not its own presence
        for number in range(3):
            stanza_id = speaker.stamp(ROOM, "groupchat")
            for lane in (speaker, members[0]):
                if (lane, number) != (members[0], 1):
                    lane.received(message(stanza_id, **{"from": f"{ROOM}/me"}, type="groupchat"))
        run.end()
    # One member has lost the second of three messages, another one all of them.
    assert by == {"received": 5, "expected": 9, "delivered": 5, "lost": 4, "ttd": 5}


def test_a_member_that_left_the_room_expects_no_more_messages() -> None:
    run = Run(1)
    with Grown() as by:
        speaker, member = run.open(1), run.open(2)
        member.received_presence(presence("").xml)
        member.received_presence(presence(" type='unavailable'").xml)
        speaker.stamp(ROOM, "groupchat")
        run.end()
    assert by == {}


def test_room_history_is_counted_as_delayed_and_not_expected() -> None:
    run = Run(1)
    with Grown() as by:
        speaker, member = run.open(1), run.open(2)
        said = [speaker.stamp(ROOM, "groupchat") for _ in range(3)]
        member.received_presence(presence("").xml)
        for stanza_id in said * 2:
            inside = f"<body>x</body>{DELAY}"
            member.received(message(stanza_id, inside, **{"from": f"{ROOM}/me"}, type="groupchat"))
        run.end()
    assert by == {"received": 6, "delayed": 6}


def test_a_room_that_replaces_message_ids_causes_no_losses() -> None:
    run = Run(1)
    with Grown() as by:
        speaker, member = run.open(1), run.open(2)
        member.received_presence(presence("").xml)
        speaker.stamp(ROOM, "groupchat")
        member.received(message("new", **{"from": f"{ROOM}/me"}, type="groupchat"))
        run.end()
    assert by == {"received": 1}


@pytest.mark.parametrize(
    ("inside", "speaker", "received"),
    [
        ("<subject/>", "/me", 0),
        ("<subject>x</subject>", "", 0),
        ("<body/><subject>x</subject>", "/me", 0),
        ("<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>", "", 0),
        ("<body/><x xmlns='urn:xmpp:muclight:0#affiliations'/>", "", 0),
        ("<body>This room is not anonymous</body>", "", 1),
        (f"<body>said before</body>{DELAY}", "/me", 1),
    ],
)
def test_messages_from_the_room_itself_do_not_mask_losses(
    inside: str, speaker: str, received: int
) -> None:
    run = Run(2)
    with Grown() as by:
        one, member = run.open(1), run.open(2)
        member.received_presence(presence("").xml)
        member.received(message("s", inside, **{"from": f"{ROOM}{speaker}"}, type="groupchat"))
        for _ in range(5):
            one.stamp(ROOM, "groupchat")
        run.end()
    assert by.pop("received", 0) == received
    assert by == {"expected": 5, "lost": 5}


def test_muc_light_affiliation_changes_determine_the_members() -> None:
    run = Run(1)
    with Grown() as by:
        speaker, member = run.open(1), run.open(2)
        for affiliation in ("member", "none"):
            inside = (
                "<x xmlns='urn:xmpp:muclight:0#affiliations'>"
                f"<user affiliation='{affiliation}'>user_2@localhost</user></x>"
            )
            if affiliation == "none":
                ids = [speaker.stamp(ROOM, "groupchat") for _ in range(2)]
                member.received(message(ids[0], **{"from": f"{ROOM}/x"}, type="groupchat"))
            member.received(message("s", inside, **{"from": ROOM}, type="groupchat"))
        run.end()
    assert by == {"received": 1, "expected": 2, "delivered": 1, "lost": 1, "ttd": 1}


def test_sequence_numbers_continue_after_a_reconnect() -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        first = one.stamp(2, "chat")
        two.received(message(first))
        for lane in (one, two):
            lane.close()
        one, two = run.open(1), run.open(2)
        second = one.stamp(2, "chat")
        for stanza_id in (first, second):
            two.received(message(stanza_id))
        run.end()
    assert first.partition("/")[0] == second.partition("/")[0]
    assert by == {"received": 3, "expected": 2, "delivered": 2, "duplicated": 1, "ttd": 2}


def test_one_delivery_to_either_session_of_an_account_is_enough() -> None:
    run = Run(1)
    with Grown() as by:
        one, phone, desk = run.open(1), run.open(2, "phone"), run.open(2, "desk")
        ids = [one.stamp(2, "chat") for _ in range(4)]
        for lane, number in ((phone, 0), (desk, 0), (phone, 1), (desk, 2)):
            lane.received(message(ids[number]))
        run.end()
    assert by == {"received": 4, "expected": 4, "delivered": 3, "lost": 1, "ttd": 4}


def test_a_resumed_session_expects_messages_sent_in_the_meantime() -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        two.received(message(one.stamp(2, "chat")))
        two.close()
        one.stamp(2, "chat")
        assert run.ledgers[0].resume(two, "user_2@localhost/amoc") is two
        run.end()
    assert by == {"received": 1, "expected": 2, "delivered": 1, "lost": 1, "ttd": 1}


def test_resuming_a_forgotten_session_registers_it_again() -> None:
    run = Run(1)
    with Grown() as by:
        one, two = run.open(1), run.ledgers[0].open("user_2@localhost/amoc")
        two.close()
        assert "user_2@localhost" not in run.ledgers[0].accounts
        run.ledgers[0].resume(two, "user_2@localhost/amoc").sent_presence(None, None)
        one.stamp(2, "chat")
        run.end()
    assert by == {"expected": 1, "lost": 1}


def test_a_session_that_was_never_available_leaves_nothing_behind() -> None:
    ledger = Ledger(None)
    for user_id in range(1, 100):
        ledger.open(f"user_{user_id}@localhost/amoc").close()
    assert ledger.accounts == {}


def test_successive_sessions_of_an_account_share_one_lane() -> None:
    run = Run(1)
    for _ in range(100):
        run.open(1).close()
    (account,) = run.ledgers[0].accounts.values()
    assert len(account.lanes) == 1


def test_a_message_is_lost_if_its_recipient_was_present_and_then_left() -> None:
    run = Run(2)
    with Grown() as by:
        one, two = run.open(1), run.open(2)
        one.stamp(2, "chat")
        run.ledgers[1].late_ns = 0
        two.close()
        run.end()
    assert by == {"expected": 1, "lost": 1}


@given(st.text(max_size=80))
def test_ids_mangled_by_a_server_do_no_harm(rest: str) -> None:
    run = Run(1)
    one, two = run.open(1), run.open(2)
    good = one.stamp(2, "chat")
    two.received(message(good))
    head = good.partition("/")[0]
    for stanza_id in (f"{head}/{rest}", f"{stamps.MARK}{rest}", f"{good}{rest}", rest):
        for kind in ("chat", "groupchat", "error", "headline"):
            stanza = message("x", type=kind)
            stanza.xml.set("id", stanza_id)
            two.received(stanza)
            one.received(stanza)
    run.end()


@pytest.mark.parametrize(
    "rest",
    [
        "1",
        "1.2",
        "-1.2.3",
        "9" * 5000 + ".1.1",
        "2.99999999999999999999.1",
        "2.-5.1",
        "1.2.3.4",
        "",
    ],
)
def test_a_message_with_a_malformed_stamp_counts_as_unstamped(rest: str) -> None:
    run = Run(1)
    one, two = run.open(1), run.open(2)
    good = one.stamp(2, "chat")
    two.received(message(good))
    with Grown() as by:
        two.received(message(f"{good.partition('/')[0]}/{rest}"))
    assert by == {"received": 1}
