"""Message accounting compared with a naive model that remembers everything."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.account.tally import (
    MAX_GAPS,
    MAX_REFUSED,
    MAX_STAYS,
    Arrival,
    Attendance,
    Flow,
    Pair,
    Total,
    lost,
    merged,
    size,
    unseen,
    without,
)

SECOND = 10**9
PATIENCE = 2 * SECOND


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def present(since_ns: int = 1) -> Attendance:
    there = Attendance()
    there.begin(since_ns)
    return there


@dataclass
class Naive:
    """Every number received so far, as a set."""

    seen: set[int] = field(default_factory=set)
    highest: int = 0

    def take(self, number: int) -> Arrival:
        if number in self.seen:
            return Arrival.DUPLICATE
        self.seen.add(number)
        overtaken = number < self.highest
        self.highest = max(self.highest, number)
        return Arrival.REORDERED if overtaken else Arrival.NEW


@given(sent=st.integers(1, 60), data=st.data())
def test_drops_duplicates_and_reordering_are_told_apart(sent: int, data: st.DataObject) -> None:
    arrivals = data.draw(st.lists(st.integers(1, sent), max_size=120))
    flow, naive = Flow(present(), first_ns=2), Naive()
    for number in arrivals:
        assert flow.take(number, number + 1) is naive.take(number), arrivals
    assert numbers(flow.received()) == naive.seen
    assert all(flow.has(number) == (number in naive.seen) for number in range(1, sent + 1))
    total = Total(sent, 2, 2 + sent)
    flow.there.end(2 + sent + PATIENCE)
    assert lost([flow], (), total, PATIENCE) == sent - len(naive.seen)


@given(st.permutations(range(1, 40)))
def test_no_permutation_causes_a_loss(order: list[int]) -> None:
    flow = Flow(present(), first_ns=2)
    arrivals = [flow.take(number, number + 1) for number in order]
    assert Arrival.DUPLICATE not in arrivals
    assert arrivals.count(Arrival.REORDERED) == sum(
        number < max(order[: at + 1]) for at, number in enumerate(order)
    )
    assert lost([flow], (), Total(39, 2, 41), PATIENCE) == 0


@dataclass
class Life:
    """A recipient that comes and goes while a sender keeps sending.

    Messages are sent one second apart.
    """

    there: Attendance = field(default_factory=Attendance)
    now: int = SECOND
    sent: int = 0
    last_ns: int = 0
    due: set[int] = field(default_factory=set)
    came: set[int] = field(default_factory=set)


@given(steps=st.lists(st.sampled_from("SSSSDDOA"), min_size=1, max_size=60))
def test_messages_sent_while_the_recipient_was_away_are_never_lost(steps: list[str]) -> None:
    """S: sent and received; D: sent and dropped; O: stored, comes later; A: leaves or returns."""
    life = Life()
    life.there.begin(life.now)
    flow = Flow(life.there, first_ns=life.now + 1)
    stored: list[tuple[int, int]] = []
    for step in steps:
        life.now += SECOND
        if step == "A":
            if life.there.since_ns:
                life.there.end(life.now)
            else:
                life.there.begin(life.now)
                for number, before_ns in stored:
                    flow.take(number, before_ns, live=False)
                    life.came.add(number)
                stored.clear()
            continue
        before_ns = life.last_ns or flow.first_ns
        life.sent += 1
        life.last_ns = life.now
        if step == "O":
            stored.append((life.sent, before_ns))
        elif not life.there.since_ns:
            continue  # its fate does not matter
        elif step == "S":
            flow.take(life.sent, before_ns)
            life.came.add(life.sent)
        else:
            life.due.add(life.sent)
    if life.there.since_ns:
        life.there.end(life.now + PATIENCE)
    total = Total(life.sent, flow.first_ns, life.last_ns or 1)
    found = lost([flow], (), total, PATIENCE)
    assert found <= len(life.due | {number for number, _ in stored})
    if not life.due and not stored:
        assert found == 0


def test_a_recipient_that_stays_throughout_loses_exactly_the_dropped_messages() -> None:
    rng = random.Random(5)
    there = present()
    flow = Flow(there, first_ns=2)
    dropped = {number for number in range(1, 501) if rng.random() < 0.1}
    for number in range(1, 501):
        if number not in dropped:
            flow.take(number, number + 1)
    assert lost([flow], (), Total(500, 2, 502), PATIENCE) == len(dropped)


def test_reconnects_without_losses_leave_no_gaps() -> None:
    there = Attendance()
    flow = Flow(there, first_ns=1)
    for stay in range(5):
        there.begin(10 * stay + 1)
        for number in range(3 * stay + 1, 3 * stay + 4):
            assert flow.take(number, 10 * stay + 2) is Arrival.NEW
        there.end(10 * stay + 5)
    assert lost([flow], (), Total(15, 1, 48), 0) == 0


def test_a_message_dropped_right_after_a_return_is_lost() -> None:
    there = present(1)
    flow = Flow(there, first_ns=2)
    flow.take(1, 2)
    there.end(10)
    there.begin(20)
    flow.take(3, 25)  # number 2 was sent at 25
    assert lost([flow], (), Total(3, 2, 26), 0) == 1


def test_a_message_sent_before_a_return_is_not_lost() -> None:
    there = present(1)
    flow = Flow(there, first_ns=2)
    flow.take(1, 2)
    there.end(10)
    there.begin(20)
    flow.take(3, 15)
    assert lost([flow], (), Total(3, 2, 26), 0) == 0


def test_a_stored_message_that_comes_after_a_live_one_is_not_a_duplicate() -> None:
    there = present(1)
    flow = Flow(there, first_ns=2)
    flow.take(1, 2)
    there.end(10)
    there.begin(20)
    flow.take(4, 15)
    assert [flow.take(number, 12) for number in (2, 3, 3)] == [
        Arrival.REORDERED,
        Arrival.REORDERED,
        Arrival.DUPLICATE,
    ]


def test_a_member_expects_no_messages_from_before_it_joined() -> None:
    flow = Flow(present(100), first_ns=2, room=True)
    flow.take(8, 90)
    assert lost([flow], (), Total(8, 2, 110), 0) == 0


def test_a_member_present_from_the_start_expects_every_message() -> None:
    flow = Flow(present(1), first_ns=2, room=True)
    flow.take(8, 90)
    assert lost([flow], (), Total(8, 2, 91), 0) == 7


def test_messages_received_by_a_killed_worker_are_not_lost() -> None:
    """Its replacement sees the sender's ninth message first; the user is back since 100."""
    flow = Flow(present(100), first_ns=2)
    flow.take(9, 50)
    assert lost([flow], (), Total(9, 2, 120), 0) == 0


