"""A worker's buffered rows of a feed: in order, each once, and as many as needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.feed.reserve import CHUNK, LASTS_NS, MAX_BLOCK, MIN_BLOCK, Reserve


def numbers(ranges):
    return [number for first, count in ranges for number in range(first, first + count)]


@given(st.lists(st.integers(0, 20), max_size=10), st.lists(st.integers(1, 30), max_size=30))
def test_rows_come_out_in_order_and_the_rest_is_returned(counts, takes):
    """`counts` are the sizes of ranges with gaps in between, `takes` the most rows to take."""
    reserve, put, taken = Reserve(), [], []
    for at, count in enumerate(counts):
        reserve.put(at * 100, count)
        put += range(at * 100, at * 100 + count)
    for most in takes:
        before = len(reserve)
        first, count = reserve.take(most)
        assert count <= most
        assert len(reserve) == before - count
        assert bool(count) is bool(before)
        taken += range(first, first + count)
    left = numbers(reserve.take_all())
    assert taken + left == put
    assert (len(reserve), reserve.take(5), reserve.take_all()) == (0, (0, 0), [])
    reserve.put(7, 3)
    assert (len(reserve), reserve.take(5)) == (3, (7, 3))


def test_a_block_lasts_a_worker_a_fifth_of_a_second():
    reserve, now_ns = Reserve(), 10**15
    assert reserve.wants(now_ns) == MIN_BLOCK  # before the rate of use is known
    sizes = []
    for _ in range(12):
        now_ns += LASTS_NS - 1
        sizes.append(reserve.wants(now_ns))
    assert sizes[:3] == [MIN_BLOCK * 2, MIN_BLOCK * 4, MIN_BLOCK * 8]
    assert sizes[-1] == MAX_BLOCK
    for lasted_ns in (LASTS_NS, 10 * LASTS_NS):
        now_ns += lasted_ns
        assert reserve.wants(now_ns) == MAX_BLOCK
    sizes = []
    for _ in range(12):
        now_ns += 10 * LASTS_NS + 1
        sizes.append(reserve.wants(now_ns))
    assert sizes[:2] == [MAX_BLOCK // 2, MAX_BLOCK // 4]
    assert sizes[-1] == MIN_BLOCK


def test_the_next_block_is_requested_when_half_of_one_is_used():
    reserve = Reserve()
    reserve.put(0, MIN_BLOCK)
    assert not reserve.is_low
    assert reserve.chunk() == MIN_BLOCK // 2
    reserve.take(reserve.chunk())
    assert reserve.is_low
    for number in range(20):
        reserve.wants(10**15 + number)
    assert reserve.chunk() == CHUNK < MAX_BLOCK // 2
