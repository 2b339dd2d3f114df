"""Which cached environments are pruned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.install.pruning import Cached, to_prune

NOW_S, KEEP_S, KEEP_BYTES = 10_000.0, 1_000.0, 100

cached = st.builds(
    Cached,
    st.uuids().map(str),
    st.integers(0, 120),
    st.floats(NOW_S - 2 * KEEP_S, NOW_S),
    st.booleans(),
)


@given(st.lists(cached, max_size=12))
def test_environments_in_use_are_kept_and_the_others_kept_are_recent_and_fit(found):
    gone = to_prune(found, NOW_S, KEEP_S, KEEP_BYTES)
    assert not any(one.in_use for one in gone)
    kept = [one for one in found if one not in gone]
    assert len(kept) + len(gone) == len(found)
    newest = max(found, key=lambda one: (one.used_s, one.name), default=None)
    assert newest is None or newest in kept
    free = [one for one in kept if not one.in_use and one is not newest]
    assert all(NOW_S - one.used_s <= KEEP_S for one in free)
    assert not free or sum(one.bytes for one in kept) <= KEEP_BYTES


@given(st.lists(cached, max_size=12))
def test_recent_environments_are_kept_when_all_fit(found):
    size = sum(one.bytes for one in found)
    gone = to_prune(found, NOW_S, KEEP_S, size)
    assert all(NOW_S - one.used_s > KEEP_S for one in gone)


def test_the_least_recently_used_environments_are_pruned_first():
    found = [Cached(str(at), 40, NOW_S - at) for at in range(5)]
    assert [one.name for one in to_prune(found, NOW_S, KEEP_S, KEEP_BYTES)] == ["2", "3", "4"]
    used = [*found[:4], Cached("4", 40, NOW_S - 4, in_use=True)]
    assert [one.name for one in to_prune(used, NOW_S, KEEP_S, KEEP_BYTES)] == ["1", "2", "3"]
