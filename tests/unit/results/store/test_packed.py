"""Packed histograms are read back unchanged, one by one and summed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.histogram import LAST_CELL, Histogram, end_ns
from amoc.results.store.packed import GROUP, PackedTimers, pack, total

COUNTS = st.one_of(st.integers(1, 3), st.integers(1, 70_000), st.integers(1, (1 << 64) - 1))


@st.composite
def histograms(draw) -> Histogram:
    cells = draw(st.dictionaries(st.integers(0, LAST_CELL), COUNTS, max_size=20))
    end = end_ns(max(cells, default=0))
    return Histogram(cells, draw(st.one_of(st.just(end), st.integers(0, (1 << 64) - 1))))


def packed(timers: dict[str, Histogram]) -> PackedTimers:
    return PackedTimers(list(timers), b"".join(pack(timers)))


@given(st.dictionaries(st.text(), histograms(), max_size=9))
def test_histograms_round_trip(timers):
    found = packed(timers)
    assert dict(found) == timers
    assert list(found) == list(timers)
    assert "not a timer" not in found or "not a timer" in timers


@given(st.lists(st.dictionaries(st.sampled_from("abc"), histograms(), max_size=3), max_size=4))
def test_packed_timers_add_up_to_the_sum_of_their_histograms(parts):
    stored = [packed(one) for one in parts]
    for name in "abc":
        whole = Histogram()
        for one in parts:
            if name in one:
                whole.add(one[name].cells, one[name].max_ns if one[name].cells else 0)
        assert total(stored, name).cells == total(parts, name).cells == whole.cells
        assert total(stored, name).max_ns == whole.max_ns


def test_one_group_is_unpacked_without_the_others():
    timers = {f"t{n}": Histogram({n: n + 1}, end_ns(n)) for n in range(2 * GROUP + 3)}
    groups = list(pack(timers))
    assert len(groups) == 3
    spoilt = b"".join((groups[0], groups[1][:-4] + b"\xff\xff\xff\xff", groups[2]))
    found = PackedTimers(list(timers), spoilt)
    assert found["t3"] == timers["t3"]
    assert found[f"t{2 * GROUP}"] == timers[f"t{2 * GROUP}"]


@given(st.dictionaries(st.text(), histograms(), max_size=9))
def test_all_timers_can_be_unpacked_at_once(timers):
    assert dict(packed(timers).packed()) == timers


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_incomplete_groups_are_rejected(cut):
    (group,) = pack({"t": Histogram({5: 1, 9: 2}, 9)})
    with pytest.raises(ValueError, match=r"not groups of timers|not the groups of 1 timers"):
        PackedTimers(["t"], group[:-cut])
    with pytest.raises(ValueError, match="not the groups of 2 timers"):
        PackedTimers(["t", "u"], group)
