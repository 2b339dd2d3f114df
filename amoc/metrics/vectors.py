"""Arithmetic on the cells of many timers at once, in plain Python or with NumPy. Pure.

A process with few timers does not need NumPy, which takes 15 MB and a tenth of a second to load;
one with a thousand would spend a tenth of a core without it. So each function here has two
equivalent bodies, and `use` chooses between them. Arguments and results are arrays of the standard
library in both cases:

    I   keys: a timer's number times `CELLS` plus the cell; indices of rows; positions of cells
    Q   counts

A row is `ROW` neighbouring cells of a timer. Most rows of most timers are never hit, and are
neither stored nor processed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, compress, groupby
from operator import ne, sub
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from amoc.metrics.histogram import CELLS, ROW

if TYPE_CHECKING:
    from numpy import uint32, uint64
    from numpy.typing import NDArray

ROW_BYTES = ROW * 8

Keys: TypeAlias = "array[int]"
Counts: TypeAlias = "array[int]"
Cells: TypeAlias = "Sequence[int] | memoryview[int] | array[int]"

_np: Any = None  # Any: NumPy, if it is there; checkers may lack it


def use(numpy: ModuleType | None) -> None:
    """Use the module `numpy` from now on; None: plain Python."""
    global _np
    _np = numpy


def at_once() -> int:
    """Return how many cells are processed in about a millisecond."""
    return 8_000 if _np is not None else 1_000


def rows_at_once() -> int:
    """Return how many rows are compared with their previous contents in about a millisecond."""
    return 512 if _np is not None else 128


def keys_of(numbers: Keys, ends: Cells, cells: Cells) -> Keys:
    """Return the keys of timers' cells: those of timer `numbers[n]` end at `ends[n]`."""
    if _np is not None:
        sizes = _np.diff(_np.asarray(ends), prepend=_np.uint32(0))
        return _array("I", _np.repeat(_np.asarray(numbers), sizes) * CELLS + _np.asarray(cells))
    keys, begin = array("I"), 0
    for number, end in zip(numbers, ends, strict=True):
        base = number * CELLS
        keys.extend(base + cell for cell in cells[begin:end])
        begin = end
    return keys


def steps_of(cells: Cells, ends: Cells) -> array[int]:
    """Return each cell's distance from the previous one in its timer, 0 for the first.

    Args:
        cells: The cells of all timers, as unsigned 16-bit numbers; ascending in each.
        ends: The end of the cells of each.
    """
    if _np is not None and len(cells):
        steps = _np.diff(_np.asarray(cells), prepend=cells[:1])  # modulo 2**16 at the borders
        begins = _np.append(_np.uint32(0), _np.asarray(ends))
        steps[begins[begins < len(cells)]] = 0
        return _array("H", steps)
    found, begin = array("H"), 0
    for end in ends:
        if begin < end:
            some = cells[begin:end]
            found.append(0)
            found.extend(map(sub, some[1:], some))
        begin = end
    return found


def highest(numbers: Cells) -> int:
    """Return the highest of the numbers; 0 if there are none."""
    if _np is not None and len(numbers):
        return int(_np.asarray(numbers).max())
    return max(numbers, default=0)


def risen(steps: Cells, firsts: Cells, ends: Cells) -> array[int]:
    """Return the cells of timers, as unsigned 16-bit numbers.

    Args:
        steps: Each cell's distance from the previous one in its timer, 0 for the first.
        firsts: The first cell of each timer.
        ends: The end of the cells of each.
    """
    if _np is not None and len(steps):
        sizes = _np.diff(_np.asarray(ends), prepend=_np.uint32(0))
        reached = _np.cumsum(_np.asarray(steps), dtype=_np.int64)
        starts = (_np.asarray(ends) - sizes)[sizes > 0]
        bases = _np.asarray(firsts)[sizes > 0] - reached[starts]
        return _array("H", reached + _np.repeat(bases, sizes[sizes > 0]))
    cells, begin = array("H"), 0
    for first, end in zip(firsts, ends, strict=True):
        if begin < end:
            cells.extend(accumulate(steps[begin + 1 : end], initial=first))
        begin = end
    return cells


