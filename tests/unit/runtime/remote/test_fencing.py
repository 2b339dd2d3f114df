"""By when a controller gives a node up, nothing of it runs, whatever the network has done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.runtime.remote.fencing import (
    BEAT_S,
    GIVEN_UP_NS,
    KILLED_NS,
    ORPHANED_NS,
    Fence,
    is_given_up,
)

NEVER = None
DELAY = st.one_of(st.just(NEVER), st.integers(0, 12 * S_NS))
WAYS = st.lists(st.tuples(DELAY, DELAY), max_size=60)
LOOK_NS = 100 * MS_NS
BEAT_NS = int(BEAT_S * S_NS)


@given(WAYS, st.integers(0, LOOK_NS))
def test_the_keeper_has_ended_its_node_before_the_controller_gives_it_up(ways, phase_ns):
    heard, echoes = [0], []
    for number, (there_ns, back_ns) in enumerate(ways):
        made_ns = number * BEAT_NS
        if there_ns is not NEVER:
            heard.append(made_ns + there_ns)
            if back_ns is not NEVER:
                echoes.append((made_ns + there_ns + back_ns, made_ns))
    fence, over_ns = Fence(0), None
    echoes.sort()
    for now_ns in range(phase_ns, len(ways) * BEAT_NS + 60 * S_NS, LOOK_NS):
        while echoes and echoes[0][0] <= now_ns:
            fence.echoed(echoes.pop(0)[1])
        if fence.is_orphaned(now_ns) and fence.is_over(now_ns):
            over_ns = now_ns
            break
    assert over_ns is not None
    # Beats that come later are of a keeper that has ended its node: it makes no more.
    heard_ns = [one for one in heard if one <= over_ns]
    given_up_ns = next(
        now_ns
        for now_ns in range(0, over_ns + 2 * GIVEN_UP_NS, LOOK_NS)
        if is_given_up(max(one for one in heard_ns if one <= now_ns), now_ns)
    )
    assert over_ns + S_NS < given_up_ns


@given(st.integers(0, ORPHANED_NS - 1))
def test_a_short_cut_does_no_harm(cut_ns):
    fence = Fence(0)
    assert not fence.is_orphaned(cut_ns)
    fence.echoed(cut_ns)
    assert not fence.is_orphaned(cut_ns + ORPHANED_NS - 1)


def test_an_orphan_that_hears_its_controller_again_stops_all_the_same():
    fence = Fence(0)
    assert fence.is_orphaned(ORPHANED_NS)
    assert not fence.is_over(ORPHANED_NS)
    fence.echoed(ORPHANED_NS)
    assert fence.is_orphaned(ORPHANED_NS)
    assert fence.is_over(KILLED_NS)


def test_an_echo_that_comes_late_says_nothing_of_now():
    fence = Fence(0)
    fence.echoed(0)
    assert fence.is_orphaned(ORPHANED_NS)
