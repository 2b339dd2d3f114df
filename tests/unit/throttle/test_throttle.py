"""A throttle in the controller: its state, its changes and what it deals."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.ipc.messages.throttle import Permits, Tokens, Want
from amoc.throttle.profiles import NEVER_NS, Constant, Line, Ramps, Sine
from amoc.throttle.slot_allocator import VOID_NS
from amoc.throttle.throttle import LEAD_NS, Throttle
from tests.unit.throttle.support import size_of

START_NS = 10**15
RAMP = Ramps((Line(0, 100 * S_NS, 0.0, 1000.0),))


def throttle(rate: float = 10.0, interval_s: float = 1.0, epoch: int = 1) -> Throttle[str]:
    return Throttle("a", Constant(rate), interval_s, epoch, START_NS)


def want(outstanding: int, seen: int = 0, *, epoch: int = 1, back: int = 0) -> Want:
    return Want("a", epoch, seen, outstanding, outstanding, START_NS, back, 0, epoch)


def dealt(one: Throttle[str], at_ns: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for asker, record in one.deal(at_ns):
        assert isinstance(record, Tokens | Permits)
        sizes[asker] = sizes.get(asker, 0) + record.size
    return sizes


def test_the_state_shows_the_configured_and_the_actual_rate():
    one = throttle(600, 60)
    assert one.state(START_NS)._asdict() == {
        "name": "a",
        "rate": 600,
        "actual_rate": 600,
        "interval": 60,
        "mode": "run",
        "plan": "",
        "waiting": 0,
        "missed": 0,
    }
    one.want("w0", want(3), START_NS)
    one.want("w1", want(4), START_NS)
    one.want("w1", want(2), START_NS)
    assert one.state(START_NS).waiting == 5
    one.lost("w0", START_NS)
    assert one.state(START_NS).waiting == 2


@pytest.mark.parametrize(
    ("act", "mode", "actual"),
    [
        (Throttle.pause, "paused", 0.0),
        (Throttle.unlock, "unlocked", inf),
        (Throttle.pause_run, "frozen", 0.0),
    ],
)
def test_an_overlay_shows_at_once_and_takes_effect_after_the_lead_time(act, mode, actual):
    one = throttle(10)
    assert act(one, START_NS)
    assert not act(one, START_NS + MS_NS), "it is so already"
    assert one.epoch == 2
    state = one.state(START_NS + LEAD_NS - 1)
    assert (state.mode, state.actual_rate, state.rate) == (mode, 10, 10)
    state = one.state(START_NS + LEAD_NS)
    assert (state.mode, state.actual_rate, state.rate) == (mode, actual, 10)
    end = Throttle.resume_run if mode == "frozen" else Throttle.resume
    assert end(one, START_NS + S_NS)
    assert not end(one, START_NS + S_NS)
    state = one.state(START_NS + S_NS + LEAD_NS)
    assert (state.mode, state.actual_rate, one.epoch) == ("run", 10, 3)


def test_pause_and_unlock_replace_each_other():
    one = throttle()
    one.pause(START_NS)
    assert one.unlock(START_NS)
    assert one.state(START_NS).mode == "unlocked"
    assert one.pause(START_NS)
    assert one.state(START_NS).mode == "paused"


def test_a_new_rate_ends_an_unlock_but_not_a_pause():
    one = throttle(10)
    one.unlock(START_NS)
    assert one.change_profile(Constant(10), None, START_NS), "that it is the same is no matter"
    assert one.state(START_NS).mode == "run"
    one.pause(START_NS)
    assert one.change_profile(Constant(20), None, START_NS)
    state = one.state(START_NS + S_NS)
    assert (state.mode, state.rate, state.actual_rate) == ("paused", 20, 0)


def test_the_same_rate_per_another_interval_is_no_change():
    one = throttle(600, 60)
    assert not one.change_profile(Constant(10), 1, START_NS)
    assert (one.epoch, one.state(START_NS).rate, one.interval_s) == (1, 10, 1)
    assert one.change_profile(Constant(11), None, START_NS)
    assert one.epoch == 2
    assert one.change_profile(RAMP, None, START_NS)
    assert one.change_profile(RAMP, None, START_NS), "a ramp begins anew"


def test_a_rate_becomes_a_concurrency_limit_and_back():
    one = throttle(10, 1)
    one.want("w0", want(3), START_NS)
    assert dealt(one, START_NS) == {"w0": 3}, "slots"
    assert one.change_profile(Constant(2), 0, START_NS), "10 a second are not 10 at once"
    assert one.newest_change().permits
    one.want("w0", want(3, 1, epoch=1), START_NS + 1)
    assert dealt(one, START_NS + LEAD_NS) == {}, "what was said before the change is of slots"
    one.want("w0", want(3, epoch=2), START_NS + 2)
    assert dealt(one, START_NS + LEAD_NS - 1) == {}
    assert one.next_ns(START_NS + 2) == START_NS + LEAD_NS
    assert dealt(one, START_NS + LEAD_NS) == {"w0": 2}
    back_ns = START_NS + S_NS
    assert one.change_profile(Constant(2), 1, back_ns), "2 at once are not 2 a second"
    assert not one.newest_change().permits
    one.want("w0", want(3, epoch=3), back_ns)
    one.want("w0", want(3, epoch=3), back_ns + LEAD_NS)
    assert dealt(one, back_ns + LEAD_NS) == {"w0": 3}


def test_a_change_is_in_force_when_all_workers_confirm_it():
    one = throttle()
    one.pause(START_NS)
    one.want("w0", want(0, epoch=2), START_NS)
    assert not one.in_force(2, ["w0", "w1"])
    one.want("w1", want(0, epoch=2)._replace(in_force=1), START_NS)
    assert not one.in_force(2, ["w0", "w1"])
    assert one.in_force(2, ["w0"]), "the other one is lost"
    one.want("w1", want(0, epoch=2), START_NS)
    assert one.in_force(2, ["w0", "w1"])
    one.lost("w1", START_NS)
    assert not one.in_force(2, ["w0", "w1"])


def test_a_pause_of_the_run_stops_a_profile_but_a_throttle_pause_does_not():
    one, other = throttle(), throttle()
    for it in (one, other):
        it.change_profile(RAMP, None, START_NS - LEAD_NS)
        assert it.state(START_NS + 10 * S_NS).plan == "from 0 to 1000 in 1m40s"
    one.pause_run(START_NS + 10 * S_NS - LEAD_NS)
    other.pause(START_NS + 10 * S_NS - LEAD_NS)
    later_ns = START_NS + 60 * S_NS
    assert one.value_at(later_ns) == pytest.approx(100, abs=1)
    assert other.value_at(later_ns) == pytest.approx(600, abs=1)
    one.resume_run(later_ns - LEAD_NS)
    other.resume(later_ns - LEAD_NS)
    assert one.value_at(later_ns + 10 * S_NS) == pytest.approx(200, abs=1)
    assert other.value_at(later_ns + 10 * S_NS) == pytest.approx(700, abs=1)


def test_a_profile_configured_while_the_run_is_paused_begins_on_resume():
    one = throttle()
    one.pause_run(START_NS)
    one.change_profile(RAMP, None, START_NS + 10 * S_NS)
    assert one.value_at(START_NS + 50 * S_NS) == pytest.approx(0, abs=1)
    one.resume_run(START_NS + 60 * S_NS - LEAD_NS)
    assert one.value_at(START_NS + 70 * S_NS) == pytest.approx(100, abs=1)


def test_a_new_worker_is_sent_current_and_pending_modes():
    one = throttle()
    one.pause(START_NS)
    one.resume(START_NS)
    news = one.whole_state(START_NS)
    assert [(mode.epoch, mode.mode) for mode in news] == [(1, "run"), (2, "held"), (3, "run")]
    assert [mode.from_ns - START_NS for mode in news] == [0, LEAD_NS, LEAD_NS]
    assert one.newest_change() == news[-1]
    assert [mode.epoch for mode in one.whole_state(START_NS + LEAD_NS)] == [3]
    gone = one.stop_notice()
    assert (gone.epoch, gone.mode, gone.permits) == (4, "gone", False)
    assert throttle(2, 0).stop_notice().permits
    assert [mode.permits for mode in throttle(2, 0).whole_state(START_NS)] == [True]


def test_demand_for_an_earlier_throttle_of_that_name_is_ignored():
    for interval_s in (0, 1):
        one = throttle(10, interval_s, epoch=5)
        one.want("w0", want(3, epoch=4), START_NS)
        assert one.state(START_NS).waiting == 0
        assert dealt(one, START_NS) == {}
        one.want("w0", want(3, epoch=5), START_NS)
        assert one.state(START_NS).waiting == 3
        assert dealt(one, START_NS)["w0"] >= 1


def test_slots_due_before_they_are_dealt_are_missed():
    one = throttle(100)
    one.want("w0", want(1000), START_NS)
    assert one.state(START_NS).missed == 0
    one.deal(START_NS + VOID_NS + 205 * MS_NS)
    assert one.state(START_NS).missed == 21


def test_slots_of_a_lost_worker_that_fell_due_are_missed():
    one = throttle(200)
    one.want("w0", want(1000), START_NS)
    assert dealt(one, START_NS) == {"w0": 101}
    one.lost("w0", START_NS)  # the slot due now may have been used
    one.want("w1", want(20), START_NS)
    one.deal(START_NS + VOID_NS + 12 * MS_NS)
    assert one.state(START_NS).missed == 2


def test_permits_are_dealt_returned_and_freed_when_their_worker_is_lost():
    one = throttle(3, 0)
    one.want("w0", want(2), START_NS)
    one.want("w1", want(2), START_NS)
    first = dealt(one, START_NS)
    assert sum(first.values()) == 3
    assert one.state(START_NS).missed == 0
    assert one.next_ns(START_NS) == NEVER_NS
    one.lost("w0", START_NS)
    assert one.next_ns(START_NS) == START_NS if first["w1"] < 2 else NEVER_NS
    one.want("w2", want(5), START_NS)
    second = dealt(one, START_NS)
    assert first["w1"] + sum(second.values()) == 3
    one.want("w2", want(5, 1, back=1), START_NS)
    assert dealt(one, START_NS) == {"w2": 1}


def test_a_growing_concurrency_limit_is_dealt_as_it_grows():
    one: Throttle[str] = Throttle("a", RAMP, 0, 1, START_NS)
    one.want("w0", want(5), START_NS)
    assert dealt(one, START_NS) == {}
    at_ns = START_NS
    for number in range(1, 4):
        at_ns = one.next_ns(at_ns)
        assert dealt(one, at_ns - 1) == {}
        while not (sizes := dealt(one, at_ns)):
            at_ns = one.next_ns(at_ns)
            assert at_ns <= START_NS + S_NS
        assert sizes == {"w0": 1}
        one.want("w0", want(5 - number, number), START_NS)


def test_an_unlimited_throttle_deals_nothing():
    for interval_s in (0, 1):
        one = throttle(inf, interval_s)
        state = one.state(START_NS)
        assert (state.mode, state.rate, state.actual_rate) == ("open", inf, inf)
        one.want("w0", want(5), START_NS)
        assert dealt(one, START_NS) == {}


def test_past_changes_are_forgotten_even_without_demand():
    for interval_s in (0, 1):
        one, sizes = throttle(10, interval_s), []
        for number in range(1, 1000):
            assert one.change_profile(Constant(10 + number), None, START_NS + number * S_NS)
            sizes.append(size_of(one))
        assert sizes[-1] < sizes[20] + 50
        news = one.whole_state(START_NS + 999 * S_NS)
        assert [mode.epoch for mode in news] == [999, 1000]


def test_a_gradual_change_made_in_init_begins_when_users_may_start():
    one = throttle()
    assert not one.begin(START_NS + S_NS), "a rate that stays has no beginning"
    assert one.take(START_NS + 3 * S_NS).wanted == pytest.approx(20), "of two seconds"
    one.change_profile(RAMP, None, START_NS)
    assert one.begin(START_NS + 30 * S_NS)
    begun_ns = START_NS + 30 * S_NS + LEAD_NS
    assert one.newest_change().from_ns == begun_ns
    assert one.value_at(begun_ns + 10 * S_NS) == pytest.approx(100, abs=1)


# The wanted count

CHANGES = [
    lambda one, at_ns: one.pause(at_ns),
    lambda one, at_ns: one.resume(at_ns),
    lambda one, at_ns: one.pause_run(at_ns),
    lambda one, at_ns: one.resume_run(at_ns),
    lambda one, at_ns: one.change_profile(Constant(0), None, at_ns),
    lambda one, at_ns: one.change_profile(Constant(700), None, at_ns),
    lambda one, at_ns: one.change_profile(Ramps((Line(0, S_NS, 600.0, 50.0),)), None, at_ns),
    lambda one, at_ns: one.change_profile(Sine(10, 400, S_NS), 0.5, at_ns),
]


@given(st.dictionaries(st.integers(0, 199), st.sampled_from(CHANGES), max_size=20))
def test_the_wanted_count_matches_what_passes_under_constant_demand(changes):
    one = throttle(100)
    slots: list[tuple[int, int]] = []
    void_ns: dict[int, int] = {}  # time from which slots of an epoch are void
    seen, wanted = 0, 0.0
    for step in range(200):
        at_ns = START_NS + step * 10 * MS_NS
        if step in changes and changes[step](one, at_ns):
            void_ns[one.epoch - 1] = one.newest_change().from_ns
        one.want("w0", want(10_000, seen), at_ns)
        for _, block in one.deal(at_ns):
            seen = block.number
            dues = [block.due_ns + round(k * block.spacing_ns) for k in range(block.size)]
            slots += [(block.epoch, due_ns) for due_ns in dues]
        if step % 7 == 0:
            wanted += one.take(at_ns).wanted
    wanted += one.take(at_ns).wanted
    passed = sum(due_ns < min(at_ns, void_ns.get(epoch, at_ns)) for epoch, due_ns in slots)
    assert abs(passed - wanted) <= 1.01  # the first slot is due at once


def test_the_wanted_count_is_unknown_after_a_moment_without_limit():
    one = throttle(10)
    one.unlock(START_NS)
    assert one.take(START_NS + LEAD_NS).wanted == pytest.approx(0.4)
    one.resume(START_NS + 100 * MS_NS)
    assert one.take(START_NS + S_NS).wanted is None
    assert one.take(START_NS + 2 * S_NS).wanted == pytest.approx(10)
    assert throttle(5, 0).take(START_NS + S_NS).wanted is None, "a limit of concurrency"
    assert throttle(inf).take(START_NS + S_NS).wanted is None


def test_missed_slots_of_workers_and_controller_are_summed():
    one = throttle(10)
    one.want("w0", want(100)._replace(missed=3), START_NS)
    assert dealt(one, START_NS) == {"w0": 33}, "those of the next 3.2 s"
    one.want("w0", want(100, 1)._replace(missed=5), START_NS + S_NS)
    assert one.state(START_NS).missed == 5
    one.deal(START_NS + 13300 * MS_NS)  # all slots due after these except those of the last 0.1 s
    here = one.take(START_NS + 20 * S_NS).missed
    assert here > 90
    assert one.take(START_NS + 20 * S_NS).missed == 0
    assert one.state(START_NS).missed == 5 + here
    one.lost("w0", START_NS)
    one.want("w0", want(0)._replace(missed=2), START_NS)  # its replacement counts from 0
    assert one.state(START_NS).missed == 5 + here + 2
