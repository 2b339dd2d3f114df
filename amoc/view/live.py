"""The run while it runs: tables that renew themselves, or one plain line every few seconds.

Both read `Status` only. Whatever the run's processes print, and the events, go above the tables and
stay in the terminal's history.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import gevent
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from amoc.engine.run import Status
from amoc.engine.start_rate import USER_RATE
from amoc.engine.state import State
from amoc.figures import THROTTLE, timer_summary
from amoc.timing import S_NS, format_duration, now_ns
from amoc.view.keys import HINT
from amoc.view.summary import (
    BUILT_IN_TIMERS,
    counters_table,
    nonzero,
    timers_table,
    waiting_table,
)

REFRESH_S = 0.5
PLAIN_LINE_S = 5.0
RECENT_S = 5.0
MOST_ROWS = 30
"""Counters in the table of a terminal."""
MOST_COUNTERS = 12
"""Counters in the plain line; the summary has all."""
MOST_THROTTLES = 8
"""Throttles that are shown; there may be very many."""
_STYLE = {"info": "cyan", "warning": "yellow", "error": "bold red", "trace": "dim"}


class _Rates:
    """How fast the counters have grown lately."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, dict[str, int]]] = []

    def take(self, counters: dict[str, int], elapsed_s: float) -> dict[str, float]:
        """Rates per second over the last `RECENT_S`, with `counters` as they are now.

        Args:
            counters: Totals by name.
            elapsed_s: For how long there has been something to count; all were 0 before.
        """
        now = now_ns()
        if not self._seen:
            self._seen.append((now - int(elapsed_s * S_NS), {}))
        self._seen.append((now, counters))
        while len(self._seen) > 2 and now - self._seen[0][0] > RECENT_S * S_NS:
            del self._seen[0]
        then, before = self._seen[0]
        span_s = max((now - then) / S_NS, 1e-9)
        return {name: (count - before.get(name, 0)) / span_s for name, count in counters.items()}


class Prompting(Protocol):
    """What takes keys below the tables: `amoc.view.keyboard.Keyboard`."""

    @property
    def active(self) -> bool:
        """Whether keys are taken now."""

    @property
    def prompt(self) -> str | None:
        """The line that is being typed; None while single keys are taken."""


