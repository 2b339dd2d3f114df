"""The live view: tables on a terminal, a plain line elsewhere."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from amoc.cli.view import live as live_module
from amoc.cli.view import plain as plain_module
from amoc.cli.view.console import SafeConsole, table
from amoc.cli.view.figures import MAX_THROTTLES, Now, latest
from amoc.cli.view.live import LiveView
from amoc.cli.view.plain import PlainView, plain_line
from amoc.cli.view.sections import MAX_ROWS, all_of, progress
from amoc.cli.view.table_layout import Section, lines, share_out
from amoc.ipc.messages.samples import Sample
from amoc.metrics.board import UserState
from amoc.metrics.health_figures import NodePoint, WorkerPoint, sent_figures
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.workers_together import Together
from amoc.results.counts import counter
from amoc.results.series import Point, ThrottlePoint
from amoc.results.thresholds.threshold import Result
from amoc.runtime.controller.controller import RunPlan, Status
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import OperatorEvent
from amoc.scenario.load_profile import Stages
from tests.unit.results import runs

DEADLINE_S = 60.0


def plan(duration_s=None):
    return RunPlan("chat.py", range(1, 11), duration_s, [], 1, "", 30.0, 10.0)


def take(found: Status, sample: Sample) -> None:
    """Add the node's next sample to the run's totals."""
    found.totals.add(runs.feed(found.samples, sample, span_s=12.0))


def status(duration_s=None, state=State.RUNNING, **parts) -> Status:
    found = Status(state=state, plan=plan(duration_s), elapsed_s=12.0, added=10)
    ttd = Histogram.of([1_000_000] * 99 + [5_000_000])
    lag = Histogram({240: 1}, 1000)
    worker = WorkerPoint("", 0, users_peak=5, loop_lag_p99_s=0.002)
    take(
        found,
        Sample(
            sequence=1,
            at_ns=1,
            users={UserState.RUNNING: 5, UserState.STARTING: 1, UserState.FINISHED: 4},
            users_peak=5,
            counters=parts.get("counters", {"sent": 700}),
            gauges={},
            timers=TimerBlock.of({"ttd": ttd, "loop_lag": lag}).wire(),
            crashes={"ValueError": 2},
            throttles=parts.get("throttles", {}),
            waiting={},
            workers=[sent_figures(worker)],
            host=(0.0, 0, 0, 0, 0),
        ),
    )
    return found


def view_of(status: Status) -> tuple[LiveView, io.StringIO]:
    file = io.StringIO()
    return LiveView(Console(file=file, width=160, force_terminal=True), status), file


def lines_of(status: Status) -> tuple[PlainView, io.StringIO]:
    file = io.StringIO()
    return PlainView(file, status), file


VIEWS = pytest.mark.parametrize("view_of", [lines_of, view_of])


def drawn(view: LiveView, width: int, height: int) -> str:
    """The text in a window of that size."""
    file = io.StringIO()
    view.console = Console(file=file, width=width, height=height, force_terminal=True)
    view.console.print(view.drawn())
    return re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())


def test_the_plain_line_shows_the_state_of_the_run():
    line = plain_line(status())
    assert line.startswith(
        "12 s running | users: 5 running, 1 pending, 4 finished, 2 crashed | sent 700"
    )
    assert re.search(r"ttd p50 (0\.99\d|1(\.0\d)?) ms p99 (0\.99\d|1(\.0\d)?) ms$", line)
    assert "loop_lag" not in line
    assert "\n" not in line


def test_the_head_of_the_tables_names_the_targets():
    found = status()
    found.targets = ["xmpp1:5222", "https://shop.example"]
    view, _ = view_of(found)
    first, second = drawn(view, 160, 40).splitlines()[:2]
    assert first.rstrip() == "chat.py running 12 s, target xmpp1:5222, https://shop.example"
    assert second.startswith("users: 5 running")


def test_the_plain_line_works_before_the_run_has_begun():
    assert plain_line(Status()) == "0 µs idle | users: 0 running, 0 pending, 0 finished, 0 crashed"


def test_percentiles_in_the_plain_line_cover_the_last_seconds():
    found = status()
    for second in range(1, 31):
        took_ns = 9_000_000 if second <= 20 else 3_000_000
        found.points.append(
            Point(t_s=float(second), span_s=1.0, timers={"ttd": Histogram.of([took_ns])})
        )
    assert plain_line(found).endswith("| ttd p50 3 ms p99 3 ms")


def test_a_timer_without_recent_samples_is_left_out_of_the_plain_line():
    found = status()
    found.points.append(Point(t_s=1.0, span_s=1.0))
    assert "ttd" not in plain_line(found)


def test_with_many_timers_the_plain_line_shows_some_and_counts_the_rest():
    found = status()
    timer = Histogram.of([1_000_000])
    many = TimerBlock.of({f"t{number:03}": timer for number in range(100)}).wire()
    take(
        found,
        Sample(
            sequence=2,
            at_ns=2,
            users={},
            users_peak=0,
            counters={},
            gauges={},
            timers=many,
            crashes={},
            throttles={},
            waiting={},
            workers=[],
            host=(0.0, 0, 0, 0, 0),
        ),
    )
    line = plain_line(found)
    most = plain_module.MAX_TIMERS
    assert line.count(" p99 ") == most
    assert line.endswith(f"| {101 - most} more timers")  # with ttd


def test_rates_cover_the_last_seconds():
    found = Status(elapsed_s=40.0)
    for second in range(1, 41):
        count = 100 if second <= 30 else 10
        found.points.append(Point(t_s=float(second), span_s=1.0, counters={"sent": count}))
    assert Now(found).rate(counter("sent")) == pytest.approx(10.0)
    assert Now(found).rate(counter("new")) == 0.0


def test_the_rate_is_zero_before_the_first_second_is_over():
    assert Now(Status(elapsed_s=2.0)).rate(counter("sent")) == 0.0


def test_late_seconds_count_with_their_real_length():
    found = Status(elapsed_s=9.0)
    for t_s, span_s in ((1.0, 1.0), (4.0, 3.0), (5.0, 1.0)):
        found.points.append(Point(t_s=t_s, span_s=span_s, counters={"sent": 60}))
    assert [point.t_s for point in latest(found.points, 4.0)] == [4.0, 5.0]
    assert Now(found).rate(counter("sent")) == pytest.approx(36.0)


@VIEWS
def test_lines_and_events_are_printed_without_markup(view_of):
    view, file = view_of(status())
    view.line("user 3 says [red]hello[/red] [/]")
    view.event("error", "user 5 crashed: KeyError: [0] [/x]")
    view.event("trace", "Traceback …\n  [1]")
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert "user 3 says [red]hello[/red] [/]\n" in text
    assert "amoc: user 5 crashed: KeyError: [0] [/x]\n" in text
    assert "\nTraceback …\n  [1]" in text


@VIEWS
def test_text_from_a_target_cannot_move_the_cursor(view_of):
    view, file = view_of(status())
    rude = "no \x1b[2J\x1b]0;owned\x07 \x9b2J \u202eevil"
    view.event("error", f"user 5 crashed: {rude}\namoc: all is well")
    view.event("trace", f"Traceback …\n  File x\nValueError: {rude}")
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())  # amoc's own colours
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert "amoc: user 5 crashed: no  [2J ]0;owned   2J  evil amoc: all is well" in text
    assert "Traceback …\n  File x\nValueError: no  [2J" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_no_control_character_reaches_the_terminal_whatever_prints_it(terminal):
    file = io.StringIO()
    console = SafeConsole(file=file, width=160, force_terminal=terminal)
    view = LiveView(console, status())
    rude = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0)))).replace("\n", "")
    view.line(f"a{rude.replace(chr(13), '')}b\x9b2J\x1bc")
    console.print(Text(f"c{rude}d"))
    console.print(table("x", rows=[[f"e{rude}f"]]))
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    for one in "abcdef":
        assert one in text


def test_output_of_the_scenario_keeps_its_colours():
    view, file = view_of(status())
    view.line("\x1b[31mred\x1b[0m")
    assert "\x1b[31mred\x1b[0m" in file.getvalue()


def test_without_a_terminal_a_scenarios_line_is_printed_as_by_a_console():
    rude = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
    console_file = io.StringIO()
    console = SafeConsole(file=console_file, width=10_000, force_terminal=False)
    view, file = lines_of(status())
    for text in (
        "\x1b[1;31mred\x1b[0m\tand\x1b]8;;http://x\x1b\\linked",
        f"a{rude}b\n\tc",
        "",
        "ü\t漢字\t.",
    ):
        view.line(text)
        LiveView(console, status()).line(text)
    assert file.getvalue() == console_file.getvalue()


def test_a_long_line_is_not_broken():
    view, file = lines_of(status())
    view.line("x" * 1000)
    assert file.getvalue() == "x" * 1000 + "\n"


def test_without_a_terminal_a_status_line_is_printed_periodically(monkeypatch):
    monkeypatch.setattr(plain_module, "PLAIN_LINE_S", 0.001)
    looks = []

    class Watched(Status):
        def __getattribute__(self, name):
            looks.append(name)
            return super().__getattribute__(name)

    shown = Watched(**vars(status(state=State.STARTING)))
    view, file = lines_of(shown)
    with gevent.Timeout(DEADLINE_S), view:
        while looks.count("state") < 5:
            gevent.sleep(0.001)
        assert file.getvalue() == ""
        shown.state = State.RUNNING
        while file.getvalue().count("12 s running | users: 5 running") < 3:
            gevent.sleep(0.001)
    assert "\x1b" not in file.getvalue()


def test_on_a_terminal_tables_are_refreshed_and_removed_at_the_end(monkeypatch):
    monkeypatch.setattr(live_module, "REFRESH_S", 0.001)
    view, file = view_of(status(duration_s=30.0))
    with gevent.Timeout(DEADLINE_S), view:
        while file.getvalue().count("700") < 3:
            gevent.sleep(0.001)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert "chat.py running 12 s, 18 s left" in text
    assert re.search(r"5 running, 1 pending, 4 finished, 2 crashed", text)
    assert re.search(r"sent +700 +58\.3", text)
    shown = file.getvalue()
    for _ in range(20):
        gevent.sleep(0.001)
    assert file.getvalue() == shown


def test_a_run_without_data_can_be_drawn(monkeypatch):
    monkeypatch.setattr(live_module, "REFRESH_S", 0.001)
    view, file = view_of(Status())
    with gevent.Timeout(DEADLINE_S), view:
        while file.getvalue().count("idle") < 2:
            gevent.sleep(0.001)


THROTTLED = {"messages": (130, 120, 0), "user_rate": (10, 10, 0), "unused": (0, 0, 0)}


def test_throttles_in_use_are_shown_but_not_as_counters():
    found = status(throttles=THROTTLED)
    view, _ = view_of(found)
    line = plain_line(found)
    assert "| throttle messages 120 (0.0/s, 0 waiting) |" in line
    assert "user_rate" not in line
    assert "unused" not in line
    table = drawn(view, 160, 50)
    assert re.search(r"throttles +executions +target/s +now/s +waiting", table)
    assert re.search(r"messages +120", table)
    assert "throttle.messages" not in table


def test_with_many_throttles_some_are_shown_and_the_rest_is_counted():
    line = plain_line(status(throttles={f"t{n}": (5, 5, 0) for n in range(100)}))
    assert line.count("throttle t") == MAX_THROTTLES
    assert f"| {100 - MAX_THROTTLES} more throttles |" in line


def test_with_many_counters_the_busiest_are_shown_and_the_rest_is_counted():
    found = status(counters={f"c{n:03}": n + 1 for n in range(100)})
    view, _ = view_of(found)
    line = plain_line(found)
    assert re.findall(r"c\d{3}", line) == [f"c{n:03}" for n in range(88, 100)]
    assert "| c088 89 (" in line
    assert f"| {100 - plain_module.MAX_COUNTERS} more counters |" in line
    text = drawn(view, 160, 200)
    assert f"counters ({MAX_ROWS} of 100)" in text
    assert re.search(r"^c070 +71 ", text, re.MULTILINE)
    assert "c069" not in text  # the busiest are shown, by name


# Fitting into a window


def busy(**plan) -> Status:
    """A run with data in every table."""
    found = status(duration_s=60.0, counters={f"counter_{n}": 10 * n for n in range(1, 9)})
    found.plan = replace(found.plan, **plan)
    ttd = Histogram.of([3_000_000] * 50)
    for second in range(1, 13):
        found.points.append(
            Point(
                t_s=float(second),
                span_s=1.0,
                counters={"counter_1": 1},
                timers={"ttd": ttd} if second < 2 else {},
                crashes={"ValueError": 1},
                throttles={"messages": ThrottlePoint(600.0, 60.0, "run", executions=7, requests=9)},
                workers=[
                    WorkerPoint("node0", 0, users=3, cpu=0.99, lag_p99_s=0.09, fd_limit=100),
                    WorkerPoint("node0", 1, 3, users=2, cpu=0.2, lag_p99_s=0.001),
                ],
                nodes=[NodePoint("node0", 0.5, 4 << 30, 1 << 30)],
                controller_cpu=0.1,
                controller_lag_s=0.001,
            )
        )
    for number in range(8):
        found.events.append(OperatorEvent(float(number), "warning", f"event {number}"))
    found.thresholds = [
        ("crashes == 0", Result(False, 2.0, "2", "it is 2")),
        ("ttd.p99 < 1s", Result(True, 0.005, "5 ms", "")),
    ]
    return found


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 160, 300])
@pytest.mark.parametrize("height", [2, 5, 10, 15, 24, 50, 100])
def test_the_tables_fit_into_any_window(width, height):
    view, _ = view_of(busy())
    text = drawn(view, width, height)
    assert text.count("\n") <= height - 1
    assert all(len(line) <= width for line in text.splitlines())


def test_a_small_window_shows_the_essentials_and_lists_what_is_missing():
    view, _ = view_of(busy())
    text = drawn(view, 80, 20)
    for wanted in (
        "5 running",
        "thresholds so far",
        "ValueError",
        "ttd",
        "counters",
        "in a larger window",
    ):
        assert wanted in text, wanted
    assert "last events" in text.splitlines()[-1]


@pytest.mark.parametrize("height", [12, 15, 20])
def test_a_small_window_always_shows_the_newest_warning(height):
    found = busy()
    found.events.append(OperatorEvent(9.0, "error", "worker 1 \n is lost"))
    found.events.append(OperatorEvent(10.0, "info", "5 users will start"))
    view, _ = view_of(found)
    *_, event, rest = drawn(view, 80, height).splitlines()
    assert event == "last error  9 s  worker 1   is lost"
    assert rest.startswith("in a larger window: ")
    assert "last events" in rest
    assert "is lost" in drawn(view, 80, 24)


def test_without_warnings_a_small_window_shows_the_last_event():
    found = busy()
    found.events.clear()
    for number in range(4):
        found.events.append(OperatorEvent(float(number), "info", f"event {number}"))
    view, _ = view_of(found)
    assert "\nlast event  3 s  event 3\n" in drawn(view, 80, 20)
    found.events.clear()
    assert "last event" not in drawn(view, 80, 20)


def test_a_large_window_shows_everything():
    view, _ = view_of(busy())
    text = drawn(view, 160, 60)
    assert "in a larger window" not in text
    assert [line for line in text.splitlines() if "event " in line] == [
        f"{n} s  event {n}" for n in range(3, 8)
    ]
    assert re.search(r"^crashes == 0 +2 +failed$", text, re.MULTILINE)
    assert re.search(r"^ValueError +2 +1\.0$", text, re.MULTILINE)
    assert re.search(r"^ttd +100 +– +– +– +.* ms +5 ms$", text, re.MULTILINE)
    assert re.search(r"^node0/1, replaced 2× +2 +20% +1 ms", text, re.MULTILINE)
    assert re.search(r"^controller +10% +1 ms", text, re.MULTILINE)
    assert re.search(r"^host of node0 +50% +1\.0 GiB free", text, re.MULTILINE)


def test_values_near_their_limit_are_coloured():
    [workers] = [one for one in all_of(busy()) if one.title == "workers"]
    _, _, cpu, lag, *_ = workers.rows[0]
    assert cpu == ("99%", "bold red")
    assert lag == ("90 ms", "yellow")
    assert workers.rows[1][2] == "20%"


def test_a_throttles_target_rate_is_shown_next_to_its_actual_rate():
    found = busy()
    messages = ThrottlePoint(600.0, 60.0, "run", 130, 120)
    found.totals.add(Point(t_s=13.0, span_s=1.0, throttles={"messages": messages}))
    [throttles] = [one for one in all_of(found) if one.title == "throttles"]
    assert throttles.rows == [("messages", "120", "10", "7.0", "0", "0")]


def test_with_many_workers_those_nearest_to_a_limit_come_first():
    found = busy()
    many = [WorkerPoint("node0", worker, cpu=worker / 100) for worker in range(64)]
    found.points.append(Point(t_s=13.0, span_s=1.0, workers=many))
    [workers] = [one for one in all_of(found) if one.title == "workers"]
    assert workers.rows[0][0] == "node0/63"
    assert workers.count == 64 + 1
    told = [Together("node0", 32, many[1], many[-1])] * 3
    found.points.append(Point(t_s=14.0, span_s=1.0, workers=many[50:], together=told))
    [workers] = [one for one in all_of(found) if one.title == "workers"]
    assert workers.rows[0][0] == "node0/63"
    assert workers.count == 96 + 1


@pytest.mark.parametrize(
    ("plan", "elapsed_s", "paused_s", "expected"),
    [
        ({"duration_s": 30.0}, 12.0, 0.0, ", 18 s left"),
        ({"duration_s": 30.0}, 12.0, 2.0, ", 20 s left"),
        ({"duration_s": 30.0}, 31.0, 0.0, ", 0 µs left"),
        ({"duration_s": None}, 12.0, 0.0, ""),
        (
            {"duration_s": None, "stages": Stages.parse("10s:100,20s:50")},
            12.0,
            0.0,
            ", 18 s left, stage 2 of 2 to 50 users",
        ),
        (
            {"duration_s": 20.0, "stages": Stages.parse("10s:100,20s:50")},
            4.0,
            0.0,
            ", 16 s left, stage 1 of 2 to 100 users",
        ),
        ({"duration_s": 30.0, "warmup_s": 15.0}, 12.0, 0.0, ", 18 s left, warm-up for 3 s more"),
        ({"duration_s": 30.0, "warmup_s": 5.0}, 12.0, 0.0, ", 18 s left"),
        ({"duration_s": 30.0, "warmup_s": 5.0}, 12.0, 8.0, ", 26 s left, warm-up for 1 s more"),
    ],
)
def test_the_heading_shows_the_progress_of_the_plan(plan, elapsed_s, paused_s, expected):
    found = status()
    found.plan = replace(found.plan, **plan)
    found.elapsed_s, found.paused_s = elapsed_s, paused_s
    assert progress(found) == expected
    found.state = State.STOPPING
    assert progress(found) == ""


def test_thresholds_are_not_shown_during_the_warm_up():
    assert "thresholds so far" in [one.title for one in all_of(busy())]
    assert "thresholds so far" not in [one.title for one in all_of(busy(warmup_s=30.0))]
    paused = busy(warmup_s=10.0)
    paused.paused_s = 3.0
    assert "thresholds so far" not in [one.title for one in all_of(paused)]


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(-3, 120))
def test_rows_are_distributed_within_the_available_room(wanted, room):
    got = share_out(wanted, room)
    used = sum(rows + 1 for rows in got if rows)
    assert used <= max(0, room)
    assert all(0 <= rows <= want for rows, want in zip(got, wanted, strict=True))
    if any(0 < rows < want for rows, want in zip(got, wanted, strict=True)):
        assert used == room  # nothing is cut while there is room


def test_columns_are_dropped_before_names_get_too_short():
    section = Section(
        "timers", ("count", "p50"), [("a_timer_with_a_long_name", "1,234", "5 ms")], 1, (1,)
    )
    wide, narrow = (lines(section, 1, width)[1].plain for width in (60, 26))
    assert wide == "a_timer_with_a_long_name  1,234  5 ms"
    assert narrow == "a_timer_with_a_long…  5 ms"


def test_unprintable_characters_do_not_break_the_table():
    section = Section("crashes", ("total",), [("bad\n\x1b[31m 漢字" * 9, "1")], 1)
    [_, line] = lines(section, 1, 40)
    assert line.cell_len == 40
    assert "\n" not in line.plain
    assert "\x1b" not in line.plain


def test_the_aggregated_row_stays_when_rows_are_cut():
    rows = [("Aggregated", "9"), ("b", "5"), ("a", "4")]
    section = Section("requests", ("count",), rows, 3, order="total last")
    shown = [line.plain.split()[0] for line in lines(section, 3, 40)]
    assert shown == ["requests", "a", "b", "Aggregated"]
    shown = [line.plain.split()[0] for line in lines(section, 2, 40)]
    assert shown == ["requests", "b", "Aggregated"]
