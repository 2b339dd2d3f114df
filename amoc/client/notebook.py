"""A run in a notebook: verdict, charts and a table of requests. Pure.

It is a single piece of HTML with inline styles and no scripts, so it also displays where notebooks
are only viewed. All texts of the run are escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from html import escape

from amoc.metrics.step_names import AGGREGATED, COUNT, FAILURES
from amoc.results.counts import counter
from amoc.results.report.columns import Column, latest, rates
from amoc.results.report.downsample import downsample
from amoc.results.report.headline import headline
from amoc.results.report.rows import Row
from amoc.results.report.texts import clip, figure, moment
from amoc.results.series import Point
from amoc.results.step_rows import HEADS, cells
from amoc.results.steps import executed
from amoc.results.summary_types import Measured, Summary

MAX_ROWS = 240
MAX_REQUESTS = 30
WIDTH, HEIGHT, LEFT = 640, 72, 8
_TONES = {"good": "#1a7f37", "bad": "#cf222e", "doubt": "#9a6700"}


def page(
    summary: Summary, part: Measured, points: Collection[Point], link: tuple[str, str] | None
) -> str:
    """Return the run as HTML.

    Args:
        summary: Its summary.
        part: The part of the summary to take figures from.
        points: Its seconds.
        link: Address and text of a link to the full report.
    """
    return "".join(_parts(summary, part, points, link))


def _parts(
    summary: Summary, part: Measured, points: Collection[Point], link: tuple[str, str] | None
) -> Iterator[str]:
    run, head = summary["run"], headline(summary["run"])
    colour = _TONES.get(head.tone, "inherit")
    yield '<div style="max-width:60em">'
    yield f'<p><b style="color:{colour}">{escape(head.word)}</b> {escape(head.sentence)} '
    took = figure(run["duration_s"], "s")
    yield f"<code>{escape(clip(run['scenario']))}</code>, {escape(took)}, "
    yield f"{int(summary['users'].get('peak', 0)):,} users at most</p>"
    yield from _listed(head.reasons)
    yield from _charts(part, points)
    yield from _table(part)
    if link is not None:
        address, said = link
        yield f'<p><a href="{escape(address, quote=True)}">{escape(said)}</a></p>'
    yield "</div>"


def _listed(texts: Iterable[str]) -> Iterator[str]:
    rows = "".join(f"<li>{escape(clip(text))}</li>" for text in texts)
    if rows:
        yield f"<ul>{rows}</ul>"


def _charts(part: Measured, points: Collection[Point]) -> Iterator[str]:
    rows = downsample(points, MAX_ROWS)
    yield _chart("users", "", rows, [latest(rows, _running)])
    busiest = _busiest(part)
    if busiest is not None:
        name, counts = busiest
        title = f"{name} per second"
        if len(counts) > 1:
            title += " (red: failed)"
        yield _chart(title, "/s", rows, [rates(rows, counter(one)) for one in counts])


def _running(point: Point) -> float:
    return point.users.get("running", 0)


def _busiest(part: Measured) -> tuple[str, Sequence[str]] | None:
    """Return the name and counters of the busiest metric: requests, or else a counter."""
    counters = part["counters"]
    if counters.get(AGGREGATED + COUNT):
        return "requests", (AGGREGATED + COUNT, AGGREGATED + FAILURES)
    name = max(counters, key=lambda one: counters[one], default=None)
    return (clip(name, 40), (name,)) if name is not None and counters[name] else None


def _chart(title: str, unit: str, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Return a line chart over time, with maximum and duration in its title."""
    known = [value for column in columns for value in column if value is not None]
    top, end_s = max(known, default=0.0), rows[-1].t_s if rows else 0.0
    if not known or not end_s:
        return ""
    said = escape(f"{title}: at most {figure(top, unit)} in {moment(end_s)}", quote=True)
    lines = "".join(
        f'<path d="{_path(rows, column, end_s, top or 1.0)}" fill="none" stroke="{colour}"'
        ' stroke-width="1.5" stroke-linejoin="round"/>'
        for column, colour in zip(columns, ("#2f81f7", "#e5534b"), strict=False)
    )
    base = HEIGHT + 18
    return (
        f'<svg role="img" aria-label="{said}" viewBox="0 0 {WIDTH} {base + 16}" width="{WIDTH}"'
        ' style="max-width:100%;height:auto;display:block;font:11px sans-serif"'
        ' fill="currentColor">'
        f'<text x="{LEFT}" y="12">{said}</text>'
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{base}" y2="{base}" stroke="currentColor"'
        ' stroke-opacity="0.4"/>'
        f'{lines}<text x="{LEFT}" y="{base + 13}">0</text>'
        f'<text x="{WIDTH}" y="{base + 13}" text-anchor="end">{escape(moment(end_s))}</text></svg>'
    )


def _path(rows: Sequence[Row], column: Column, end_s: float, top: float) -> str:
    """Return a line as an SVG path, with gaps where values are missing."""
    at: Callable[[float], float] = lambda t_s: LEFT + (WIDTH - LEFT) * max(0.0, t_s) / end_s  # noqa: E731
    drawn, pen = [], "M"
    for row, value in zip(rows, column, strict=True):
        if value is None:
            pen = "M"
            continue
        drawn.append(f"{pen}{at(row.t_s):.1f} {18 + HEIGHT * (1 - value / top):.1f}")
        pen = "L"
    return "".join(drawn)


def _table(part: Measured) -> Iterator[str]:
    shown = list(executed(part.get("steps", {})).items())
    if not shown:
        return
    rows = [_row("th", ("requests", *HEADS))]
    rows += [_row("td", (clip(name, 60), *cells(one))) for name, one in shown[:MAX_REQUESTS]]
    yield f"<table>{''.join(rows)}</table>"
    if len(shown) > MAX_REQUESTS:
        yield f"<p>and {len(shown) - MAX_REQUESTS} more in the report</p>"


def _row(kind: str, texts: Sequence[str]) -> str:
    """Return a row of the table: a name, and right-aligned numbers."""
    sides = ("left", *("right" for _ in texts[1:]))
    made = (
        f'<{kind} style="padding:2px 8px;text-align:{side}">{escape(text)}</{kind}>'
        for side, text in zip(sides, texts, strict=True)
    )
    return f"<tr>{''.join(made)}</tr>"
