"""The live view: a plain line where there is no terminal, tables where there is one."""

from __future__ import annotations

import io
import re

import gevent
import pytest
from rich.console import Console

from amoc.board import UserState
from amoc.engine.controller import RunPlan, Status
from amoc.engine.state import State
from amoc.histogram import Histogram
from amoc.messages import Sample, WorkerFigures
from amoc.view import live as live_module
from amoc.view.live import LiveView

DEADLINE_S = 10.0


def plan(duration_s=None):
    return RunPlan("chat.py", range(1, 11), duration_s, [], 1, "", 30.0, 10.0)


def status(duration_s=None, state=State.RUNNING, **parts) -> Status:
    found = Status(state=state, plan=plan(duration_s), elapsed_s=12.0, added=10)
    ttd = Histogram.of([1_000_000] * 99 + [5_000_000])
    flat = [number for item in ttd.cells.items() for number in item]
    worker = WorkerFigures(0, 1, 4711, 5, 5, 0, 0, 0, 0, 0.002, 0.002, 0.0, 0, 0, 0, 0, 0)
    found.figures.take(
        "node0",
        Sample(
            sequence=1,
            at_ns=1,
            users={UserState.RUNNING: 5, UserState.STARTING: 1, UserState.FINISHED: 4},
            users_peak=5,
            counters=parts.get("counters", {"sent": 700}),
            gauges={},
            timers={"ttd": (ttd.max_ns, flat), "loop_lag": (1000, [240, 1])},
            crashes={"ValueError": 2},
            workers=[tuple(worker)],
            host=(),
        ),
    )
    return found


def view_of(status: Status, terminal: bool = False) -> tuple[LiveView, io.StringIO]:
    file = io.StringIO()
    view = LiveView(Console(file=file, width=160, force_terminal=terminal))
    view.attach(status)
    return view, file


def test_the_plain_line_says_where_the_run_stands():
    view, _ = view_of(status())
    line = view.plain_line()
    assert line.startswith(
        "12 s running | users: 5 running, 1 to start, 4 finished, 2 crashed | sent 700"
    )
    assert re.search(r"ttd p50 (0\.99\d|1(\.0\d)?) ms p99 (0\.99\d|1(\.0\d)?) ms$", line)
    assert "loop_lag" not in line
    assert "\n" not in line


def test_the_plain_line_of_a_run_that_has_not_begun_can_be_made():
    view, _ = view_of(Status())
    assert view.plain_line() == "0 µs idle | users: 0 running, 0 to start, 0 finished, 0 crashed"


def test_rates_are_those_of_the_last_seconds(monkeypatch):
    clock = [10**15]
    monkeypatch.setattr(live_module, "now_ns", lambda: clock[0])
    rates = live_module._Rates()
    total = 0
    for per_second in [100] * 20 + [10] * 20:
        total += per_second
        clock[0] += 10**9
        found = rates.take({"sent": total, "new": 0}, 0.0)
    assert found == {"sent": pytest.approx(10.0), "new": 0.0}
    assert len(rates._seen) < 10


def test_a_counter_that_is_new_has_a_rate_from_zero(monkeypatch):
    clock = [10**15]
    monkeypatch.setattr(live_module, "now_ns", lambda: clock[0])
    rates = live_module._Rates()
    rates.take({}, 0.0)
    clock[0] += 2 * 10**9
    assert rates.take({"sent": 50}, 2.0) == {"sent": pytest.approx(25.0)}


def test_the_first_look_has_the_mean_rate_so_far():
    assert live_module._Rates().take({"sent": 50}, 2.0) == {"sent": pytest.approx(25.0, rel=0.01)}


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_and_events_are_printed_as_they_are(terminal):
    view, file = view_of(status(), terminal)
    view.line("user 3 says [red]hello[/red] [/]")
    view.event("error", "user 5 crashed: KeyError: [0] [/x]")
    view.event("trace", "Traceback …\n  [1]")
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert "user 3 says [red]hello[/red] [/]\n" in text
    assert "amoc: user 5 crashed: KeyError: [0] [/x]\n" in text
    assert "\nTraceback …\n  [1]" in text


