"""A run for other programs: seconds as CSV or JSON, timers as an HdrHistogram log.

All formats include everything that the run directory has of each second; CSV and the JSON document
have percentiles instead of histograms. `docs/export.md` describes each column and field.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite

from amoc.metrics.health_figures import NODE, WORKER
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import COUNTS, WAITING
from amoc.metrics.timer_statistics import FIELDS, statistics
from amoc.metrics.workers_together import labelled
from amoc.results.export.hdr_log import log_lines
from amoc.results.saved_run import SavedRun
from amoc.results.series import USERS, Point
from amoc.results.steps import TIMES, failures

THROTTLE = ("wanted_per_s", *COUNTS, WAITING)

_Cell = object
_Row = dict[str, _Cell]


def csv_lines(record: SavedRun) -> Iterator[str]:
    """Yield a header line, then a line for each second; unknown values are empty."""
    columns = _columns(record.points)
    yield _joined(columns)
    for point in record.points:
        row = _row(point)
        yield _joined([_text(row.get(column)) for column in columns])


def request_lines(record: SavedRun) -> Iterator[str]:
    """Yield a header line, then a line for each step; `Aggregated` is all requests together."""
    fields = ("count", "failures", "failed_share", "per_s", "bytes")
    responses = tuple(f"response_{field}" for field in TIMES)
    yield _joined(["name", *fields, *TIMES, *responses])
    for name, one in record.summary.get("steps", {}).items():
        response = one.get("response", {})
        told: Mapping[str, _Cell] = {
            **one,
            **one["times"],
            **{f"response_{field}": time_s for field, time_s in response.items()},
        }
        columns = (*fields, *TIMES, *responses)
        yield _joined(map(_text, [name, *(told.get(field) for field in columns)]))


def failure_lines(record: SavedRun) -> Iterator[str]:
    """Yield a header line, then a line for each step and cause, most frequent first."""
    fields = ("cause", "count", "first_s", "last_s", "user_id", "message")
    yield _joined(["name", *fields])
    for step, cause in failures(record.summary.get("steps", {})):
        told: Mapping[str, _Cell] = {**cause}
        yield _joined(map(_text, [step, *(told.get(field) for field in fields)]))


BESIDE: Mapping[str, Callable[[SavedRun], Iterator[str]]] = {
    "requests.csv": request_lines,
    "failures.csv": failure_lines,
}
"""Files written next to a CSV file."""


def json_lines(record: SavedRun) -> Iterator[str]:
    """Yield a JSON document: the summary, and the points with percentiles."""
    yield "{"
    yield f'"summary": {_json(record.summary)},'
    yield '"points": ['
    last = len(record.points) - 1
    for number, point in enumerate(record.points):
        told = point.to_json()
        if point.timers:
            told["timers"] = {name: _timer(one) for name, one in point.timers.items()}
        yield _json(told) + ("" if number == last else ",")
    yield "]}"


def second_lines(record: SavedRun) -> Iterator[str]:
    """Yield a JSON object for each second, with its histograms."""
    return (_json(point.to_json()) for point in record.points)


def hlog_lines(record: SavedRun) -> Iterator[str]:
    """Yield the timers as an HdrHistogram interval log, see `amoc.results.export.hdr_log`."""
    run = record.summary["run"]
    return log_lines(record.points, f"amoc run {run['id']}, values in nanoseconds")


FORMATS: Mapping[str, Callable[[SavedRun], Iterator[str]]] = {
    "csv": csv_lines,
    "json": json_lines,
    "jsonl": second_lines,
    "hlog": hlog_lines,
}


def _columns(points: Iterable[Point]) -> list[str]:
    """Return all columns of the points, in the order of `_row`, with names of each kind sorted."""
    names: dict[str, set[str]] = {}
    for point in points:
        for kind in ("counters", "gauges", "timers", "throttles"):
            names.setdefault(kind, set()).update(getattr(point, kind))
        workers = labelled(point.workers, point.together)
        names.setdefault("workers", set()).update(map("/".join, workers))
        names.setdefault("nodes", set()).update(node.name for node in point.nodes)
    return [
        *("t_s", "span_s", "at", "state"),
        *(f"users.{name}" for name in USERS),
        "crashes",
        *_each("counters", names, ("count", "per_s")),
        *(f"gauges.{name}" for name in sorted(names.get("gauges", ()))),
        *_each("timers", names, FIELDS),
        *_each("throttles", names, THROTTLE),
        *_each("workers", names, WORKER),
        *_each("nodes", names, NODE),
        *("controller.cpu", "controller.lag_s"),
    ]


def _each(kind: str, names: Mapping[str, Iterable[str]], fields: Iterable[str]) -> list[str]:
    fields = list(fields)
    return [f"{kind}.{name}.{field}" for name in sorted(names.get(kind, ())) for field in fields]


def _row(point: Point) -> _Row:
    row: _Row = {
        "t_s": point.t_s,
        "span_s": point.span_s,
        "at": point.at,
        "state": point.state,
        "crashes": sum(point.crashes.values()),
        "controller.cpu": point.controller_cpu,
        "controller.lag_s": point.controller_lag_s,
    }
    row |= {f"users.{name}": point.users.get(name) for name in USERS}
    for name, count in point.counters.items():
        row[f"counters.{name}.count"] = count
        row[f"counters.{name}.per_s"] = count / point.span_s if point.span_s else None
    row |= {f"gauges.{name}": value for name, value in point.gauges.items()}
    for name, timer in point.timers.items():
        if timer.count:
            row |= {f"timers.{name}.{of}": value for of, value in statistics(timer).items()}
    for name, throttle in point.throttles.items():
        row |= {f"throttles.{name}.{field}": getattr(throttle, field) for field in THROTTLE}
    for place, worker in labelled(point.workers, point.together).items():
        row |= {f"workers.{'/'.join(place)}.{field}": getattr(worker, field) for field in WORKER}
    for node in point.nodes:
        row |= {f"nodes.{node.name}.{field}": getattr(node, field) for field in NODE}
    return row


def _text(value: _Cell) -> str:
    if isinstance(value, float):
        return repr(round(value, 9)) if isfinite(value) else ""
    return "" if value is None else str(value)


def _joined(cells: Iterable[str]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(cells)
    return file.getvalue()


def _timer(timer: Histogram) -> dict[str, float]:
    return {name: round(value, 9) for name, value in statistics(timer).items()}


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
