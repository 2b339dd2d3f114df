"""When a worker reports its demand."""

from __future__ import annotations

import pytest

from amoc.base.clock import MS_NS, S_NS
from amoc.throttle.blocks import Block, SlotStock
from amoc.throttle.demand import report_ns
from amoc.throttle.profiles import NEVER_NS

REPORTED_NS = 1000 * S_NS


@pytest.mark.parametrize(
    ("slots", "spacing_ms", "known", "wanted", "after_ms"),
    [
        (0, 1, 0, 5, 3),  # none available: soon
        (41, 1, 0, 5, 20),  # before half of them are used
        (401, 1, 0, 5, 200),  # at any scale
        (11, 20, 0, 5, 100),
        (33, 100, 0, 5, 1600),
        (33, 1000, 0, 5, 2000),
        (0, 1, 31, 40, 3),
        (0, 1, 32, 40, 200),  # the controller knows of plenty
        (10, 1, 32, 40, 50),
        (0, 1, 80, 40, 3),  # it knows of more than is wanted
    ],
)
def test_demand_is_reported_the_later_the_more_slots_are_available_or_known(
    slots: int, spacing_ms: int, known: int, wanted: int, after_ms: int
):
    stock = SlotStock()
    if slots:
        stock.put(Block(1, 1, 0, 1, slots, REPORTED_NS, spacing_ms * MS_NS), NEVER_NS, 0)
    assert report_ns(REPORTED_NS, stock, known, wanted) - REPORTED_NS == after_ms * MS_NS
