"""Histograms of many timers in few bytes. Pure.

Timers are packed in groups of `GROUP`, in the order of their names. A group has three columns, each
deflated on its own because what is alike compresses well together:

- about each timer: how many cells it has, how wide its numbers are (see `_WIDTHS`), its first cell,
  and by how much the longest duration lies below the end of its last cell;
- the distance of each further cell from the one before;
- the count of each cell.

So a timer can be read without the numbers of all others. With 40 durations a second a histogram
takes some 28 bytes.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from operator import mul

from amoc.metrics.histogram import Histogram, end_ns

GROUP = 256
"""Timers that are deflated together."""
_SIZES = struct.Struct("<HIII")
"""Of a group: timers, and bytes of each deflated column."""
_WIDTHS = "BHIQ"
"""Types of numbers, by two bits: the lowest are those of distances, the next those of counts."""
_WIDTH = [array(kind).itemsize for kind in _WIDTHS]
_MAX_COUNT = (1 << 64) - 1
_Numbers = Sequence[int]


def pack(histograms: Sequence[Histogram]) -> Iterator[bytes]:
    """The groups of some histograms."""
    for begin in range(0, len(histograms), GROUP):
        yield _group(histograms[begin : begin + GROUP])


def _group(histograms: Sequence[Histogram]) -> bytes:
    sizes, firsts, below = array("H"), array("H"), array("q")
    widths, steps, counts = bytearray(), bytearray(), bytearray()
    for one in histograms:
        cells = sorted(one.cells)
        sizes.append(len(cells))
        firsts.append(cells[0] if cells else 0)
        below.append(end_ns(cells[-1] if cells else 0) - one.max_ns)
        step_width = _append(steps, [after - before for before, after in pairwise(cells)])
        widths.append(step_width | _append(counts, [one.cells[cell] for cell in cells]) << 2)
    about = b"".join((_bytes(sizes), widths, _bytes(firsts), _bytes(below)))
    columns = [_deflated(one) for one in (about, steps, counts)]
    return b"".join((_SIZES.pack(len(histograms), *map(len, columns)), *columns))


def _append(column: bytearray, numbers: list[int]) -> int:
    """Append numbers as narrow as they can be; the place of their type in `_WIDTHS`."""
    try:
        column += bytes(numbers)
        return 0
    except ValueError:
        highest = max(numbers)
    width = next((n for n in (1, 2, 3) if highest >> 8 * _WIDTH[n] == 0), 3)
    column += _bytes(array(_WIDTHS[width], (min(one, _MAX_COUNT) for one in numbers)))
    return width


def _bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(kind: str, data: bytes) -> _Numbers:
    if kind == "B":
        return data
    numbers = array(kind, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _deflated(column: bytes | bytearray) -> bytes:
    # Distances and counts hardly repeat: what helps is a short code for those that are frequent.
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    return packer.compress(column) + packer.flush()


class _Group:
    """A group with its columns inflated."""

    def __init__(self, timers: int, columns: Sequence[bytes]) -> None:
        about, self._steps, self._counts = (zlib.decompress(one, -15) for one in columns)
        ends = [*accumulate((2 * timers, timers, 2 * timers, 8 * timers), initial=0)]
        parts = [about[begin:end] for begin, end in pairwise(ends)]
        self.sizes, self._widths, self._firsts, self._below = map(_numbers, "HBHq", parts)
        width = [_WIDTH[one & 3] for one in self._widths]
        lengths = map(mul, (max(0, one - 1) for one in self.sizes), width)
        self._step_at = [*accumulate(lengths, initial=0)]
        width = [_WIDTH[one >> 2] for one in self._widths]
        self._count_at = [*accumulate(map(mul, self.sizes, width), initial=0)]

    def cells(self, at: int) -> Iterator[tuple[int, int]]:
        """Cells and counts of a timer that has any, in order."""
        kinds = self._widths[at]
        steps = self._steps[self._step_at[at] : self._step_at[at + 1]]
        counts = self._counts[self._count_at[at] : self._count_at[at + 1]]
        cells = accumulate(_numbers(_WIDTHS[kinds & 3], steps), initial=self._firsts[at])
        return zip(cells, _numbers(_WIDTHS[kinds >> 2], counts), strict=True)

    def max_ns(self, last_cell: int, at: int) -> int:
        return end_ns(last_cell) - self._below[at]


class PackedTimers(Mapping[str, Histogram]):
    """Histograms by timer, each unpacked when it is looked at. One group is held unpacked."""

    def __init__(self, names: Sequence[str], groups: bytes) -> None:
        """What `pack` made of the histograms of `names`.

        Raises:
            ValueError: It is not as long as it says.
        """
        self._names = names
        self._groups = groups
        self._at: dict[str, int] = {}
        self._places: list[tuple[int, Sequence[int]]] = []
        self._open: tuple[int, _Group] | None = None
        place, timers = 0, 0
        while place < len(groups):
            try:
                count, *sizes = _SIZES.unpack_from(groups, place)
            except struct.error as error:
                raise ValueError(f"not groups of timers: {error}") from None
            ends = [*accumulate(sizes, initial=place + _SIZES.size)]
            self._places.append((count, ends))
            place, timers = ends[-1], timers + count
        if place != len(groups) or timers != len(names):
            raise ValueError(f"not the groups of {len(names)} timers")

    def add_to(self, whole: Histogram, name: str) -> None:
        """Add the durations of a timer to `whole`, if there are any."""
        found = self._find(name)
        if found is None:
            return
        group, at = found
        if not group.sizes[at]:
            return
        mine, cell = whole.cells, 0
        for cell, count in group.cells(at):  # the last one is needed below
            mine[cell] = mine.get(cell, 0) + count
        whole.max_ns = max(whole.max_ns, group.max_ns(cell, at))

    def __getitem__(self, name: str) -> Histogram:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        group, at = found
        cells = dict(group.cells(at)) if group.sizes[at] else {}
        return Histogram(cells, group.max_ns(next(reversed(cells), 0), at))

    def _find(self, name: str) -> tuple[_Group, int] | None:
        if not self._at:
            self._at = dict(zip(self._names, range(len(self._names)), strict=True))
        at = self._at.get(name)
        if at is None:
            return None
        number = at // GROUP
        if self._open is None or self._open[0] != number:
            timers, ends = self._places[number]
            columns = [self._groups[begin:end] for begin, end in pairwise(ends)]
            self._open = number, _Group(timers, columns)
        return self._open[1], at % GROUP

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def total(parts: Iterable[Mapping[str, Histogram]], name: str) -> Histogram:
    """The sum of a timer's durations in `parts`."""
    whole = Histogram()
    for part in parts:
        if isinstance(part, PackedTimers):
            part.add_to(whole, name)
        elif (one := part.get(name)) is not None:
            whole.add(one.cells, one.max_ns)
    return whole


def names(parts: Iterable[Mapping[str, Histogram]]) -> list[str]:
    """The timers that `parts` have, in order of appearance."""
    return list(dict.fromkeys(chain.from_iterable(parts)))
