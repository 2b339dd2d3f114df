"""The answer to ``status``: figures of one moment, and kinds of users as text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status
from amoc.runtime.controller.status_answer import status_answer
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.file_loads import FileLoads

NOTHING: dict[str, Any] = {
    "nodes": [],
    "throttles": [],
    "coordinators": [],
    "barriers": [],
    "feeds": [],
}


def test_the_elapsed_time_includes_pauses():
    status = Status(state=State.PAUSED, elapsed_s=10.0, paused_s=2.0)
    answer = status_answer(status, NOTHING)
    assert answer.summary.startswith("paused, 10 s into the run, of which 2 s paused; ")
    assert (answer.elapsed_s, answer.paused_s) == (10.0, 2.0)


@pytest.mark.parametrize(
    ("arrivals", "scenario", "told"),
    [
        (None, "shop.py", "; started: 2 Buyer, 3 browser, 0 guest"),
        (
            Arrivals("5/s"),
            "shop.py",
            "; arrivals: 8, 0 dropped; iterations: 5 Buyer, 8 browser, 4 guest",
        ),
        (
            Arrivals("5/s"),
            "Buyer.py=2 browser.py=3 guest.py=5/s",
            "; arrivals: 8, 0 dropped; started: 2 Buyer, 3 browser; iterations: 4 guest",
        ),
    ],
)
def test_kinds_are_counted_by_users_or_by_iterations(arrivals, scenario, told):
    loads = FileLoads.of(scenario)
    plan: Any = SimpleNamespace(arrivals=arrivals, scenario=scenario, comment="", loads=loads)
    status = Status(plan=plan)
    status.totals.whole.counters.update(
        {
            "arrivals": 8,
            "kind.Buyer.users": 2,
            "kind.Buyer.iterations": 5,
            "kind.browser.users": 3,
            "kind.browser.iterations": 8,
            "kind.guest.users": 0,
            "kind.guest.iterations": 4,
        }
    )
    assert status_answer(status, NOTHING).summary.endswith(told)