class LiveView:
    """Shows a run on the terminal, or line by line where there is none."""

    def __init__(self, console: Console) -> None:
        """Show on `console`; its being a terminal decides how."""
        self._console = console
        self._status = Status()
        self._rates = _Rates()
        self._live: Live | None = None
        self._task: gevent.Greenlet[[], None] | None = None
        self._keyboard: Prompting | None = None

    def attach(self, status: Status, keyboard: Prompting | None = None) -> None:
        """Show `status` from now on, and what is typed at `keyboard`."""
        self._status = status
        self._keyboard = keyboard

    def refresh(self) -> None:
        """Show now what has changed; where there is no terminal that can wait."""
        if self._live is not None:
            self._live.update(self._tables(), refresh=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._task = gevent.spawn(self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.kill()
        if self._live is not None:
            self._live.update("", refresh=True)
            self._live.stop()
            self._live = None

    def line(self, text: str) -> None:
        """Show a line that a process of the run has printed."""
        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def event(self, level: str, text: str) -> None:
        """Show something that happened."""
        prefix = "" if level == "trace" else "amoc: "
        # A terminal gets its lines broken between words; a file gets them as they are.
        whole = level == "trace" or not self._console.is_terminal
        self._console.print(Text(prefix + text, style=_STYLE.get(level, "")), soft_wrap=whole)

    def _run(self) -> None:
        beat_s = REFRESH_S if self._live is not None else PLAIN_LINE_S
        while True:
            gevent.sleep(beat_s)
            if self._live is not None:
                self.refresh()
            elif self._status.state in (State.RUNNING, State.PAUSED, State.STOPPING):
                self._console.print(Text(self.plain_line()), soft_wrap=True)

    def plain_line(self) -> str:
        """The run in one line."""
        status, figures = self._status, self._status.figures
        users = f"users: {figures.running} running, {status.waiting} to start,"
        parts = [
            f"{format_duration(status.elapsed_s)} {status.state.value}",
            f"{users} {figures.finished} finished, {figures.crashed} crashed",
        ]
        counters = nonzero(figures.counters())
        throttles = _in_use(figures.throttles())
        rates = self._rates_of(counters, throttles)
        shown = list(counters.items())[:MOST_COUNTERS]
        parts += [f"{name} {count} ({rates[name]:.1f}/s)" for name, count in shown]
        if len(counters) > MOST_COUNTERS:
            parts.append(f"{len(counters) - MOST_COUNTERS} more counters")
        parts += [
            f"throttle {name} {counts['executions']} ({rates[THROTTLE + name]:.1f}/s,"
            f" {counts['waiting']} waiting)"
            for name, counts in throttles.items()
        ]
        for name, timer in figures.timers().items():
            if name not in BUILT_IN_TIMERS and timer.count:
                p50, p99 = timer.quantiles_s(0.5, 0.99)
                parts.append(f"{name} p50 {format_duration(p50)} p99 {format_duration(p99)}")
        return " | ".join(parts)

    def _rates_of(
        self, counters: Mapping[str, int], throttles: Mapping[str, Mapping[str, int]]
    ) -> dict[str, float]:
        passed = {THROTTLE + name: one["executions"] for name, one in throttles.items()}
        return self._rates.take({**counters, **passed}, self._status.elapsed_s)

    def _tables(self) -> RenderableType:
        status, figures = self._status, self._status.figures
        parts: list[RenderableType] = [self._head()]
        counters = nonzero(figures.counters())
        throttles = _in_use(figures.throttles())
        rates = self._rates_of(counters, throttles)
        if counters:
            first = dict(list(counters.items())[:MOST_ROWS])
            parts += ["", counters_table(first, status.elapsed_s, rates)]
            if len(counters) > MOST_ROWS:
                parts.append(Text(f"and {len(counters) - MOST_ROWS} more", style="dim"))
        if throttles:
            now = {name: rates[THROTTLE + name] for name in throttles}
            parts += ["", waiting_table(throttles, now)]
        timers = {
            name: timer
            for name, timer in figures.timers().items()
            if name not in BUILT_IN_TIMERS and timer.count
        }
        if timers:
            shown = {name: timer_summary(timer) for name, timer in timers.items()}
            parts += ["", timers_table(shown)]
        workers = [
            f"{one.slot}: {one.users} users, lag p99 {format_duration(one.loop_lag_p99_s)}"
            for one in figures.workers()[:8]
        ]
        if workers:
            parts += ["", Text("workers  " + "   ".join(workers), style="dim")]
        if self._keyboard is not None and self._keyboard.active:
            parts += ["", self._foot(self._keyboard.prompt)]
        return Group(*parts)

    def _foot(self, typed: str | None) -> Text:
        """The line that is being typed, its end where it is too long; or what the keys are."""
        if typed is None:
            return Text(HINT, style="dim", no_wrap=True, overflow="ellipsis")
        room = max(1, self._console.width - 3)
        return Text.assemble((":", "bold"), typed[-room:], (" ", "reverse"))

    def _head(self) -> Text:
        status, figures = self._status, self._status.figures
        plan = status.plan
        left = ""
        if plan is not None and plan.duration_s is not None and status.state is State.RUNNING:
            gone_s = status.elapsed_s - status.paused_s
            left = f", {format_duration(max(0.0, plan.duration_s - gone_s))} left"
        return Text.assemble(
            (f"{plan.scenario if plan else ''} ", "bold"),
            (status.state.value, "green" if status.state is State.RUNNING else "yellow"),
            f" {format_duration(status.elapsed_s)}{left}\nusers: ",
            (f"{figures.running:,}", "bold"),
            f" running, {status.waiting:,} to start, {figures.finished:,} finished, ",
            (f"{figures.crashed:,} crashed", "bold red" if figures.crashed else ""),
            f", {figures.starts_per_s:,.0f} starts/s",
        )


def _in_use(throttles: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """The throttles that somebody came to, the first `MOST_THROTTLES`; not that of user starts."""
    used = [name for name, one in throttles.items() if one["requests"] and name != USER_RATE]
    return {name: throttles[name] for name in used[:MOST_THROTTLES]}
