"""The histograms of many timers in a few blocks of bytes, for a second of a run or a sample. Pure.

A histogram on its own is a dict and some kilobytes; a thousand of them each second, kept for a
minute, are hundreds of megabytes. Packed, they take ten bytes per cell that was hit. Accessing a
timer creates a `Histogram`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from amoc.metrics.histogram import Histogram

Wire = tuple[Sequence[str], bytes, bytes, bytes, bytes]
Numbers: TypeAlias = "bytes | array[int] | memoryview[int]"


class TimerBlock(Mapping[str, Histogram]):
    """Immutable histograms by name.

    Attributes:
        names: The timers' names, each once.
        max_ns: The maximum of each, as unsigned 64-bit numbers.
        ends: The end of the cells of each, which is the beginning of the next one's; 32 bits.
        cells: The cells that were hit, ascending in each timer, 16 bits.
        counts: The number of hits of each cell, 64 bits.
    """

    __slots__ = ("_places", "cells", "counts", "ends", "max_ns", "names")

    def __init__(
        self,
        names: Sequence[str] = (),
        max_ns: Numbers = b"",
        ends: Numbers = b"",
        cells: Numbers = b"",
        counts: Numbers = b"",
    ) -> None:
        """Make timers from these parts, which must not change any more.

        The parts of `wire` will do as well; their numbers are in the machine's byte order.

        Raises:
            ValueError: The parts do not fit together.
        """
        self.names = names
        self.max_ns = memoryview(max_ns).cast("B").cast("Q")
        self.ends = memoryview(ends).cast("B").cast("I")
        self.cells = memoryview(cells).cast("B").cast("H")
        self.counts = memoryview(counts).cast("B").cast("Q")
        self._places: dict[str, int] = {}
        number, hits = len(names), len(self.cells)
        if not number == len(self.max_ns) == len(self.ends) or not (
            self.ends[-1] if number else 0
        ) == hits == len(self.counts):
            raise ValueError(f"{number} timers and {hits} cells do not fit together")

    @classmethod
    def of(cls, timers: Mapping[str, Histogram]) -> TimerBlock:
        """Pack `timers`."""
        if isinstance(timers, cls):
            return timers
        if (packed := getattr(timers, "packed", None)) is not None:
            found: TimerBlock = packed()
            return found
        max_ns, ends, cells, counts = array("Q"), array("I"), array("H"), array("Q")
        for timer in timers.values():
            hit = sorted(timer.cells)
            cells.extend(hit)
            counts.extend(map(timer.cells.__getitem__, hit))
            max_ns.append(timer.max_ns)
            ends.append(len(cells))
        return cls(list(timers), max_ns, ends, cells, counts)

    def parts(self, most: int) -> Iterator[TimerBlock]:
        """Yield the same timers in several blocks, of at most `most` cells or of one timer."""
        if len(self.cells) <= most:
            if self.names:
                yield self
            return
        first = begin = 0
        for place in range(len(self.names)):
            after = self.ends[place + 1] if place + 1 < len(self.names) else None
            if after is not None and after - begin <= most:
                continue
            end = self.ends[place]
            yield TimerBlock(
                self.names[first : place + 1],
                self.max_ns[first : place + 1],
                array("I", (one - begin for one in self.ends[first : place + 1])),
                self.cells[begin:end],
                self.counts[begin:end],
            )
            first, begin = place + 1, end

    @classmethod
    def joined(cls, blocks: Sequence[TimerBlock]) -> TimerBlock:
        """Join blocks; no timer may be in two of them."""
        if len(blocks) == 1:
            return blocks[0]
        ends, begin = array("I"), 0
        for one in blocks:
            ends.extend(begin + end for end in one.ends)
            begin += len(one.cells)
        return cls(
            [name for one in blocks for name in one.names],
            b"".join(one.max_ns for one in blocks),
            ends,
            b"".join(one.cells for one in blocks),
            b"".join(one.counts for one in blocks),
        )

    def wire(self) -> Wire:
        """Return the parts for a message, which are the arguments of `TimerBlock`."""
        max_ns, ends, cells, counts = (
            part.tobytes() for part in (self.max_ns, self.ends, self.cells, self.counts)
        )
        return self.names, max_ns, ends, cells, counts

    def __getitem__(self, name: str) -> Histogram:
        if not self._places:
            self._places = {one: place for place, one in enumerate(self.names)}
        place = self._places[name]
        begin, end = self.ends[place - 1] if place else 0, self.ends[place]
        cells, counts = self.cells[begin:end].tolist(), self.counts[begin:end].tolist()
        return Histogram(dict(zip(cells, counts, strict=True)), self.max_ns[place])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<{len(self)} timers, {len(self.cells)} cells>"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self.wire()