def test_timestamps_of_different_clocks_are_not_compared() -> None:
    flow = Flow(present(1), first_ns=2, comparable=False)
    flow.take(5, 4)
    flow.take(7, 6)
    assert lost([flow], (), Total(9, 2, 20, comparable=False), 0) == 1


@pytest.mark.parametrize(
    ("until_ns", "wanted"), [(20 + PATIENCE, 3), (20 + PATIENCE - 1, 0)], ids=["stays", "leaves"]
)
def test_the_last_messages_are_lost_if_the_recipient_stayed_long_enough(
    until_ns: int, wanted: int
) -> None:
    there = present(1)
    flow = Flow(there, first_ns=2)
    flow.take(1, 2)
    there.end(until_ns)
    assert lost([flow], (), Total(4, 2, 20), PATIENCE) == wanted


def test_a_present_recipient_that_received_nothing_has_lost_everything() -> None:
    assert lost((), (present(1),), Total(4, 2, 20), PATIENCE) == 4
    assert lost((), (Attendance(),), Total(4, 2, 20), PATIENCE) == 0
    assert lost((), (present(30),), Total(4, 2, 20), PATIENCE) == 0
    # One that arrived in between was present for the last message; the rest are undecided.
    assert lost((), (present(10),), Total(4, 2, 20), PATIENCE) == 1


def test_a_message_received_by_either_session_of_an_account_is_not_lost() -> None:
    flows = [Flow(present(1), first_ns=2), Flow(present(1), first_ns=2)]
    for number in (1, 2, 3, 7):
        flows[0].take(number, 3)
    for number in (4, 7):
        flows[1].take(number, 3)
    assert lost(flows, (), Total(8, 2, 9), 0) == 3  # 5, 6 and 8


def test_refused_messages_are_not_lost() -> None:
    flow = Flow(present(1), first_ns=2)
    flow.take(5, 4)
    assert lost([flow], (), Total(7, 2, 9, refused=((1, 3), (6, 6))), 0) == 2  # 4 and 7


def test_gaps_outside_the_window_are_decided_and_late_arrivals_are_duplicates() -> None:
    flow = Flow(present(1), first_ns=2)
    for number in range(2, 2 * MAX_GAPS + 2, 2):
        flow.take(number, 3)
    assert flow.decided == 0
    flow.take(2 * MAX_GAPS + 2, 3)
    assert flow.decided == 1
    assert flow.take(1, 3) is Arrival.DUPLICATE
    assert flow.take(3, 3) is Arrival.REORDERED
    assert lost([flow], (), Total(2 * MAX_GAPS + 2, 2, 9), 0) == MAX_GAPS


