"""Compact storage of the histograms of many timers. Pure.

Timers are packed in groups of `GROUP`, in order. A group has three columns, deflated separately
because similar data compresses well:

- for each timer: its number of cells, its first cell, and how much the longest duration is below
  the end of its last cell, modulo 2**64;
- for each cell: its distance from the previous one in its timer, 0 for the first;
- for each cell: its count.

Nearly all distances and counts are below 256. So their lowest bytes come first, one for each cell,
then, if any are not zero, the next bytes of all, and so on. With 40 durations a second a histogram
takes about 28 bytes.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

from amoc.metrics import vectors
from amoc.metrics.histogram import Histogram, end_ns
from amoc.metrics.timer_block import TimerBlock

GROUP = 256
"""Timers that are deflated together."""
_SIZES = struct.Struct("<HIIII")
"""For a group: number of timers and cells, and size of each deflated column in bytes."""
_TWO_64 = 1 << 64
_AHEAD = 262
"""zlib's window is shorter by this many bytes than its memory allows."""


def pack(timers: Mapping[str, Histogram]) -> Iterator[bytes]:
    """Yield the groups of some timers."""
    block = TimerBlock.of(timers)
    for begin in range(0, len(block), GROUP):
        yield _group(block, begin, min(begin + GROUP, len(block)))


def _group(block: TimerBlock, begin: int, end: int) -> bytes:
    start = block.ends[begin - 1] if begin else 0
    ends = [one - start for one in block.ends[begin:end]]
    cells = array("H", block.cells[start : start + ends[-1]])
    sizes, firsts, below = array("H"), array("H"), array("Q")
    for max_ns, (first, after) in zip(block.max_ns[begin:end], pairwise((0, *ends)), strict=True):
        sizes.append(after - first)
        firsts.append(cells[first] if after > first else 0)
        below.append((end_ns(cells[after - 1] if after > first else 0) - max_ns) % _TWO_64)
    steps = vectors.steps_of(cells, array("I", ends))
    counts = array("Q", block.counts[start : start + ends[-1]])
    about = b"".join(_little(one).tobytes() for one in (sizes, firsts, below))
    # Distances and counts hardly repeat: what helps is a short code for frequent ones.
    columns = [
        deflated(one, strategy=zlib.Z_RLE) for one in (about, _planes(steps), _planes(counts))
    ]
    return b"".join((_SIZES.pack(end - begin, len(cells), *map(len, columns)), *columns))


def deflated(
    data: bytes, dictionary: bytes = b"", strategy: int = zlib.Z_DEFAULT_STRATEGY
) -> bytes:
    """Deflate `data` without a header; `dictionary` is needed to inflate it."""
    # Preparing the memory for 32 kB takes longer than packing a few hundred bytes.
    bits = min(zlib.MAX_WBITS, (len(dictionary) + len(data) + _AHEAD).bit_length())
    packer = zlib.compressobj(6, zlib.DEFLATED, -bits, bits - 7, strategy, dictionary)
    return packer.compress(data) + packer.flush()


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _planes(numbers: array[int]) -> bytes:
    """Return their lowest bytes, then the next ones, up to the last that are not all zero."""
    width = numbers.itemsize
    needed = (vectors.highest(numbers).bit_length() + 7) // 8 or 1
    data = _little(numbers).tobytes()
    return b"".join(data[plane::width] for plane in range(needed))


