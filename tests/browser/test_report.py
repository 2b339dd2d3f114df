"""The report in a browser: without errors, complete, readable on any screen and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from amoc.metrics.health_limits import Limits
from amoc.results.report import write
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load
from tests.browser.browser import DESKTOP, HOSTILE, PHONE, Visit
from tests.unit.results import runs

pytestmark = pytest.mark.slow

LIGHT, DARK = "rgb(246, 247, 249)", "rgb(16, 20, 24)"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A run of two minutes with a stall, a pause, a late node and hostile text."""
    points = [
        replace(
            point,
            state="paused" if 95 < point.t_s <= 100 else "running",
            late=["node1"] if 110 < point.t_s <= 112 else [],
            crashes={f"{cause}{HOSTILE}": 1 for cause in point.crashes},
            counters={**point.counters, **{f"more_{at}": at + 1 for at in range(20)}},
        )
        for point in runs.points(120, stall=range(70, 73))
    ]
    journal = runs.journal(120, comment=HOSTILE)
    cause = f"{journal[3]['cause']}{HOSTILE}"
    journal[3] |= {"cause": cause, "traceback": f"Traceback\n{HOSTILE}\n" + "wide " * 500}
    journal[5]["text"] = HOSTILE
    directory = tmp_path_factory.mktemp("run")
    runs.leave(directory / "run", points, journal)
    record = load(RunDirectory(directory / "run"))
    path = directory / "report.html"
    write(record, path)
    return path


@pytest.fixture
def visit(browser, report) -> Iterator[Visit]:
    with Visit(browser, report, **DESKTOP) as visit:
        yield visit


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_all_charts_are_drawn_without_errors_or_requests(browser, report, screen):
    with Visit(browser, report, **screen) as visit:
        visit.page.evaluate(
            "document.querySelectorAll('details').forEach((one) => one.open = true)"
        )
        visit.draw_all()
        drawn = visit.page.evaluate("amocReport.page.state.drawn.size")
        canvases = visit.page.locator("figure canvas").count()
        figures = visit.page.locator("figure .plot").count()
        assert drawn == canvases == figures > 15
        blank = visit.page.locator("[data-chart] canvas").evaluate_all(
            "(all) => all.filter((one) => one.width < 200 || one.height < 100).length"
        )
        assert blank == 0
        for chart in ("users", "counters0", "timer00", "timer01", "lag", "throttle0flow"):
            assert visit.ink(chart) > 2_000, chart
        assert visit.complaints == []
        assert visit.requests == []


def test_visible_charts_are_drawn_first_and_all_of_them_for_printing(browser, report):
    # In a browser that is never idle: an idle one also draws the charts out of sight.
    script = """
        window.requestIdleCallback = () => 0;
        const mark = performance.mark.bind(performance);
        performance.mark = (name, options) => {
            const seen = [...document.querySelectorAll("figure:has(.plot)")].filter((one) => {
                const { top, bottom } = one.getBoundingClientRect();
                return bottom > 0 && top < innerHeight && one.checkVisibility();
            });
            window.seen = seen.map((one) => Boolean(one.querySelector("canvas")));
            return mark(name, options);
        };
    """
    with Visit(browser, report, script, **DESKTOP) as visit:
        page = visit.page
        canvases = page.locator("figure canvas")
        page.evaluate("location.hash = 'load'")
        page.wait_for_function("performance.getEntriesByName('amoc-drawn').length")
        seen = page.evaluate("window.seen")
        assert len(seen) > 3
        assert all(seen)
        assert page.evaluate("performance.getEntriesByName('amoc-drawn')[0].detail") == len(seen)
        last = page.locator("[data-chart=rss]")
        assert last.locator("canvas").count() == 0
        last.scroll_into_view_if_needed()
        last.locator("canvas").wait_for()
        plots = page.locator("figure .plot").count()
        assert 0 < canvases.count() < plots
        page.evaluate(
            """() => addEventListener("beforeprint", () => {
                window.printed = document.querySelectorAll("figure canvas").length;
            })"""
        )
        page.pdf(format="A4")
        assert page.evaluate("window.printed") == plots
        assert visit.complaints == []


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_is_never_wider_than_the_screen(browser, report, screen):
    with Visit(browser, report, **screen) as visit:
        visit.page.evaluate(
            "document.querySelectorAll('details').forEach((one) => one.open = true)"
        )
        visit.draw_all()
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= screen["viewport"]["width"]
        inside = visit.page.locator("#table-timers .scroll").evaluate(
            "(one) => [one.scrollWidth, one.clientWidth]"
        )
        assert screen is DESKTOP or inside[0] > inside[1], "wide tables scroll by themselves"
        drag = visit.page.get_by_text("Drag to zoom")
        assert drag.is_visible() is (screen is DESKTOP), "a finger scrolls"


