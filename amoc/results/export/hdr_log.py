"""Histograms for HdrHistogram's tools: its interval log, and its compressed form. Pure.

amoc's cells are those of an HdrHistogram with two significant digits from 1 to `HIGHEST_NS`: 256
cells of width one, then 128 for each power of two. So a cell's number is its index there, and
nothing is lost but the exact maximum, which has its own column in the log.

The compressed form (V2) consists of a header and a zlib stream of another header and the counts,
from the lowest cell to the highest that was hit. A count is a ZigZag LEB128 number of at most nine
bytes, and a run of n zeros is the number -n. Layout and constants are those of `AbstractHistogram`,
`ZigZagEncoding` and `HistogramLogWriter` in github.com/HdrHistogram/HdrHistogram.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from amoc.base.clock import MS_NS
from amoc.metrics.histogram import LAST_CELL, Histogram, end_ns
from amoc.results.exporters.names import Elements
from amoc.results.series import Point

HIGHEST_NS = end_ns(LAST_CELL)
DIGITS = 2
_ENDS_TAG = re.compile(r"[,\s]")
_WORD = 0x10  # counts have no fixed size
_COMPRESSED = 0x1C849304 | _WORD
_COUNTS = 0x1C849303 | _WORD
_OUTER = struct.Struct(">II")
"""Cookie, and the number of bytes that follow."""
_INNER = struct.Struct(">IIIIQQd")
"""Cookie, bytes of counts, index offset, digits, lowest, highest, conversion ratio to integers."""
_LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


def encode(histogram: Histogram) -> str:
    """Return `histogram` in HdrHistogram's compressed form, as base64; values are nanoseconds."""
    counts = b"".join(_numbers(histogram))
    inner = _INNER.pack(_COUNTS, len(counts), 0, DIGITS, 1, HIGHEST_NS, 1.0)
    packed = zlib.compress(inner + counts, 9)
    return b64encode(_OUTER.pack(_COMPRESSED, len(packed)) + packed).decode()


def _numbers(histogram: Histogram) -> Iterator[bytes]:
    reached = 0
    for cell, count in sorted(histogram.cells.items()):
        if not count:
            continue
        if gap := cell - reached:
            yield _zigzag(-gap if gap > 1 else 0)
        yield _zigzag(count)
        reached = cell + 1


def _zigzag(number: int) -> bytes:
    """Encode a 64-bit number in at most nine bytes; the ninth holds eight bits of it."""
    rest = (number << 1) ^ (number >> 63)
    written = bytearray()
    while rest > 0x7F and len(written) < 8:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


def log_lines(points: Iterable[Point], comment: str) -> Iterator[str]:
    """Yield the lines of an interval log: one per timer and point, tagged with the timer's name.

    Commas and white space, which would end a tag, are replaced with ``_``. Times are seconds since
    the first user could start, `Interval_Max` is in milliseconds, and the values in the histograms
    are nanoseconds.
    """
    yield f"#[{_one_line(comment)}]"
    yield "#[Histogram log format version 1.3]"
    tags = Elements(lambda name: _ENDS_TAG.sub("_", name))
    begun = False
    for point in points:
        if not begun:
            begun = True
            at = point.at - point.t_s
            when = datetime.fromtimestamp(at, UTC)
            yield f"#[StartTime: {at:.3f} (seconds since epoch), {when:%a %b %d %H:%M:%S UTC %Y}]"
            yield f"#[BaseTime: {at:.3f} (seconds since epoch)]"
            yield _LEGEND
        tags.learn(point.timers)
        for name, timer in sorted(point.timers.items()):
            if timer.count:
                times = f"{max(0.0, point.begin_s):.3f},{point.span_s:.3f}"
                yield f"Tag={tags[name]},{times},{timer.max_ns / MS_NS:.3f},{encode(timer)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
