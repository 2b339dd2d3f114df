"""The scenarios of `scenarios/http/` with a small real application, as processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from amoc.results.series import Tally
from tests.process.support import ROOT, Run, eventually, running
from tests.servers.web import Application

pytestmark = [pytest.mark.slow, pytest.mark.once]

USERS = 12
SCENARIOS: dict[str, tuple[dict[str, object], list[str], list[str]]] = {
    "browse_and_buy": (
        {"think": 0.1, "buyers": 0.5},
        ["POST /login", "GET /item/{n}", "POST /pay", "buy", "login"],
        ["buy.failures.payment refused", "has a price.passed", "feed.accounts.csv.used"],
    ),
    "api_with_token": (
        {"pause": 0.1},
        ["fetch a token", "POST /orders", "GET /orders/{id}", "DELETE /orders/{id}"],
        [],
    ),
    "upload": (
        {"pause": 0.2, "size": 300_000},
        ["POST /pictures", "PUT /files/{name}", "GET /files/{name}"],
        ["the file is whole.passed"],
    ),
    "rest_and_xmpp": (
        {"pause": 0.2},
        ["PUT /online/{id}", "GET /peer", "POST /received", "message_ttd"],
        ["reported"],
    ),
}
"""Each with settings that make it quick, and what it must have timed and counted."""
MAY_FAIL = {"buy"}


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with Application(tmp_path_factory.mktemp("application")) as server:
        yield server


def missing(run: Run, names: list[str]) -> set[str]:
    """Return the metrics of `names` that are not in the run's series yet, and what else is not."""
    tally = Tally.of(run.seconds())
    counters = tally.counters
    found = {one for one in names if one not in tally.timers and not counters.get(one)}
    if counters.get("http.connections_opened", 0) < USERS:
        found.add("a connection of each user")
    if counters.get("http.connections_reused", 0) < 5 * USERS:
        found.add("several requests of each")
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_runs(name: str, application: Application, tmp_path: Path) -> None:
    settings, timed, counted = SCENARIOS[name]
    where = "api" if name == "rest_and_xmpp" else "base"
    chosen = {"interarrival": 20, where: application.url, **settings}
    given = [f"--set={key}={value}" for key, value in chosen.items()]
    file = ROOT / "scenarios" / "http" / f"{name}.py"
    arguments = ("--users", str(USERS), "--stop-timeout", "30s", *given)
    with running(file, *arguments, directory=tmp_path) as run:
        wanted = [*timed, *counted]
        eventually(lambda: run.ended or not missing(run, wanted), lambda: f"{missing(run, wanted)}")
        assert not run.ended, run.output
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == []
    assert summary["users"]["finished"] == USERS
    counters = summary["counters"]
    for metric in timed:
        assert summary["timers"][metric]["count"], metric
    for metric in counted:
        assert counters[metric], metric
    failed = {one for one, n in counters.items() if one.endswith(".failures") and n}
    assert {one.removesuffix(".failures") for one in failed} - {"Aggregated"} <= MAY_FAIL
    opened, reused = counters["http.connections_opened"], counters["http.connections_reused"]
    assert USERS <= opened < reused + USERS


def test_visitors_arrive_at_their_rate(application: Application, tmp_path: Path) -> None:
    given = ("--set", f"base={application.url}", "--set", "think=0.05")
    # Stages, as a busy machine ends a run later than --duration says, and visitors would go on.
    arguments = ("--arrival-rate", "0s:30/s,3s:30/s,0s:0/s", "--max-users", "100", *given)
    file = ROOT / "scenarios" / "http" / "arrival_rate.py"
    with running(file, *arguments, directory=tmp_path) as run:
        run.end()
        summary = run.summary()
    counters = summary["counters"]
    assert summary["crashes"] == []
    assert counters["arrivals"] + counters.get("dropped", 0) == 90
    visits = counters["kind.visitor.iterations"] + counters["kind.buyer.iterations"]
    assert visits == counters["arrivals"]
    done = counters["visit.count"]  # but for those that the end has cut short
    assert 0 < done <= visits
    assert counters["visit.failures"] == 0
    assert summary["timers"]["visit.response"]["count"] == done
    assert 3 * done <= counters["GET /item/{n}.count"] <= 3 * visits