def test_hostile_text_is_shown_but_not_executed(visit):
    assert visit.page.locator("img").count() == 0
    assert visit.page.locator("script").count() == 2
    cause = visit.page.locator(".causes summary").first
    assert HOSTILE in cause.inner_text()
    cause.click()
    assert HOSTILE in visit.page.locator(".causes pre").first.inner_text()
    assert visit.complaints == []
    assert visit.requests == []


def test_an_injected_script_would_not_run(visit):
    visit.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.broken = true";
            document.body.append(script);
            const picture = "<img src=x onerror='window.broken = true'>";
            document.body.insertAdjacentHTML("beforeend", picture);
        }"""
    )
    visit.page.wait_for_function("document.images.length === 1 && document.images[0].complete")
    assert visit.page.evaluate("window.broken") is None
    assert any("Content Security Policy" in one for one in visit.complaints)
    assert len(visit.requests) == 1
    assert visit.refused == visit.requests


def test_zooming_in_one_chart_zooms_all_charts_in_and_out(visit):
    visit.draw_all()
    over = visit.page.locator("[data-chart=users] .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=4)
    visit.page.mouse.up()
    visit.page.wait_for_function("amocReport.page.state.zoom !== null")
    low, high = visit.scale("users")
    assert (low, high) == pytest.approx((30, 90), abs=3)
    for chart in ("timer00", "timer01", "lag"):
        assert visit.scale(chart) == [low, high]
    visit.page.get_by_role("button", name="Whole run").click()
    assert visit.scale("users") == visit.scale("timer00") == [0, 120]
    visit.page.mouse.dblclick(box["x"] + 50, middle)
    assert visit.page.evaluate("amocReport.page.state.zoom") is None


def test_a_chart_drawn_later_follows_the_zoom(visit):
    visit.page.evaluate("amocReport.page.setZoom([40, 60], null)")
    visit.draw_all()
    assert visit.scale("rss") == [40, 60]


def test_the_cursor_shows_values_and_marks_in_all_charts_at_once(visit):
    visit.draw_all()
    over = visit.page.locator("[data-chart=counters0] .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] * 30.5 / 120, box["y"] + 40)
    visit.page.wait_for_function(
        """() => [...document.querySelectorAll("[data-chart=timer00] .u-value")]
            .some((one) => /0:3[01] \\(.* UTC\\)/.test(one.textContent))"""
    )
    tip = visit.page.locator("[data-chart=counters0] .tip")
    assert re.match(r"1\s+half the rate \(update_settings", tip.inner_text())
    assert not visit.page.locator("[data-chart=timer00] .tip").is_visible()
    sent = visit.page.locator("[data-chart=counters0] .u-series", has_text="messages_sent")
    assert re.search(r"(9[5-9]|10[0-5])/s", sent.inner_text())


def test_service_and_response_time_share_a_scale_that_can_be_linear(visit):
    visit.draw_all()
    assert visit.scale("timer00", "y") == visit.scale("timer01", "y")
    assert visit.scale("timer00", "y")[0] > 0
    visit.page.get_by_role("button", name="linear").click()
    assert visit.scale("timer00", "y") == visit.scale("timer01", "y")
    assert visit.scale("timer00", "y")[0] == 0


def test_amocs_own_limits_are_drawn_within_the_range(visit):
    visit.draw_all()
    assert visit.scale("lag", "y")[1] >= Limits().controller_lag_s
    colour = visit.page.evaluate("amocReport.page.state.palette.limit")
    assert colour == visit.page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--doubt').trim()"
    )
    drawn = visit.page.locator("[data-chart=cpu] canvas").evaluate(
        """(canvas, colour) => {
            const wanted = colour.match(/[0-9a-f]{2}/gi).map((one) => parseInt(one, 16));
            const { width, height } = canvas;
            const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            const rows = new Set();
            for (let at = 0; at < pixels.length; at += 4) {
                if (wanted.every((one, channel) => Math.abs(pixels[at + channel] - one) < 4))
                    rows.add(Math.floor(at / 4 / width));
            }
            return rows.size;
        }""",
        colour,
    )
    assert drawn >= 2, "of the workers and of the controller"


@pytest.mark.parametrize(("scheme", "ground"), [("light", LIGHT), ("dark", DARK)])
def test_the_page_follows_the_preferred_colour_scheme(browser, report, scheme, ground):
    with Visit(browser, report, color_scheme=scheme, **DESKTOP) as visit:
        colour = "getComputedStyle(document.body).backgroundColor"
        assert visit.page.evaluate(colour) == ground
        visit.draw_all()
        before = visit.page.evaluate("amocReport.page.state.palette.lines[1]")
        other = "dark" if scheme == "light" else "light"
        visit.page.emulate_media(color_scheme=other)
        visit.page.wait_for_function(
            "(before) => amocReport.page.state.palette.lines[1] !== before", arg=before
        )
        assert visit.complaints == []


CONTRAST = """() => {
    const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
            .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (one) => {
        for (; one; one = one.parentElement) {
            const found = getComputedStyle(one).backgroundColor;
            if (found !== "rgba(0, 0, 0, 0)") return found;
        }
        return "rgb(255, 255, 255)";
    };
    const low = new Set();
    for (const one of document.querySelectorAll("body *")) {
        const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !one.checkVisibility() || one.matches("script, .u-off *")) continue;
        const pair = [light(getComputedStyle(one).color), light(ground(one))];
        if ((Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) >= 4.5) continue;
        low.add(`${one.tagName}.${one.className} ${one.textContent.slice(0, 30)}`);
    }
    return [...low];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_to_be_read(browser, report, scheme):
    with Visit(browser, report, color_scheme=scheme, **DESKTOP) as visit:
        visit.draw_all()
        assert visit.page.evaluate(CONTRAST) == []