def test_the_number_of_gaps_is_bounded() -> None:
    flow = Flow(present(1), first_ns=2)
    for number in (1, 40_003, *range(3, 40_003, 2)):
        flow.take(number, 3)
    assert len(flow.missing()) <= MAX_GAPS
    assert lost([flow], (), Total(40_003, 2, 9), 0) == 20_001


def test_decided_messages_that_were_refused_are_not_lost() -> None:
    pair, flow = Pair("user_2@localhost", "h", 1, room=False), Flow(present(1), first_ns=2)
    for number in range(1, 1_001):
        pair.stamp(number)
        if number % 2:
            flow.take(number, number)
        else:
            assert pair.refuse(number)
    total = Total(pair.sent, 2, pair.last_ns, tuple(pair.refused or ()))
    assert lost([flow], (), total, 0) == 0


def test_decided_messages_that_were_not_refused_are_lost() -> None:
    flow = Flow(present(1), first_ns=2)
    for number in range(1, 402, 2):
        flow.take(number, number)
    assert lost([flow], (), Total(401, 2, 401, ((2, 2), (4, 4), (300, 300))), 0) == 197


def test_a_number_never_sent_causes_no_losses() -> None:
    flow = Flow(present(1), first_ns=2)
    for number in (1, 10**15, *range(10**12, 10**12 + 1_000, 2)):
        flow.take(number, number)
    assert lost([flow], (), Total(6, 2, 9), 0) == 0


def test_messages_given_up_by_one_session_may_have_reached_the_other() -> None:
    one, other = Flow(present(1), first_ns=2), Flow(present(1), first_ns=2)
    for number in range(1, 401):
        (one if number % 2 else other).take(number, number)
    assert lost([one, other], (), Total(400, 2, 400), 0) == 0


@given(st.lists(st.integers(1, 10**18), max_size=300))
def test_memory_is_bounded_whatever_numbers_arrive(arrivals: list[int]) -> None:
    flow = Flow(present(1), first_ns=2)
    for number in arrivals:
        flow.take(number, 3)
    assert len(flow.missing()) <= MAX_GAPS


def test_only_the_latest_stays_are_kept() -> None:
    there = Attendance()
    for at in range(100):
        there.begin(10 * at + 1)
        there.begin(10 * at + 2)
        there.end(10 * at + 5)
        there.end(10 * at + 6)
    stays = there.stays()
    assert len(stays) == MAX_STAYS
    assert stays[-1] == (100, 991, 995)


def test_a_pair_stamps_messages_with_their_number_and_the_previous_send_time() -> None:
    pair = Pair("user_2@localhost", "amoc.r.c.s.u0.5", 5, room=False)
    assert [pair.stamp(7), pair.stamp(9)] == ["amoc.r.c.s.u0.5/1.7.5", "amoc.r.c.s.u0.5/2.9.7"]
    assert (pair.sent, pair.last_ns) == (2, 9)


@given(st.lists(st.integers(-3, 30)))
def test_each_refusal_counts_once(refusals: list[int]) -> None:
    pair = Pair("user_2@localhost", "h", 5, room=False)
    for at in range(25):
        pair.stamp(at)
    counted = sum(pair.refuse(number) for number in refusals)
    meant = {number for number in refusals if 1 <= number <= 25}
    assert counted == len(meant)
    assert numbers(pair.refused or []) == meant


def test_the_number_of_refusals_is_bounded() -> None:
    pair = Pair("user_2@localhost", "h", 5, room=False)
    for at in range(4 * MAX_REFUSED):
        pair.stamp(at)
    for number in range(1, 4 * MAX_REFUSED, 2):
        pair.refuse(number)
    assert pair.refused is not None
    assert len(pair.refused) == MAX_REFUSED


RANGES = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 8)), max_size=12)


@given(RANGES, RANGES)
def test_ranges_behave_like_sets_of_numbers(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    one = merged((first, first + more) for first, more in some)
    two = merged((first, first + more) for first, more in others)
    assert numbers(without(one, two)) == numbers(one) - numbers(two)
    assert numbers(merged([*one, *two])) == numbers(one) | numbers(two)
    assert size(one) == len(numbers(one))


def test_nothing_is_unseen_without_a_stay() -> None:
    assert unseen(None, Attendance(), Total(3, 1, 2), 0) == []
