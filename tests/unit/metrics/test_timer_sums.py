"""Many timers packed, summed and raised give the same as histograms, with and without NumPy."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics import vectors
from amoc.metrics.histogram import CELLS, ROW, Histogram, cell_of, end_ns
from amoc.metrics.node_timers import NodeTimers
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.timer_sums import TimerSums, packed

pytestmark = pytest.mark.parametrize("numpy", [None, np], ids=["plain", "numpy"])


@pytest.fixture(autouse=True)
def _restore_vectors():
    yield
    vectors.use(None)


DURATIONS = st.one_of(st.integers(0, 300), st.integers(0, 2**43), st.sampled_from([0, 10**15]))
RECORDED = st.dictionaries(
    st.sampled_from(["a", "b", "c.response", "ä"]), st.lists(DURATIONS, max_size=8), max_size=4
)


def histograms(recorded: dict[str, list[int]]) -> dict[str, Histogram]:
    return {name: Histogram.of(ns) for name, ns in recorded.items()}


def added(several: list[dict[str, list[int]]]) -> dict[str, Histogram]:
    """The sum computed the slow and simple way."""
    whole: dict[str, Histogram] = {}
    for one in several:
        for name, timer in histograms(one).items():
            whole.setdefault(name, Histogram()).add(timer.cells, timer.max_ns)
    return whole


@given(recorded=RECORDED, most=st.integers(1, 20))
def test_a_block_keeps_its_timers_when_split_and_joined(numpy, recorded, most):
    vectors.use(numpy)
    timers = histograms(recorded)
    block = TimerBlock.of(timers)
    assert block == timers
    assert TimerBlock(*block.wire()) == timers
    assert pickle.loads(pickle.dumps(block)) == timers
    parts = list(block.parts(most))
    assert TimerBlock.joined(parts) == timers
    assert all(len(part.cells) <= most or len(part) == 1 for part in parts)


@pytest.mark.parametrize(
    "parts",
    [
        (["a"], b"", b"", b"", b""),
        ([], bytes(8), bytes(4), b"", b""),
        (["a"], bytes(8), b"\2\0\0\0", b"\1\0", bytes(8)),
        (["a"], bytes(8), b"\1\0\0\0", b"\1\0", b""),
        (["a"], bytes(7), b"\0\0\0\0", b"", b""),
    ],
)
def test_inconsistent_parts_are_rejected(numpy, parts):
    with pytest.raises((ValueError, TypeError)):
        TimerBlock(*parts)


def raised(known: TimerSums, said: Mapping[str, Histogram]) -> TimerBlock:
    """How much timers have grown, given the new totals `said`."""
    grown = known.raise_to(TimerBlock.of(said))
    return packed(known.names, grown.keys, grown.counts, (), grown.longest_ns)


@given(several=st.lists(RECORDED, max_size=4))
def test_sums_equal_the_added_histograms(numpy, several):
    vectors.use(numpy)
    sums, whole = TimerSums(), added(several)
    for one in several:
        sums.add(histograms(one))
    assert sums == whole
    assert sums.packed() == whole
    assert dict(zip(sums.names, sums.hits, strict=True)) == {
        name: timer.count for name, timer in whole.items()
    }


@given(several=st.lists(RECORDED, min_size=1, max_size=4), data=st.data())
def test_reordered_and_repeated_totals_raise_to_the_same_sums(numpy, several, data):
    vectors.use(numpy)
    totals = [added(several[: end + 1]) for end in range(len(several))]
    known, growth = TimerSums(), TimerSums()
    for said in [*data.draw(st.lists(st.sampled_from(totals))), totals[-1]]:
        growth.add(raised(known, said))
    hit = {name: timer for name, timer in totals[-1].items() if timer.count}
    assert known == totals[-1]
    assert growth == hit
    assert raised(known, totals[-1]) == {}


@given(
    several=st.lists(st.tuples(st.sampled_from(["node0", "node1"]), RECORDED), max_size=6),
    at_once=st.integers(1, 50),
    numbers=st.randoms(),
)
def test_reports_of_nodes_add_up_for_any_order_and_batch_size(numpy, several, at_once, numbers):
    vectors.use(numpy)
    timers, totals = NodeTimers(), {"node0": TimerSums(), "node1": TimerSums()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "at_once", lambda: at_once)
        for node, one in several:
            totals[node].add(histograms(one))
            told = list(totals[node].items())
            numbers.shuffle(told)
            timers.take(node, TimerBlock.of(dict(told)).wire())
        assert timers.growth() == added([one for _, one in several])
        for node, sums in totals.items():
            timers.take(node, sums.packed().wire())
        assert timers.growth() == {}


def test_a_new_maximum_is_reported_only_together_with_its_cell(numpy):
    vectors.use(numpy)
    known = TimerSums()
    raised(known, {"t": Histogram({cell_of(100_000): 1}, 123_456)})
    assert raised(known, {"t": Histogram({}, 10**9 + 7)}) == {}
    grown = raised(known, {"t": Histogram({cell_of(10**9 + 7): 1}, 10**9 + 7)})
    assert grown == {"t": Histogram({cell_of(10**9 + 7): 1}, 10**9 + 7)}
    cell = cell_of(5_000)
    again = raised(known, {"t": Histogram({cell: 1}, 10**9 + 7)})
    assert again == {"t": Histogram({cell: 1}, end_ns(cell))}


def test_large_sums_are_processed_in_bounded_parts(numpy):
    vectors.use(numpy)
    cells = dict.fromkeys(range(2000), 1)
    timers = {f"t{number}": Histogram(cells, end_ns(1_999)) for number in range(30)}
    breaths: list[int] = []
    most = max(2_000, vectors.at_once())
    sums, known = TimerSums(), TimerSums()
    sums.add(timers, lambda: breaths.append(sum(sums.hits)))
    steps = [after - before for before, after in zip([0, *breaths], breaths, strict=False)]
    assert sum(sums.hits) == 60_000
    assert max(steps) <= most
    keys = sums.packed()
    breaths.clear()
    known.raise_to(keys, lambda: breaths.append(0))
    assert len(breaths) >= 60_000 // most
    breaths.clear()
    every = array("I", (number * CELLS + cell for number in range(30) for cell in range(2_000)))
    assert sums.totals_at(every, (), lambda: breaths.append(0)) == timers
    assert len(breaths) >= 60_000 // (most + 2_000)


def test_an_empty_row_takes_no_memory(numpy):
    vectors.use(numpy)
    sums = TimerSums()
    for number in range(1_000):
        sums.add({f"t{number}": Histogram.of([5_000_000, 5_100_000])})
    assert sums.rows == 1_000
    sums.add({"t0": Histogram({ROW * 20: 1}, 10**9)})
    assert sums.rows == 1_001


@given(recorded=RECORDED)
def test_cells_are_rebuilt_from_their_distances(numpy, recorded):
    vectors.use(numpy)
    block = TimerBlock.of(histograms(recorded))
    cells, ends = array("H", block.cells), array("I", block.ends)
    begins = [0, *ends][: len(ends)]
    firsts = [cells[begin] if begin < end else 0 for begin, end in zip(begins, ends, strict=True)]
    steps = vectors.steps_of(cells, ends)
    assert not any(steps[begin] for begin, end in zip(begins, ends, strict=True) if begin < end)
    assert vectors.risen(steps, firsts, ends) == cells
    assert vectors.highest(cells) == max(cells, default=0)