def test_printed_pages_are_expanded_light_and_fit_the_paper(browser, report):
    with Visit(browser, report, color_scheme="dark", **DESKTOP) as visit:
        visit.page.evaluate(
            """() => addEventListener("beforeprint", () => {
                const all = (what) => document.querySelectorAll(what).length;
                window.printed = {
                    closed: all("details:not([open])"),
                    drawn: all("figure canvas"), plots: all("figure .plot"),
                    text: getComputedStyle(document.body).color,
                    widest: Math.max(...[...document.querySelectorAll("figure canvas")]
                        .map((one) => parseFloat(one.style.width || one.clientWidth))),
                };
            })"""
        )
        assert visit.page.pdf(format="A4").startswith(b"%PDF")
        printed = visit.page.evaluate("window.printed")
        assert printed["closed"] == 0
        assert printed["drawn"] == printed["plots"] > 15
        assert printed["text"] == "rgb(27, 31, 36)"
        assert printed["widest"] <= 340
        assert visit.page.locator("details[open]").count() == 0, "as it was before"
        assert visit.complaints == []


def test_each_chart_is_described_for_screen_readers(visit):
    visit.draw_all()
    for canvas in visit.page.locator("figure[data-chart] canvas").all():
        assert canvas.get_attribute("role") == "img"
        assert canvas.get_attribute("aria-label")
    words = visit.page.locator("[data-chart=users] table.words")
    assert words.locator("th[scope=row]").first.inner_text() == "running"
    headings = visit.page.locator("h1, h2, h3").evaluate_all(
        "(all) => all.map((one) => Number(one.tagName[1]))"
    )
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    bare = visit.page.locator("table th:not([scope])").evaluate_all(
        "(all) => all.filter((one) => !one.closest('.u-legend')).length"
    )
    assert bare == 0


def test_without_scripts_figures_are_shown_in_tables(browser, report):
    with Visit(browser, report, java_script_enabled=False, **DESKTOP) as visit:
        assert visit.page.locator("[data-chart=users] table.words").is_visible()
        assert not visit.page.locator("[data-chart=users] .plot").is_visible()


@pytest.mark.parametrize("seconds", [0, 1, 2])
def test_a_run_too_short_for_charts_is_shown_without_errors(browser, tmp_path, seconds):
    runs.leave(tmp_path / "run", runs.points(seconds), runs.journal(seconds))
    write(load(RunDirectory(tmp_path / "run")), tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html", **DESKTOP) as visit:
        visit.draw_all()
        assert visit.page.locator("#metrics .card").count() >= 2
        if seconds == 1:
            assert visit.ink("users") > 500
        assert visit.complaints == []


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_labels_of_large_values_are_drawn_whole(browser, tmp_path, screen):
    points = [
        replace(point, counters={**point.counters, "bytes": 123_456_789})
        for point in runs.points(20)
    ]
    runs.leave(tmp_path / "run", points, runs.journal(20))
    write(load(RunDirectory(tmp_path / "run")), tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html", **screen) as visit:
        visit.draw_all()
        blank = visit.page.evaluate(
            """() => [...document.querySelectorAll("figure canvas")].map((canvas) => {
                const pixels = canvas.getContext("2d").getImageData(0, 0, 1, canvas.height).data;
                return pixels.every((one) => one === 0);
            })"""
        )
        assert len(blank) > 3
        assert all(blank), "the leftmost column of pixels has ink if a label is cut"
