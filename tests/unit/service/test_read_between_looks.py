"""The seconds of a long run are read while no browser draws its page."""

from __future__ import annotations

from typing import Any

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.service.dashboard.live import DRAW_NS, STRETCH_NS, read_between_looks


class Page:
    """Reads a quarter of a run at each call."""

    def __init__(self) -> None:
        self.read_share = 0.0
        self.stretches_ns: list[int] = []

    def read_on(self, until_ns: int) -> None:
        self.stretches_ns.append(until_ns - now_ns())
        self.read_share += 0.25


def read(page: Any, span_ns: int, looked_ns: int) -> list[int]:
    read_between_looks(page, now_ns() + span_ns, lambda: looked_ns)
    return list(page.stretches_ns)


def test_everything_is_read_in_short_stretches_if_nobody_looks():
    found = read(Page(), 60 * S_NS, now_ns() - DRAW_NS)
    assert len(found) == 4
    assert max(found) <= STRETCH_NS


def test_reading_pauses_after_a_look_but_progresses():
    assert len(read(Page(), 20 * MS_NS, now_ns() + 3600 * S_NS)) == 1
    page = Page()
    looked_ns = now_ns()
    read(page, 60 * S_NS, looked_ns)
    assert page.read_share == 1
    assert now_ns() - looked_ns >= DRAW_NS
