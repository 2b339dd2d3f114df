"""Plain view of a run, without a terminal: a line every few seconds, and events.

It does not import anything that draws tables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self, TextIO

import gevent

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.cli.view import figures
from amoc.cli.view.stream import CONTROLS
from amoc.metrics.step_names import AGGREGATED, COUNT, FAILURES
from amoc.results.counts import busiest, counter, samples, throttle
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status

PLAIN_LINE_S = 5.0
MAX_COUNTERS = 12
MAX_TIMERS = 12
"""Maximum numbers of counters and timers in the plain line, busiest first."""


class RefreshedView(ABC):
    """A view that is refreshed regularly while it is entered."""

    interval_s: float
    _task: gevent.Greenlet[[], None] | None = None

    def __enter__(self) -> Self:
        self._task = gevent.spawn(self._run)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._task is not None:
            self._task.kill()

    def _run(self) -> None:
        while True:
            gevent.sleep(self.interval_s)
            self.refresh()

    @abstractmethod
    def refresh(self) -> None:
        """Show the current status."""


class PlainView(RefreshedView):
    """Shows a run on a stream that is not a terminal, or on a terminal that cannot have tables."""

    interval_s = PLAIN_LINE_S

    def __init__(self, stream: TextIO, status: Status) -> None:
        """Show `status` on `stream`; see `amoc.cli.view.stream.prepared`."""
        self._stream = stream
        self._status = status

    def line(self, text: str) -> None:
        """Show a line of output of the run's processes, without its colours."""
        from rich.text import Text  # imported here, as most scenarios print nothing

        shown = Text.from_ansi(text)
        shown.expand_tabs(8)
        self._write(shown.plain.translate(CONTROLS))

    def event(self, level: str, text: str) -> None:
        """Show an event."""
        self._write(event_text(level, text))

    def show(self, lines: Sequence[str]) -> None:
        """Show `lines`, as events."""
        for one in lines:
            self.event("info", one)

    def refresh(self) -> None:
        """Show the status in a line, if users run."""
        if self._status.state in (State.RUNNING, State.PAUSED, State.STOPPING):
            self._write(plain_line(self._status))

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")


def event_text(level: str, text: str) -> str:
    """Return an event without control characters, as it may quote a response of the target."""
    return printable(text, keep="\n") if level == "trace" else f"amoc: {printable(text)}"


def plain_line(status: Status) -> str:
    """Return the status of a run as one line."""
    users, whole = status.users, status.totals.whole
    resting = f" ({users['resting']} resting)" if users["resting"] else ""
    parts = [
        f"{format_duration(status.elapsed_s)} {status.state.value}",
        f"users: {users['running']} running{resting}, {users['waiting']} pending, "
        + ", ".join(f"{users[name]} {name}" for name in ("finished", "crashed")),
    ]
    now = figures.Now(status)
    if requests := whole.counters.get(AGGREGATED + COUNT, 0):
        failed = whole.counters.get(AGGREGATED + FAILURES, 0)
        per_s = now.rate(counter(AGGREGATED + COUNT))
        parts.append(f"requests {requests} ({per_s:.1f}/s), {failed} failed")
    counters = figures.other_counters(status)
    shown = sorted(busiest(counters)[:MAX_COUNTERS])
    parts += [f"{name} {counters[name]} ({now.rate(counter(name)):.1f}/s)" for name in shown]
    if len(counters) > MAX_COUNTERS:
        parts.append(f"{len(counters) - MAX_COUNTERS} more counters")
    throttles = figures.in_use(status)
    for name, one in list(throttles.items())[: figures.MAX_THROTTLES]:
        per_s = now.rate(throttle(name, "executions"))
        parts.append(f"throttle {name} {one.executions} ({per_s:.1f}/s, {one.waiting} waiting)")
    if len(throttles) > figures.MAX_THROTTLES:
        parts.append(f"{len(throttles) - figures.MAX_THROTTLES} more throttles")
    return " | ".join([*parts, *_timers(status)])


def _timers(status: Status) -> list[str]:
    """Return the timers of the plain line: percentiles of the last seconds, initially of all."""
    points, used = figures.latest(status.points, figures.RECENT_S), figures.targets(status)
    found = []
    for name in sorted(busiest(used)[:MAX_TIMERS]):
        timer = samples(points, name) if points else status.totals.whole.timers[name]
        if timer.cells:
            p50, p99 = timer.quantiles_s(0.5, 0.99)
            found.append(f"{name} p50 {format_duration(p50)} p99 {format_duration(p99)}")
    more = len(used) - MAX_TIMERS
    return [*found, *([f"{more} more timers"] if more > 0 else [])]
