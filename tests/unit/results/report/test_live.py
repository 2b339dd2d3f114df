"""The live page of a run always shows what a report made at that moment would show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amoc.base.clock import S_NS, now_ns
from amoc.results.report import content, page
from amoc.results.report import live as live_pages
from amoc.results.report.live import MAX_KNOWN, LivePage
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point
from amoc.results.store.reader import StoredSeries
from amoc.results.store.writer import SeriesWriter
from amoc.results.summary import rebuild
from tests.unit.results import runs


class Viewer:
    """Keeps the data it was sent, as the page's script does."""

    def __init__(self, live: LivePage) -> None:
        self.fragments: dict[str, str] = {}
        self.data: dict[str, Any] = {}
        self.version = 0
        self.drawn_anew = -1
        self.look(live)

    def look(self, live: LivePage) -> dict[str, Any]:
        """Fetch and apply the next update, and return it."""
        sent: dict[str, Any] = live.since(self.version)
        self.version = sent["version"]
        self.fragments |= sent["fragments"]
        if "data" in sent:
            self.data, self.drawn_anew = sent["data"], self.drawn_anew + 1
            return sent
        first = sent["from"]
        self.data["times"][first:] = sent["times"]
        for key, columns in sent["columns"].items():
            for line, column in zip(self.data["charts"][key]["lines"], columns, strict=True):
                line["values"][first:] = column
        for key in ("ends_s", "bands", "annotations", "spectra", "began_at"):
            self.data[key] = sent[key]
        return sent


def live_page(points: list[Point], journal: list[dict[str, Any]]) -> LivePage:
    return LivePage("run", "there/run", points, journal, 1_000)


def frozen(points: list[Point], journal: list[dict[str, Any]]) -> dict[str, object]:
    """The data drawn by a report of the same seconds."""
    made = rebuild("run", "there/run", journal, points, True)
    data, *_ = page.parts(SavedRun(Path("there/run"), made, points, journal, False))
    return data


def begun(seconds: int) -> list[dict[str, Any]]:
    """The journal of an active run."""
    return [one for one in runs.journal(seconds) if one["kind"] != "end"]


def test_an_occasional_viewer_sees_what_a_report_shows():
    source, journal = runs.points(60), begun(60)
    points: list[Point] = []
    live = live_page(points, journal)
    always, seldom = Viewer(live), Viewer(live)
    for number, point in enumerate(source):
        points.append(point)
        live.add(point)
        live.update()
        always.look(live)
        if number % 17 == 0:
            seldom.look(live)
    seldom.look(live)
    there = frozen(points, journal)
    for viewer in (always, seldom):
        shown = {**viewer.data}
        del shown["version"]
        # Lines keep the order in which they were added, which may differ from the report's.
        assert {**shown, "charts": sorted(shown["charts"])} == {
            **there,
            "charts": sorted(there["charts"]),  # type: ignore[call-overload]
        }
        assert viewer.fragments.keys() == {*content.SECTIONS}
    assert always.drawn_anew < 15, "not each second"
    assert "messages_sent" in always.fragments["tables"]


def test_a_page_starts_with_its_first_charts_and_gets_the_rest_with_the_first_update():
    live = live_page(runs.points(60), begun(60))
    viewer = Viewer(live)
    viewer.data = live.first_data()
    viewer.version = viewer.data["version"]
    charts = viewer.data["charts"].items()
    rows = {key: {len(line["values"]) for line in chart["lines"]} for key, chart in charts}
    assert rows["users"] == {len(viewer.data["times"])}
    assert rows["timer00"] == {0}
    sent = viewer.look(live)
    assert "data" not in sent
    assert sent["fragments"] == {}
    assert {**viewer.data, "version": viewer.version} == live.data()


