"""What the page of a run that goes on is sent, and what comes after a lost connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.process.support import eventually
from tests.service.support import Daemon

pytestmark = pytest.mark.slow
TRIES = 4
"""Charts may be made anew in a run's first seconds, since some figures are known only later."""


@contextmanager
def updates(daemon: Daemon, path: str, **headers: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The updates of a stream, each with its id, until it ends."""
    line = daemon.connection()

    def events() -> Iterator[tuple[str, Any]]:
        number = ""
        while text := answer.readline().decode():
            name, _, value = text.rstrip("\n").partition(": ")
            if name == "id":
                number = value
            elif name == "data":
                yield number, json.loads(value)

    try:
        line.request("GET", path, headers=headers)
        answer = line.getresponse()
        assert answer.status == 200
        assert answer.headers.get_content_type() == "text/event-stream"
        yield events()
    finally:
        line.close()


def come_back(daemon: Daemon, run: str, number: str, rows: int) -> tuple[str, int, bool]:
    """Look again some seconds after a version with so many rows, until there are two more.

    Returns:
        The version then, its rows, and whether these were just what was missed, without a gap.
    """
    total = daemon.get(f"/runs/{run}/series")["total"]
    eventually(
        lambda: daemon.get(f"/runs/{run}/series")["total"] > total + 2, "the run goes on meanwhile"
    )
    begin = rows
    with updates(daemon, f"/dashboard/runs/{run}/events", **{"Last-Event-ID": number}) as stream:
        while rows < begin + 2:  # until the page has them, too
            again, missed = next(stream)
            assert int(again) > int(number)
            if "data" in missed:
                return again, len(missed["data"]["times"]), False
            assert rows - 2 <= missed["from"] <= rows, "without a gap"
            columns = [one for some in missed["columns"].values() for one in some]
            assert {len(one) for one in columns} == {len(missed["times"])}
            number, rows = again, missed["from"] + len(missed["times"])
    return number, rows, True


def test_a_reconnected_stream_gets_the_missed_events_and_the_end(daemon):
    run = daemon.start(users=3)
    path = f"/dashboard/runs/{run}/events"
    with updates(daemon, f"{path}?after=0") as stream:
        number, whole = next(stream)
        assert whole["data"]["version"] == whole["version"] == int(number)
        assert {"verdict", "load", "controls", "log"} <= whole["fragments"].keys()
    rows = len(whole["data"]["times"])
    for _ in range(TRIES):
        number, rows, only_missed = come_back(daemon, run, number, rows)
        if only_missed:
            break
    else:
        pytest.fail("all was sent again each time")
    with updates(daemon, path, **{"Last-Event-ID": number}) as stream:
        daemon.patch("/execution/stop", {"run": run})
        fragments: dict[str, str] = {}
        for _, last in stream:
            fragments |= last["fragments"]  # of which there are those that have changed
        assert last["over"]
        assert ">stopped<" in fragments["verdict"]
        assert fragments["controls"] == ""
    daemon.wait_for_end(run)
    page = daemon.request("GET", f"/dashboard/runs/{run}")
    assert page.status == 200
    assert b"data-live" not in page.data
    assert b'data-fragment="controls"' not in page.data


def test_pages_have_nothing_inline_and_assets_are_kept(daemon):
    page = daemon.request("GET", "/")
    assert page.status == 200
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    assert b"style=" not in page.data
    assert page.data.count(b"<script") == page.data.count(b'<script src="/assets/')
    asset = daemon.request("GET", "/assets/dashboard.js?v=1")
    assert asset.headers.get_content_type() == "text/javascript"
    assert "immutable" in asset.headers["Cache-Control"]
    assert daemon.request("GET", "/assets/pages.py").status == 404
    assert daemon.request("GET", "/assets/..%2fpages.py").status == 404
    assert daemon.request("GET", "/dashboard/runs/nothing").status == 404
    assert daemon.request("GET", "/dashboard/runs/nothing/events").status == 404


def test_texts_of_runs_are_shown_but_not_executed(daemon):
    hostile = "</script><img src=x onerror=alert(1)>"
    run = daemon.start(users=1, comment=hostile)
    try:
        for path in ("/", f"/dashboard/runs/{run}", f"/dashboard/list?q={run}"):
            assert b"<img" not in daemon.request("GET", path).data, path
        with updates(daemon, f"/dashboard/runs/{run}/events?after=0") as stream:
            _, whole = next(stream)
            assert "&lt;img src=x" in whole["fragments"]["verdict"]
            assert not any("<img" in html for html in whole["fragments"].values())
    finally:
        daemon.patch("/execution/stop", {"run": run})
        daemon.wait_for_end(run)