def grouped(keys: Keys) -> tuple[list[int], Keys, Keys]:
    """Return the timers that keys belong to; the keys of each must be contiguous.

    Returns:
        Their numbers, the end of the cells of each, and the cells, as unsigned 16-bit numbers.
    """
    if _np is not None and len(keys):
        numbers, cells = _np.divmod(_np.asarray(keys), CELLS)
        ends = _np.append(_np.flatnonzero(_np.diff(numbers)) + 1, len(keys))
        return numbers[ends - 1].tolist(), _array("I", ends), _array("H", cells)
    found, ends, every = [], array("I"), list[int]()
    for number, some in groupby(keys, CELLS.__rfloordiv__):
        found.append(number)
        base = number * CELLS
        every += [key - base for key in some]
        ends.append(len(every))
    return found, ends, array("H", every)


def highest_of(keys: Keys) -> dict[int, int]:
    """Return the highest key of each timer, by its number; keys are contiguous and ascending."""
    if _np is not None and len(keys):
        numbers, every = _np.asarray(keys) // CELLS, _np.asarray(keys)
        last = _np.append(_np.flatnonzero(_np.diff(numbers)), len(keys) - 1)
        return dict(zip(numbers[last].tolist(), every[last].tolist(), strict=True))
    return dict(zip(map(CELLS.__rfloordiv__, keys), keys, strict=True))


def sums(counts: Cells, ends: Cells) -> Counts:
    """Return the sum of each part of `counts`; the parts end at `ends`."""
    if _np is not None:
        reached = _np.append(_np.uint64(0), _np.cumsum(_np.asarray(counts)))
        return _array("Q", _np.diff(reached[_np.asarray(ends)], prepend=_np.uint64(0)))
    found, begin = array("Q"), 0
    for end in ends:
        found.append(sum(counts[begin:end]))
        begin = end
    return found


def united(several: Iterable[Keys]) -> Keys:
    """Return the union of the keys, sorted."""
    if _np is not None:
        keys = _np.concatenate([_np.empty(0, _np.uint32), *map(_np.asarray, several)])
        keys.sort()  # takes a third of the time of numpy.unique()
        return _array("I", keys[_np.diff(keys, prepend=_np.int64(-1)) != 0])
    return array("I", sorted({key for one in several for key in one}))