def test_only_changes_are_sent():
    source, journal = runs.points(40), begun(40)
    points = source[:39]
    live = live_page(points, journal)
    viewer = Viewer(live)
    points.append(source[39])
    live.add(source[39])
    live.update()
    sent = viewer.look(live)
    assert "verdict" in sent["fragments"], "the duration has changed"
    assert "again" not in sent["fragments"]
    assert len(sent["times"]) == 2
    assert len(str(sent)) < 60_000


def test_a_viewer_that_was_away_too_long_gets_everything():
    live = live_page(runs.points(10), begun(10))
    viewer = Viewer(live)
    for _ in range(MAX_KNOWN + 1):
        live.update()
    assert "data" in viewer.look(live)
    assert viewer.drawn_anew == 1
    assert "data" in live.since(5_000_000), "a version of a page that there was before"


def test_the_last_update_has_the_final_summary():
    points, journal = runs.points(20), runs.journal(20)
    live = live_page(points, begun(20))
    viewer = Viewer(live)
    live.add_entries(journal[-1:])
    made = rebuild("run", "there/run", journal, points, False)
    live.update(over=True, final=made)
    sent = viewer.look(live)
    assert sent["over"]
    assert ">ok<" in sent["fragments"]["verdict"]


def test_charts_are_rebuilt_only_when_allowed():
    points = runs.points(19)
    live = live_page(points, begun(20))
    viewer = Viewer(live)
    points.append(replace(runs.points(20)[-1], gauges={"queue": 5.0}))
    live.add(points[-1])
    assert live.update(may_make=False)
    assert "data" not in viewer.look(live)
    assert live.update()
    assert "data" in viewer.look(live)
    assert any(one["title"] == "queue" for one in viewer.data["charts"].values())


def test_current_settings_are_shown_including_differences_between_nodes():
    pace = {"name": "pace", "value": "5", "source": "default", "description": "", "module": "x"}
    live = live_page(runs.points(5), runs.journal(5, settings=[pace])[:-1])

    def after(value: object, *on_nodes: str) -> str:
        arguments = {"values": {"pace": value}, **({"on_nodes": on_nodes} if on_nodes else {})}
        entry = {"kind": "command", "name": "set", "outcome": "ok", "arguments": arguments}
        live.add_entries([entry])
        return live.settings[0]["value"]

    assert after(7, "node1") == "5 (node1: 7)"
    assert after(8, "node2", "node1") == "5 (node2: 8, node1: 8)"
    assert after(9) == "9"
    assert after(7, "h1") == "9 (h1: 7)"


@pytest.mark.slow
def test_the_page_of_a_long_run_is_available_before_its_seconds_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(live_pages, "SHORT", 100)
    path, source, journal = tmp_path / "series.amoc", runs.points(260), begun(260)
    writer = SeriesWriter(path)
    for point in source[:250]:
        writer.write(point)
    stored = StoredSeries(path)
    live = LivePage("run", "there/run", stored, journal, 1_000)
    viewer = Viewer(live)

    whole = rebuild("run", "there/run", journal, source[:250], True)
    for part in ("counters", "counters_per_s", "timers", "throttles", "steps", "crashes"):
        assert live.summary[part] == whole[part], part  # type: ignore[literal-required]
    assert "health" not in live.summary
    assert "This is being evaluated: 0 % of the run" in viewer.fragments["health"]

    live.read_on(now_ns())  # one second of it
    live.update()
    assert 0 < live.read_share < 1
    for point in source[250:]:  # the run goes on meanwhile
        writer.write(point)
        stored.grow()
        live.add(point)
    live.read_on(now_ns() + 3600 * S_NS)
    live.update()
    viewer.look(live)
    assert live.read_share == 1
    assert live.summary == rebuild("run", "there/run", journal, source, True)
    assert "being evaluated" not in viewer.fragments["health"]
    writer.write(replace(source[-1], t_s=261.0))
    stored.grow()
    live.add(replace(source[-1], t_s=261.0))
    live.update()
    assert live.summary["run"]["duration_s"] == 261
