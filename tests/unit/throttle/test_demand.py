"""When a worker reports its demand."""

from __future__ import annotations

import pytest

from amoc.base.clock import MS_NS, S_NS
from amoc.throttle.blocks import Block, SlotStock
from amoc.throttle.demand import report_ns
from amoc.throttle.profiles import NEVER_NS

TOLD_NS = 1000 * S_NS


@pytest.mark.parametrize(
    ("slots", "spacing_ms", "known", "wanted", "after_ms"),
    [
        (0, 1, 0, 5, 3),  # none in hand: soon
        (41, 1, 0, 5, 20),  # half of what is in hand
        (401, 1, 0, 5, 200),  # however long that is
        (11, 20, 0, 5, 100),
        (33, 100, 0, 5, 1600),
        (33, 1000, 0, 5, 2000),
        (0, 1, 31, 40, 3),
        (0, 1, 32, 40, 200),  # the controller has enough to go on with
        (10, 1, 32, 40, 50),
        (0, 1, 80, 40, 3),  # more than are wanted
    ],
)
def test_it_is_told_the_later_the_more_is_in_hand_or_known(
    slots: int, spacing_ms: int, known: int, wanted: int, after_ms: int
):
    hand = SlotStock()
    if slots:
        hand.put(Block(1, 1, 0, 1, slots, TOLD_NS, spacing_ms * MS_NS), NEVER_NS, 0)
    assert report_ns(TOLD_NS, hand, known, wanted) - TOLD_NS == after_ms * MS_NS
