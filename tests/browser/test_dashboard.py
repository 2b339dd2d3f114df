"""The dashboard in a browser: a run from its form to its report, over an unreliable connection."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from amoc.results.series import Point
from amoc.results.summary import rebuild
from tests.browser.browser import DEADLINE_MS, DESKTOP, PHONE
from tests.browser.cut_line import CutLine
from tests.process.support import DEADLINE_S, eventually
from tests.service.support import Daemon, serving
from tests.unit.results import runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

SHOP = '''
"""Customers look at things."""

import random
from typing import Annotated

from annotated_types import Interval

from amoc import setting, step, throttle, user

pause = setting(0.05, "Seconds between two looks", verify=lambda s: s >= 0, update="free")
buyers = setting("some", "How many customers buy", verify=["none", "some", "all"])
goods = setting(3, "How many are left", type=Annotated[int, Interval(ge=1, le=9)], update="free")
mood = setting("calm", "How customers feel", verify=["calm", "wild"], update="free")


def init():
    throttle.start("looks", 60, 1.0)


def start(user_id):
    while not user.stopping:
        throttle.wait("looks")
        with step("look") as this:
            if random.random() < 0.1:
                this.fail("sold out")
        if buyers.get() == "all":
            with step("buy"):
                pass
        user.wait_stopping(pause.get())
'''
SETTINGS_COME = """() => {
  const controls = document.querySelector("[data-fragment=controls]"), html = controls.innerHTML;
  for (const key of ["title-settings", "table-Settings"])
    controls.querySelector(`[data-key=${key}]`).remove();
  amocLive.show({ controls: html });
}"""
"""As if the scenario's settings became known only now."""
CUT_OFF = """[...document.querySelectorAll("#controls .scroll")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.dataset.key)"""
"""Tables of controls that need scrolling."""
READER, OPERATOR = "a-token-to-read-with", "a-token-to-run-with"
QUIET = ("Failed to load resource", "net::ERR")
"""What the console logs when the connection is cut on purpose."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("daemon")
    (directory / "scenarios").mkdir()
    (directory / "scenarios" / "shop.py").write_text(textwrap.dedent(SHOP))
    with serving(directory) as found:
        yield found


@contextmanager
def opened(browser: Browser, address: str, **context: object) -> Iterator[Page]:
    """Open a page of the dashboard; at the end, it must have logged no errors."""
    opened = browser.new_context(**context)  # type: ignore[arg-type]
    page = opened.new_page()
    page.set_default_timeout(DEADLINE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if not message.text.startswith(QUIET) else None
        ),
    )
    try:
        page.goto(address)
        yield page
        assert complaints == []
    finally:
        opened.close()


def until(page: Page, condition: str, what: str) -> None:
    """Wait for a condition; the page's security policy forbids Playwright's own way."""
    give_up = time.monotonic() + DEADLINE_S
    while not _is(page, condition):
        assert time.monotonic() < give_up, f"{what}; the page says {page.inner_text('body')[:3000]}"
        page.wait_for_timeout(50)


def _begins_at(page: Page, address: str) -> None:
    """Assert that a page opens at the section in its address, though the rest is laid out later."""
    page.goto(address)
    page.locator("html[data-drawn]").wait_for(state="attached")
    section = page.locator(f"#{urlsplit(address).fragment}")
    assert 40 < section.evaluate("(one) => one.getBoundingClientRect().top") < 60
    assert page.locator(".later").count() == 0
    page.close()


def _is(page: Page, condition: str) -> bool:
    from playwright.sync_api import Error

    try:
        return bool(page.evaluate(condition))
    except Error as error:  # it is navigating to another page
        if "navigation" not in str(error) and "not defined" not in str(error):
            raise
        return False


def seconds(page: Page) -> int:
    """Return how many seconds the charts show."""
    return int(page.evaluate("amocReport.page.data.times.length"))


def test_a_run_from_its_form_to_its_report_over_an_unreliable_connection(browser, daemon):
    with (
        CutLine(urlsplit(daemon.url).port or 0) as line,
        opened(browser, f"http://127.0.0.1:{line.port}/", **DESKTOP) as page,
    ):
        page.get_by_role("link", name="Start a run").first.click()
        page.wait_for_url("**/dashboard/start")
        page.get_by_label("Scenario").select_option("shop")
        assert page.get_by_label("buyers").input_value() == '"some"'
        page.get_by_text("How many customers buy").wait_for()
        page.get_by_label("buyers").select_option("all")
        page.get_by_label("pause", exact=True).fill("0.02")
        page.get_by_label("comment").fill("the first one")
        page.get_by_label("users", exact=True).fill("6")
        page.get_by_role("button", name="Start the run").click()
        page.wait_for_url("**/dashboard/runs/*")
        run = page.url.rpartition("/")[2]

        # Numbers move, in text and in charts.
        until(page, "amocReport.page.data.times.length > 2", "seconds are shown")
        requests = page.locator("#table-requests tr", has_text="look").locator("td").first
        before, there = requests.inner_text(), seconds(page)
        eventually(lambda: requests.inner_text() != before, "requests are counted")
        eventually(lambda: seconds(page) > there, "charts grow")
        settings = {
            one["name"]: one["value"] for one in daemon.get(f"/runs/{run}/summary")["settings"]
        }
        assert (settings["buyers"], settings["pause"]) == ("all", "0.02")

        # A rate is changed; half-typed text survives while the page changes around it.
        page.get_by_label("Annotation").fill("half typed")
        page.get_by_label("New rate of looks").fill("5/s")
        page.get_by_label("New value of goods").wait_for()
        page.evaluate(SETTINGS_COME)
        there = seconds(page)
        eventually(lambda: seconds(page) > there + 1, "charts grow")
        assert page.get_by_label("New rate of looks").input_value() == "5/s"
        page.get_by_role("button", name="Change the rate of looks").click()
        page.get_by_text("throttle looks is changed to 5/s").first.wait_for()
        until(
            page,
            "document.querySelector('[data-key=throttle-looks] td').textContent === '5/s'",
            "the new rate is shown",
        )
        assert page.get_by_label("Annotation").input_value() == "half typed"
        page.get_by_role("button", name="Add a note").click()
        page.locator("#events", has_text="half typed").wait_for()

        # Settings are changed with the same inputs as at the start, within their limits.
        goods = page.get_by_label("New value of goods")
        goods.fill("12")
        page.get_by_role("button", name="Change goods").click()
        assert goods.evaluate("(input) => input.validity.rangeOverflow")
        goods.fill("7")
        page.get_by_role("button", name="Change goods").click()
        shown = "document.querySelector('[data-key=setting-goods] td').textContent"
        until(page, f"{shown} === '7'", "the new value is shown")
        page.get_by_label("New value of mood").select_option("wild")
        page.get_by_role("button", name="Change mood").click()
        shown = shown.replace("goods", "mood")
        until(page, f"{shown} === 'wild'", "the new value is shown")
        assert page.get_by_label("New value of mood").input_value() == '"wild"'
        assert page.get_by_label("New value of buyers").count() == 0, "it is read-only"

        # The connection is cut for some seconds of the run; afterwards all of them are shown.
        line.cut()
        until(page, "document.getElementById('link').dataset.state === 'lost'", "the loss is shown")
        there, was = seconds(page), len(daemon.get(f"/runs/{run}/series")["seconds"])
        eventually(
            lambda: daemon.get(f"/runs/{run}/series?after={was + 2}")["seconds"], "the run goes on"
        )
        assert seconds(page) == there
        line.mend()
        until(page, "document.getElementById('link').dataset.state === 'live'", "it heals")
        until(page, f"amocReport.page.data.times.length > {was + 2}", "nothing is missing")
        times, users = page.evaluate(
            "[amocReport.page.data.times, amocReport.page.data.charts.users.lines[0].values]"
        )
        series = daemon.get(f"/runs/{run}/series")["seconds"]
        assert times[: was + 2] == [round(one["t_s"], 3) for one in series][: was + 2]
        assert None not in users[: was + 2]
        legend = page.locator("[data-chart=users] .u-legend .u-value").nth(1)
        page.locator("[data-chart=users]").scroll_into_view_if_needed()
        eventually(lambda: legend.inner_text() == "6", "the maximum covers all seconds")
        words = page.locator("[data-chart=users] table.words tbody tr").first
        eventually(
            lambda: words.locator("td").nth(2).inner_text() == "6", "the table says the same"
        )

        # Users come and go, the run pauses, and it ends.
        page.get_by_role("spinbutton", name="Users", exact=True).fill("3")
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_text("9 users running").wait_for()
        page.get_by_role("spinbutton", name="Users", exact=True).fill("2")
        page.get_by_role("button", name="Remove", exact=True).click()
        page.get_by_text("7 users running").wait_for()
        page.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_text("paused, 7 users running").wait_for()
        _begins_at(page.context.new_page(), f"{page.url}#throttles")
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("running, 7 users running").wait_for()
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Stop the run").click()
        until(page, "document.getElementById('link').dataset.state === 'over'", "the run is over")
        assert page.locator("h1 .word").inner_text() == "stopped"
        assert not page.locator("#controls").is_visible()
        page.get_by_role("link", name="Open the report").click()
        page.locator("#table-requests").wait_for()
        assert page.locator("h1 .word").inner_text() == "stopped"
        canvas = page.locator("[data-chart=users] canvas")
        canvas.scroll_into_view_if_needed()
        assert (canvas.bounding_box() or {})["width"] > 200


def test_runs_are_listed_searched_compared_and_deleted(browser, daemon):
    both = []
    for comment in ("compared, one", "compared, two"):
        both.append(daemon.start("shop", users=3, comment=comment))
        eventually(lambda: daemon.get(f"/runs/{both[-1]}/series")["total"] > 1, "two seconds")
        daemon.patch("/execution/stop", {"run": both[-1]})
        daemon.wait_for_end(both[-1])
    with opened(browser, daemon.url, **DESKTOP) as page:
        page.get_by_label("Search").fill("compared")
        page.get_by_role("button", name="Search").click()
        rows = page.locator("table.runs tbody tr")
        assert rows.count() == 2
        assert rows.first.get_by_role("link").inner_text() == both[1], "the newest first"
        assert "stopped" in rows.first.inner_text()
        compare = page.get_by_role("button", name="Compare the selected two")
        assert compare.is_disabled()
        for run in both:
            page.get_by_label(f"Compare {run}").check()
        compare.click()
        page.wait_for_url("**/dashboard/compare/*/*")
        assert page.url.endswith(f"/{both[0]}/{both[1]}"), "the older one is A"
        until(page, "document.querySelectorAll('canvas').length > 0", "charts are drawn")
        page.get_by_role("link", name=both[1]).click()
        page.wait_for_url(f"**/dashboard/runs/{both[1]}")
        page.go_back()
        page.get_by_role("link", name="All runs").wait_for()
        page.goto(f"{daemon.url}/dashboard/runs/{both[0]}")
        assert "compared, one" in page.locator("header").inner_text()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Cancel").click()
        assert (daemon.runs / both[0]).is_dir()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.wait_for_url(f"{daemon.url}/")
        assert not (daemon.runs / both[0]).exists()
        assert not page.get_by_role("link", name=both[0]).is_visible()
        page.get_by_role("button", name=f"Delete {both[1]}").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.get_by_text(f"{both[1]} was deleted").wait_for()
        assert not page.get_by_role("link", name=both[1]).is_visible()
        assert not (daemon.runs / both[1]).exists()


def test_zooming_into_a_long_run_shows_its_single_seconds(browser, daemon):
    points = [
        Point(float(t), 1.0, users={"running": 5}, counters={"looks": 1000 if t == 2001 else 1})
        for t in range(1, 3_701)
    ]
    journal = runs.journal(3_700)
    summary = rebuild("long", "long", journal, points, False)
    runs.leave(daemon.runs / "long", points, journal, summary)
    looks = "amocReport.page.state.detail?.columns.counters0.looks"
    with opened(browser, f"{daemon.url}/dashboard/runs/long#load", **DESKTOP) as page:
        until(page, "document.documentElement.dataset.drawn === 'all'", "all is drawn")
        assert page.evaluate("amocReport.page.data.row_s") == 3
        chart = page.locator("[data-chart=counters0]")
        legend = chart.locator(".u-legend .u-value").nth(1)
        assert legend.inner_text() == "334/s", "the mean of three seconds"
        page.get_by_text("down to single seconds").wait_for()

        page.evaluate("amocReport.page.setZoom([1990, 2010], null)")
        page.locator(".grain", has_text="single seconds").wait_for()
        values = page.evaluate(looks)
        times = page.evaluate("amocReport.page.state.detail.times")
        assert times == list(range(1991, 2011))
        assert values == [1000 if t == 2001 else 1 for t in times]
        chart.scroll_into_view_if_needed()
        eventually(lambda: legend.inner_text() == "1,000/s", "the peak of a second is shown")

        page.get_by_role("button", name="Whole run").click()
        until(page, "amocReport.page.state.detail === null", "the whole run is shown")
        eventually(lambda: legend.inner_text() == "334/s", "the mean of three seconds")
    answer = daemon.request("GET", "/dashboard/runs/long/detail?from=0&to=9000")
    assert answer.status == 422
    with opened(browser, f"{daemon.url}/runs/long/report", **DESKTOP) as page:
        page.get_by_text("Single seconds are not in this file").wait_for()


def test_a_scenario_is_uploaded_and_errors_of_a_start_are_shown(browser, daemon, tmp_path):
    file = tmp_path / "till-2.py"
    file.write_text('"""A till."""\n\n\ndef start(user_id):\n    pass\n')
    with opened(browser, f"{daemon.url}/dashboard/start", **DESKTOP) as page:
        page.get_by_label("File").set_input_files(file)
        assert page.get_by_label("Name").input_value() == "till_2"
        page.get_by_role("button", name="Upload").click()
        page.get_by_text("A till.", exact=True).wait_for()
        page.get_by_label("duration").fill("soon")
        page.get_by_role("button", name="Start the run").click()
        wrong = page.get_by_role("alert").filter(has_text="soon")
        wrong.wait_for()
        assert wrong.inner_text().startswith("duration must be a duration such as 500ms, 30s,")
        assert page.evaluate("document.activeElement.name") == "duration"
        page.locator(".field", has_text="duration").get_by_text("got 'soon'").wait_for()
        page.get_by_label("duration").fill("10s")
        page.get_by_label("users", exact=True).fill("3")
        page.get_by_label("arrival rate").fill("5/s")
        page.get_by_role("button", name="Start the run").click()
        both = "arrival rate and users are mutually exclusive; give one of them"
        page.get_by_role("alert").filter(has_text=both).wait_for()
        assert page.get_by_text("got 'soon'").count() == 0
        assert page.url.endswith("?scenario=till_2")
        page.goto(f"{daemon.url}/dashboard/runs/absent")
        page.get_by_role("heading", name="Not Found").wait_for()
        page.get_by_text("there is no run 'absent'").wait_for()
        page.get_by_role("link", name="All runs").click()
        page.wait_for_url(f"{daemon.url}/")


def axe() -> str:
    """Return the source of axe-core."""
    place = os.environ.get("AMOC_NODE_MODULES")
    if not place:
        if os.environ.get("AMOC_REQUIRE_SERVERS") == "1":
            pytest.fail("AMOC_REQUIRE_SERVERS is 1, but AMOC_NODE_MODULES is not set")
        pytest.skip("AMOC_NODE_MODULES is not set: where npm has installed axe-core@4")
    return (Path(place) / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize(
    ("scheme", "screen"), [("light", DESKTOP), ("dark", PHONE)], ids=["light", "dark-phone"]
)
def test_pages_have_no_serious_accessibility_problem_and_fit_the_screen(
    browser, daemon, scheme, screen
):
    source = axe()
    run = daemon.start("shop", users=3, comment="accessible")
    past = None
    try:
        with opened(browser, daemon.url, color_scheme=scheme, **screen) as page:

            def check(path: str) -> None:
                page.goto(f"{daemon.url}{path}")
                if path.startswith(f"/dashboard/runs/{run}"):
                    until(page, "amocReport.page.data.times.length > 1", "seconds are shown")
                page.evaluate(source)
                found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
                told = [
                    (one["impact"], one["id"], one["nodes"][0]["html"])
                    for one in found["violations"]
                ]
                assert [one for one in told if one[0] in ("serious", "critical")] == [], path
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= screen["viewport"]["width"], path
                assert page.evaluate(CUT_OFF) == [], path

            for path in (
                "/",
                "/dashboard/start?scenario=shop",
                f"/dashboard/runs/{run}",
                "/dashboard/sign-in",
            ):
                check(path)
            daemon.patch("/execution/stop", {"run": run})
            past, _ = run, daemon.wait_for_end(run)
            check(f"/dashboard/runs/{past}")
            check(f"/dashboard/compare/{past}/{past}")
            check(f"/runs/{past}/report")
            check("/dashboard/runs/absent")
    finally:
        if past is None:
            daemon.patch("/execution/stop", {"run": run})
            daemon.wait_for_end(run)


def test_a_run_can_be_stopped_and_a_queued_one_removed_by_keyboard_alone(browser, daemon):
    run = daemon.start("shop", users=2)
    waits = daemon.patch("/execution/start", {"scenario": "shop", "queue": True}, 202)["run"]
    with opened(browser, daemon.url, **DESKTOP) as page:
        page.get_by_role("button", name=f"Remove {waits}").focus()
        page.keyboard.press("Enter")
        page.get_by_role("dialog").get_by_text(f"Remove the run {waits}?").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        row = page.locator("table.runs").get_by_text(waits)
        eventually(lambda: row.count() == 0, "it is not listed any more")
    with opened(browser, f"{daemon.url}/dashboard/runs/{run}", **DESKTOP) as page:
        until(page, "document.querySelector('[data-command=stop]') !== null", "controls are shown")
        page.locator("[data-command=stop]").focus()
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "Cancel"
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.dataset.command") == "stop"
        until(page, "!document.activeElement.dataset.busy", "the answer is taken")
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('link').dataset.state === 'over'", "the run is over")


def test_a_reader_signs_in_and_sees_no_buttons(browser, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"read {READER}\nrun {OPERATOR}\n")
    tokens.chmod(0o600)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "shop.py").write_text(textwrap.dedent(SHOP))
    with serving(tmp_path, "--token-file", str(tokens)) as daemon:
        sent = {"Authorization": f"Bearer {OPERATOR}"}
        answer = daemon.request(
            "PATCH", "/execution/start", {"scenario": "shop", "users": 2, "workers": 1}, **sent
        )
        assert answer.status == 200, answer.data
        run = answer.json["run"]
        with opened(browser, f"{daemon.url}/dashboard/runs/{run}", **DESKTOP) as page:
            assert "/dashboard/sign-in?to=" in page.url
            page.get_by_label("Token").fill("none of the tokens")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("alert").filter(has_text="the token is not valid").wait_for()
            page.get_by_label("Token").fill(READER)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"**/dashboard/runs/{run}")
            until(page, "amocReport.page.data.times.length > 1", "seconds are shown")
            (cookie,) = page.context.cookies()
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
            assert page.evaluate("document.cookie") == ""
            there = seconds(page)
            eventually(lambda: seconds(page) > there, "charts grow")
            assert page.locator("[data-command]").count() == 0
            page.goto(daemon.url)
            assert page.get_by_role("link", name=run).is_visible()
            assert page.get_by_role("button", name="Stop").count() == 0
            assert page.get_by_role("link", name="Start a run").count() == 0
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url("**/dashboard/sign-in**")
        daemon.request("PATCH", "/execution/stop", {"run": run}, **sent)
        eventually((daemon.runs / run / "summary.json").exists, "the run is over")
