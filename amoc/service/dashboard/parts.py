"""The dashboard's additions to the page of a run: controls, and the newest log lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from amoc.base.json_plain import JsonObject
from amoc.base.periodic_yield import PeriodicYield
from amoc.results.report import shell
from amoc.results.report.live import LivePage
from amoc.results.run_directory import RunDirectory
from amoc.results.run_list import STARTING
from amoc.results.series import Point, ThrottlePoint
from amoc.service.dashboard.declared import Declared
from amoc.service.dashboard.forms import Changes
from amoc.service.log_tail import LogTail

PACKAGE = "amoc.service.dashboard"
LOG_LINES = 100
MAX_THROTTLES = 100


def rendered(template: str, **context: object) -> str:
    """Return a template of the dashboard with its values filled in."""
    return shell.environment(PACKAGE).get_template(template).render(**context)


def add(page: LivePage, run: str, lines: Sequence[JsonObject] | None, declared: Declared) -> None:
    """Add the parts to a version of the page of a run.

    Args:
        page: The page.
        run: Id of the run.
        lines: Newest lines of its logs; None if they have not changed.
        declared: Settings that its scenario declares.
    """
    settings = declared.fields(run, page)
    page.show_fragment("controls", "" if page.is_over else controls(page.last, settings))
    if lines is not None:
        page.show_fragment("log", log(lines))


def controls(last: Point | None, settings: Sequence[tuple[str, Changes]] = ()) -> str:
    """Return the controls of a run, with values as of its last second.

    Args:
        last: The last second; None before the first one.
        settings: Settings that can be changed, see `amoc.service.dashboard.forms.changeable`.
    """
    state = last.state if last is not None else STARTING
    throttles = last.throttles if last is not None else {}
    return rendered(
        "parts/controls.html",
        state=state,
        settings=settings,
        users=last.users.get("running", 0) if last is not None else 0,
        throttles=rates(throttles),
        left_out=max(0, len(throttles) - MAX_THROTTLES),
    )


def rates(throttles: Mapping[str, ThrottlePoint]) -> list[tuple[str, str, str, int]]:
    """Return name, editable rate, executions per second, and waiting users of throttles."""
    return [
        (name, rate_text(one), f"{one.executions:,}/s", one.waiting)
        for name, one in sorted(throttles.items())[:MAX_THROTTLES]
        if one.mode != "stopped"
    ]


def rate_text(one: ThrottlePoint) -> str:
    """Return the rate of a throttle in the syntax of ``amoc throttle NAME RATE``."""
    if one.rate is None:
        return "inf"
    if not one.interval_s:
        return f"{one.rate:g}"
    per_s = one.rate / one.interval_s
    return f"{per_s:g}/s" if per_s >= 1 or not per_s else f"{per_s * 60:g}/min"


def log_of(directory: RunDirectory) -> str:
    """Return the newest lines of a run's logs as HTML."""
    tail = LogTail(directory.logs, LOG_LINES, PeriodicYield())
    tail.read_new()
    return log(tail.lines())


def log(lines: Iterable[JsonObject]) -> str:
    """Return lines of logs as HTML."""
    return rendered("parts/log.html", lines=[*lines])
