"""Timers of several nodes, each of which sends totals: their growth. Pure.

A node has few cells to send, and there may be a thousand nodes. So their reports are collected and
processed together, because many cells at once take less time (`amoc.metrics.vectors`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from amoc.metrics import vectors
from amoc.metrics.timer_block import TimerBlock, Wire
from amoc.metrics.timer_sums import TimerSums, packed
from amoc.metrics.vectors import Counts, Keys


class NodeTimers:
    """The growth of nodes' timers."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._sums = TimerSums()  # of each timer of each node
        self._timers = array("I")  # the number, in `_names`, of each of these
        self._said: dict[str, TimerBlock] = {}  # reports not yet processed, by node
        self._cells = 0  # in those
        self._grown: tuple[Keys, Counts] | None = None
        self._longest_ns: dict[int, int] = {}

    def take(self, node: str, told: Wire, yield_if_due: Callable[[], None] = lambda: None) -> None:
        """Take a node's totals of some of its cells.

        Args:
            node: Its name.
            told: As `TimerBlock.wire`.
            yield_if_due: Called between parts of the work.

        Raises:
            ValueError: The parts do not fit together.
        """
        names, *parts = told
        block = TimerBlock([f"{node} {name}" for name in names], *parts)
        for own, name in zip(block.names, names, strict=True):
            if self._sums.number(own) == len(self._timers):  # it is new
                self._timers.append(number := self._number(name))
                self._longest_ns.setdefault(number, 0)
        if node in self._said:
            self._look(yield_if_due)
        self._said[node] = block
        self._cells += len(block.cells)
        if self._cells >= vectors.at_once():
            self._look(yield_if_due)

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number

    def growth(self) -> TimerBlock:
        """Return the growth since the last call."""
        self._look()
        if self._grown is None and not self._longest_ns:
            return TimerBlock()
        keys, counts = self._grown or (array("I"), array("Q"))
        longest_ns, self._longest_ns, self._grown = self._longest_ns, {}, None
        return packed(self._names, keys, counts, longest_ns, longest_ns)

    def _look(self, yield_if_due: Callable[[], None] = lambda: None) -> None:
        """Process the collected reports: compute how much their totals exceed those known."""
        blocks, self._said, self._cells = [*self._said.values()], {}, 0
        if not blocks:
            return
        grown = self._sums.raise_to(TimerBlock.joined(blocks), yield_if_due)
        more = vectors.renumbered(grown.keys, self._timers), grown.counts
        if self._grown is not None:
            more = vectors.gathered([self._grown, more])
        elif len(blocks) > 1:
            more = vectors.gathered([more])
        self._grown = more
        for number, ns in grown.longest_ns.items():
            timer = self._timers[number]
            self._longest_ns[timer] = max(ns, self._longest_ns.get(timer, 0))