def renumbered(keys: Keys, numbers: Keys) -> Keys:
    """Return the keys of the same cells after renumbering timer n to `numbers[n]`."""
    if _np is not None:
        every, to = _np.asarray(keys), _np.asarray(numbers)
        return _array("I", to[every // CELLS] * CELLS + every % CELLS)
    return array("I", [numbers[key // CELLS] * CELLS + key % CELLS for key in keys])


def gathered(several: Sequence[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    """Return the union of the keys, sorted, with the sums of their counts."""
    if _np is not None:
        keys, counts = (
            _np.concatenate([*map(_np.asarray, one)]) for one in zip(*several, strict=True)
        )
        order = _np.argsort(keys, kind="stable")
        rising, counts = keys[order], counts[order]
        begins = _np.flatnonzero(_np.diff(rising, prepend=_np.int64(-1)))
        sums = _np.add.reduceat(counts, begins) if len(begins) else counts
        return _array("I", rising[begins]), _array("Q", sums)
    known: dict[int, int] = {}
    for keys, counts in several:
        for key, count in zip(keys, counts, strict=True):
            known[key] = known.get(key, 0) + count
    rising = sorted(known)
    return array("I", rising), array("Q", map(known.__getitem__, rising))


def new_rows(index: array[int], keys: Keys) -> list[int]:
    """Return the rows of `keys` that have no place in `index`, where they are -1."""
    if _np is not None:
        rows = _np.asarray(keys) // ROW
        missing = rows[_np.asarray(index)[rows] < 0]
        return sorted(set(missing.tolist()))
    return sorted(row for row in {key // ROW for key in keys} if index[row] < 0)


def add_at(cells: Counts, index: array[int], keys: Keys, counts: Cells) -> None:
    """Add `counts` to the cells that `index` gives for `keys`, which must be distinct."""
    if _np is not None:
        keys_, into = _np.asarray(keys), _np.asarray(cells)
        into[_np.asarray(index)[keys_ // ROW] * ROW + keys_ % ROW] += _np.asarray(counts)
        return
    for key, count in zip(keys, counts, strict=True):
        cells[index[key // ROW] * ROW + key % ROW] += count


def at(cells: Counts, index: array[int], keys: Keys) -> Counts:
    """Return the contents of the cells that `index` gives for `keys`."""
    if _np is not None:
        keys_ = _np.asarray(keys)
        places = _np.asarray(index)[keys_ // ROW] * ROW + keys_ % ROW
        return _array("Q", _np.asarray(cells)[places])
    return array("Q", (cells[index[key // ROW] * ROW + key % ROW] for key in keys))


def raise_at(cells: Counts, index: array[int], keys: Keys, totals: Cells) -> tuple[Keys, Counts]:
    """Raise the cells to `totals` where these are greater; return the keys and the growth."""
    if _np is not None:
        keys_, into, said = _np.asarray(keys), _np.asarray(cells), _np.asarray(totals)
        places = _np.asarray(index)[keys_ // ROW] * ROW + keys_ % ROW
        known = into[places]
        more = said > known
        into[places[more]] = said[more]
        return _array("I", keys_[more]), _array("Q", said[more] - known[more])
    grown, by = list[int](), list[int]()
    for key, total in zip(keys, totals, strict=True):
        place = index[key // ROW] * ROW + key % ROW
        if (growth := total - cells[place]) > 0:
            grown.append(key)
            by.append(growth)
            cells[place] = total
    return array("I", grown), array("Q", by)


def hit(cells: Counts, index: array[int]) -> tuple[Keys, Counts]:
    """Return the keys of all cells that are not zero, sorted, and their contents."""
    if _np is not None:
        places = _np.asarray(index)
        rows = _np.flatnonzero(places >= 0)
        held = _np.asarray(cells).reshape(-1, ROW)[places[rows]].ravel()
        where = _np.flatnonzero(held)
        return _array("I", rows[where // ROW] * ROW + where % ROW), _array("Q", held[where])
    keys, counts = array("I"), array("Q")
    for row, place in enumerate(index):
        if place >= 0:
            for cell, count in enumerate(cells[place * ROW : (place + 1) * ROW], row * ROW):
                if count:
                    keys.append(cell)
                    counts.append(count)
    return keys, counts


def changed(
    memory: memoryview[int], places: Keys, rows: Keys, before: bytearray, begin: int, end: int
) -> tuple[Keys, Counts]:
    """Find what has grown in some rows of a board, and update `before`.

    Args:
        memory: The board's cells, a whole number of rows.
        places: The index of each row in `memory`.
        rows: The index of each row among those of all timers: key // `ROW`.
        before: The previous contents of the rows, one after the other; updated.
        begin: The first row to compare.
        end: The end of the rows to compare.

    Returns:
        The keys of the cells that have grown, and by how much.
    """
    if _np is not None:
        board = _np.frombuffer(memory, _np.uint64).reshape(-1, ROW)
        now = board[_np.asarray(places)[begin:end]].ravel()
        old = _np.frombuffer(before, _np.uint64)[begin * ROW : end * ROW]
        where = _np.flatnonzero(now != old)
        by = now[where] - old[where]
        old[where] = now[where]
        bases = _np.asarray(rows)[begin:end][where // ROW] * ROW
        return _array("I", bases + where % ROW), _array("Q", by)
    keys, grown = array("I"), array("Q")
    for number in range(begin, end):
        start = places[number] * ROW_BYTES
        raw = bytes(memory[start : start + ROW_BYTES])
        known = before[number * ROW_BYTES : (number + 1) * ROW_BYTES]
        if raw != known:
            base = rows[number] * ROW
            now, old = memoryview(raw).cast("Q"), memoryview(known).cast("Q")
            for cell in compress(range(ROW), map(ne, now, old)):
                keys.append(base + cell)
                grown.append(now[cell] - old[cell])
            before[number * ROW_BYTES : (number + 1) * ROW_BYTES] = raw
    return keys, grown


def _array(code: str, values: NDArray[uint32 | uint64]) -> array[int]:
    found = array(code)
    found.frombytes(values.astype(code, copy=False).tobytes())
    return found