def _from_planes(kind: str, data: bytes, count: int) -> array[int]:
    numbers = array(kind)
    width = numbers.itemsize
    whole = bytearray(count * width)
    for plane in range(len(data) // count if count else 0):
        whole[plane::width] = data[plane * count : (plane + 1) * count]
    numbers.frombytes(bytes(whole))
    return _little(numbers)


class _Group:
    """A group with its columns inflated."""

    def __init__(self, timers: int, cells: int, columns: Sequence[bytes]) -> None:
        about, steps, counts = (zlib.decompress(one, -zlib.MAX_WBITS) for one in columns)
        ends = [*accumulate((2 * timers, 2 * timers, 8 * timers), initial=0)]
        sizes, self._firsts, self._below = (
            _little(array(kind, about[begin:end]))
            for kind, (begin, end) in zip("HHQ", pairwise(ends), strict=True)
        )
        self._steps = _from_planes("H", steps, cells)
        self._counts = _from_planes("Q", counts, cells)
        self._ends = array("I", accumulate(sizes, initial=0))

    def timer(self, at: int) -> Histogram:
        cells, counts = self._cells(at)
        return Histogram(
            dict(zip(cells, counts, strict=True)), self._max_ns(cells[-1] if cells else 0, at)
        )

    def add_to(self, whole: Histogram, at: int) -> None:
        cells, counts = self._cells(at)
        mine, more = whole.cells, zip(cells, counts, strict=True)
        if not mine:
            mine.update(more)
        for cell, count in more:
            mine[cell] = mine.get(cell, 0) + count
        if cells:
            whole.max_ns = max(whole.max_ns, self._max_ns(cells[-1], at))

    def _cells(self, at: int) -> tuple[list[int], array[int]]:
        begin, end = self._ends[at], self._ends[at + 1]
        if begin == end:
            return [], array("Q")
        steps = accumulate(self._steps[begin + 1 : end], initial=self._firsts[at])
        return [*steps], self._counts[begin:end]

    def _max_ns(self, last: int, at: int) -> int:
        return (end_ns(last) - self._below[at]) % _TWO_64

    def extend(self, max_ns: array[int], ends: array[int], cells: array[int]) -> array[int]:
        """Add all timers to the parts of a block; return their counts."""
        before = len(cells)
        some = vectors.risen(self._steps, self._firsts, self._ends[1:])
        for at, (begin, end) in enumerate(pairwise(self._ends)):
            max_ns.append(self._max_ns(some[end - 1] if begin < end else 0, at))
            ends.append(before + end)
        cells += some
        return self._counts


class PackedTimers(Mapping[str, Histogram]):
    """Histograms by timer, each unpacked when accessed. One group at a time is kept unpacked."""

    def __init__(self, names: Sequence[str], groups: bytes) -> None:
        """Read what `pack` made from the histograms of `names`.

        Raises:
            ValueError: The data is not as long as it claims.
        """
        self._names = tuple(names)
        self._groups = groups
        self._places: list[tuple[int, int, Sequence[int]]] = []
        self._open: tuple[int, _Group] | None = None
        place, timers = 0, 0
        while place < len(groups):
            try:
                count, cells, *sizes = _SIZES.unpack_from(groups, place)
            except struct.error as error:
                raise ValueError(f"not groups of timers: {error}") from None
            ends = [*accumulate(sizes, initial=place + _SIZES.size)]
            self._places.append((count, cells, ends))
            place, timers = ends[-1], timers + count
        if place != len(groups) or timers != len(names):
            raise ValueError(f"not the groups of {len(names)} timers")

    def add_to(self, whole: Histogram, name: str) -> None:
        """Add the durations of a timer to `whole`, if there are any."""
        at = _index(self._names).get(name)
        if at is not None:
            self._group(at // GROUP).add_to(whole, at % GROUP)

    def packed(self) -> TimerBlock:
        """Return all timers as a block."""
        max_ns, ends, cells, counts = array("Q"), array("I"), array("H"), array("Q")
        for number in range(len(self._places)):
            counts += self._group(number).extend(max_ns, ends, cells)
        return TimerBlock(self._names, max_ns, ends, cells, counts)

    def __getitem__(self, name: str) -> Histogram:
        at = _index(self._names)[name]
        return self._group(at // GROUP).timer(at % GROUP)

    def _group(self, number: int) -> _Group:
        if self._open is None or self._open[0] != number:
            timers, cells, ends = self._places[number]
            columns = [self._groups[begin:end] for begin, end in pairwise(ends)]
            self._open = number, _Group(timers, cells, columns)
        return self._open[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache(maxsize=8)
def _index(names: tuple[str, ...]) -> dict[str, int]:
    """Return the index of each name; cached because most seconds have the same names."""
    return dict(zip(names, range(len(names)), strict=True))


def total(parts: Iterable[Mapping[str, Histogram]], name: str) -> Histogram:
    """Return the sum of a timer's durations in `parts`."""
    whole = Histogram()
    for part in parts:
        add_to(whole, part, name)
    return whole


def add_to(whole: Histogram, timers: Mapping[str, Histogram], name: str) -> None:
    """Add the durations of a timer to `whole`, if there are any."""
    if isinstance(timers, PackedTimers):
        timers.add_to(whole, name)
    elif (one := timers.get(name)) is not None:
        whole.add(one.cells, one.max_ns)