def test_a_long_line_is_not_broken():
    view, file = view_of(status())
    view.line("x" * 1000)
    assert file.getvalue() == "x" * 1000 + "\n"


def test_without_a_terminal_a_line_comes_again_and_again_while_the_run_runs(monkeypatch):
    monkeypatch.setattr(live_module, "PLAIN_LINE_S", 0.001)
    looks = []

    class Watched(Status):
        def __getattribute__(self, name):
            looks.append(name)
            return super().__getattribute__(name)

    shown = Watched(**vars(status(state=State.STARTING)))
    view, file = view_of(shown)
    with gevent.Timeout(DEADLINE_S), view:
        while looks.count("state") < 5:
            gevent.sleep(0.001)
        assert file.getvalue() == ""
        shown.state = State.RUNNING
        while file.getvalue().count("12 s running | users: 5 running") < 3:
            gevent.sleep(0.001)
    assert "\x1b" not in file.getvalue()


def test_on_a_terminal_tables_renew_themselves_and_are_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(live_module, "REFRESH_S", 0.001)
    view, file = view_of(status(duration_s=30.0), terminal=True)
    with gevent.Timeout(DEADLINE_S), view:
        while file.getvalue().count("700") < 3:
            gevent.sleep(0.001)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert "chat.py running 12 s, 18 s left" in text
    assert re.search(r"5 running, 1 to start, 4 finished, 2 crashed", text)
    assert re.search(r"sent +700 +58\.3", text)
    assert "0: 5 users, lag p99 2 ms" in text
    assert view._task.dead


def test_a_run_without_any_figures_can_be_drawn(monkeypatch):
    monkeypatch.setattr(live_module, "REFRESH_S", 0.001)
    view, file = view_of(Status(), terminal=True)
    with gevent.Timeout(DEADLINE_S), view:
        while file.getvalue().count("idle") < 2:
            gevent.sleep(0.001)


THROTTLED = {
    "throttle.messages.requests": 130,
    "throttle.messages.executions": 120,
    "throttle.messages.missed": 0,
    "throttle.user_rate.requests": 10,
    "throttle.user_rate.executions": 10,
    "throttle.user_rate.missed": 0,
    "throttle.unused.requests": 0,
    "throttle.unused.executions": 0,
    "throttle.unused.missed": 0,
}


def test_throttles_in_use_are_shown_and_are_no_counters_of_the_scenario():
    view, file = view_of(status(counters={"sent": 700, **THROTTLED}), terminal=True)
    line = view.plain_line()
    assert "| throttle messages 120 (10.0/s, 0 waiting) |" in line
    assert "user_rate" not in line
    assert "unused" not in line
    view._console.print(view._tables())
    table = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())
    assert re.search(r"throttles\s+let through\s+now/s\s+waiting", table)
    assert re.search(r"messages\s+120", table)
    assert "throttle.messages" not in table


def test_of_very_many_throttles_some_are_shown():
    many = {f"throttle.t{n}.{kind}": 5 for n in range(100) for kind in ("requests", "executions")}
    view, _ = view_of(status(counters=many))
    assert view.plain_line().count("throttle t") == live_module.MOST_THROTTLES


def test_of_very_many_counters_some_are_shown_and_the_rest_is_counted():
    view, file = view_of(status(counters={f"c{n:03}": n + 1 for n in range(100)}), terminal=True)
    line = view.plain_line()
    assert "| c011 12 (" in line
    assert "c012" not in line
    assert f"| {100 - live_module.MOST_COUNTERS} more counters |" in line
    view._console.print(view._tables())
    assert f"and {100 - live_module.MOST_ROWS} more" in file.getvalue()
