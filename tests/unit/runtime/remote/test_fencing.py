"""A node that its controller gives up has already ended, whatever the network did."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.runtime.remote.fencing import (
    BEAT_S,
    GIVEN_UP_NS,
    KILLED_NS,
    ORPHANED_NS,
    PATIENCE_NS,
    STALLED_NS,
    Fence,
    is_given_up,
)

NEVER = None
LOOK_NS = 100 * MS_NS
BEAT_NS = int(BEAT_S * S_NS)
MAX_STILL_NS = GIVEN_UP_NS - KILLED_NS - S_NS - LOOK_NS
"""Longest stall of a keeper, just before it would kill its node, that leaves a second."""


def until(most_ns: int) -> st.SearchStrategy[int]:
    """Times up to `most_ns` in whole ms; integers in ns would be biased towards small ones."""
    return st.integers(0, most_ns // MS_NS).map(lambda ms: ms * MS_NS)


DELAY = st.one_of(st.just(NEVER), until(2 * GIVEN_UP_NS))
WAYS = st.lists(st.tuples(DELAY, DELAY), max_size=60)
STILL = st.tuples(until(30 * S_NS), until(MAX_STILL_NS))


@given(WAYS, until(LOOK_NS), STILL)
@example([], 0, (KILLED_NS - LOOK_NS + 1, MAX_STILL_NS))
@example([], LOOK_NS - 1, (KILLED_NS + LOOK_NS - 2, MAX_STILL_NS))
def test_the_keeper_ends_its_node_before_the_controller_gives_it_up(ways, phase_ns, still):
    """Holds even if the keeper stalls for a while and sends no heartbeats."""
    still_ns, for_ns = still
    heard, echoes = [0], []
    for number, (there_ns, back_ns) in enumerate(ways):
        made_ns = number * BEAT_NS
        if still_ns <= made_ns < still_ns + for_ns:
            continue
        if there_ns is not NEVER:
            heard.append(made_ns + there_ns)
            if back_ns is not NEVER:
                echoes.append((made_ns + there_ns + back_ns, made_ns))
    fence, over_ns = Fence(0), None
    echoes.sort()
    for now_ns in range(phase_ns, len(ways) * BEAT_NS + 60 * S_NS, LOOK_NS):
        if still_ns <= now_ns < still_ns + for_ns:
            continue
        while echoes and echoes[0][0] <= now_ns:
            fence.echoed(echoes.pop(0)[1])
        if fence.is_orphaned(now_ns) and fence.is_over(now_ns):
            over_ns = now_ns
            break
    assert over_ns is not None
    # Later heartbeats do not exist: the keeper has ended its node and sends no more.
    heard_ns = [one for one in heard if one <= over_ns]
    given_up_ns = next(
        now_ns
        for now_ns in range(0, over_ns + 2 * GIVEN_UP_NS, LOOK_NS)
        if is_given_up(max(one for one in heard_ns if one <= now_ns), now_ns)
    )
    assert over_ns + S_NS < given_up_ns


def looked(until_ns: int) -> Fence:
    """Return the fence of a keeper that heard nothing since 0 and checked all the time."""
    fence = Fence(0)
    for now_ns in range(0, until_ns, LOOK_NS):
        fence.is_orphaned(now_ns)
    return fence


@given(st.integers(0, ORPHANED_NS - 1))
def test_a_short_network_outage_does_no_harm(cut_ns):
    fence = looked(cut_ns)
    assert not fence.is_orphaned(cut_ns)
    fence.echoed(cut_ns)
    assert not fence.is_orphaned(cut_ns + ORPHANED_NS - 1)


def test_a_stalled_keeper_listens_before_it_decides():
    fence = Fence(0)
    woken_ns = ORPHANED_NS + S_NS // 2
    assert not fence.is_orphaned(woken_ns)
    fence.echoed(woken_ns)
    assert not fence.is_orphaned(woken_ns + STALLED_NS)


def test_a_stalled_keeper_that_hears_nothing_stops_its_node():
    fence = Fence(0)
    assert not fence.is_orphaned(ORPHANED_NS)
    assert fence.is_orphaned(ORPHANED_NS + STALLED_NS)
    assert Fence(0).is_orphaned(KILLED_NS)


def test_an_orphan_stops_even_if_it_hears_its_controller_again():
    fence = looked(ORPHANED_NS)
    assert fence.is_orphaned(ORPHANED_NS)
    assert not fence.is_over(ORPHANED_NS)
    fence.echoed(ORPHANED_NS)
    assert fence.is_orphaned(ORPHANED_NS)
    assert fence.is_over(KILLED_NS)


def test_a_late_echo_does_not_count_as_recent():
    fence = looked(ORPHANED_NS)
    fence.echoed(0)
    assert fence.is_orphaned(ORPHANED_NS)


def test_a_keeper_is_patient_only_until_its_node_starts():
    fence = Fence(0, PATIENCE_NS)
    for now_ns in range(0, PATIENCE_NS, LOOK_NS):
        assert not fence.is_orphaned(now_ns)
    assert fence.is_silent(now_ns)
    fence.echoed(now_ns)
    assert not fence.is_silent(now_ns)
    fence.node_starts()
    assert not fence.is_orphaned(now_ns + S_NS)
    assert fence.is_orphaned(now_ns + KILLED_NS)
    assert fence.is_over(now_ns + KILLED_NS)
    assert Fence(0, PATIENCE_NS).is_orphaned(KILLED_NS + PATIENCE_NS)
