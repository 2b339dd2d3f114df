"""The page that compares two runs, as a browser shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from amoc.results.compare import page
from amoc.results.compare.comparison import compare
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load
from tests.browser.browser import DESKTOP, HOSTILE, PHONE, Visit
from tests.unit.results import runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Path:
    """A run, and another one that is slower and shorter and contains hostile text."""
    directory = tmp_path_factory.mktemp("runs")
    runs.leave(directory / "a", runs.points(60), runs.journal(60))
    slower = runs.points(40, seed=2, service_s=0.03, stall=range(20, 22))
    runs.leave(directory / "b", slower, runs.journal(40, comment=HOSTILE, scenario=HOSTILE))
    records = [load(RunDirectory(directory / name)) for name in ("a", "b")]
    page.write(compare(*records), directory / "compare.html")
    return directory / "compare.html"


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_all_charts_are_drawn_and_fit_the_screen(browser, compared, screen):
    with Visit(browser, compared, **screen) as visit:
        visit.page.evaluate(
            "document.querySelectorAll('details').forEach((one) => one.open = true)"
        )
        visit.draw_all()
        drawn = visit.page.evaluate("amocReport.page.state.drawn.size")
        assert drawn == visit.page.locator("figure .plot").count() > 8
        for chart in ("users", "timer0", "counter0", "throttle0", "lag", "cpu"):
            assert visit.ink(chart) > 2_000, chart
            assert visit.scale(chart) == [0, 60]
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= screen["viewport"]["width"]
        assert visit.complaints == []
        assert visit.requests == []


def test_differences_come_first_and_hostile_text_is_not_executed(browser, compared):
    with Visit(browser, compared, **DESKTOP) as visit:
        assert visit.page.locator("h1 .word").inner_text() == "significant changes"
        row = visit.page.locator("#changes tr", has_text="p50").first.inner_text()
        assert "slower" in row
        assert HOSTILE in visit.page.locator("header").inner_text()
        assert visit.page.locator("img").count() == 0
        assert visit.page.locator("script").count() == 2
        assert visit.complaints == []
        assert visit.requests == []
