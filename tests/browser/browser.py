"""Debian's chromium, driven by playwright, without network access; it records all requests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COMMANDS = ("chromium-headless-shell", "chromium")
"""The headless shell takes a third of the CPU time of the full browser."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DEADLINE_MS = 20_000
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}
HOSTILE = "</script><script>alert(1)</script><img src=http://127.0.0.1:9/x onerror=alert(2)>"
"""Text that a scenario or a target may send; no page may execute any of it."""


def available() -> str:
    """Return the path of chromium; skip or fail the calling test if it is not installed."""
    if path := next(filter(None, map(shutil.which, COMMANDS)), None):
        return path
    missing = f"{COMMANDS[0]} is not installed"
    if os.environ.get("AMOC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"AMOC_REQUIRE_SERVERS is 1, but {missing} (apt install it)")
    pytest.skip(missing)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a fresh profile."""
    # Imported here: it takes 0.4 s of CPU time in each of xdist's workers, few of which need it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=available(), args=list(FLAGS))
        yield browser
        browser.close()


class Visit:
    """An open page, and the errors in it.

    Attributes:
        page: The page.
        complaints: Console messages, script errors and dialogs.
        requests: URLs that it requested besides its own.
        refused: Those that were blocked by its policy.
    """

    def __init__(self, browser: Browser, file: Path, script: str = "", **context: object) -> None:
        """Open `file`; `script` runs before those of the page."""
        self._context = browser.new_context(**context)  # type: ignore[arg-type]
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(DEADLINE_MS)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        address = file.as_uri()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)
        self.page.on(
            "request", lambda request: request.url != address and self.requests.append(request.url)
        )
        self.refused: list[str] = []
        self.page.on(
            "requestfailed",
            lambda request: request.failure == "csp" and self.refused.append(request.url),
        )
        self.page.add_init_script(script)
        self.page.goto(address)

    def _refuse(self, dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def draw_all(self) -> None:
        """Draw all charts, including those outside the window."""
        self.page.evaluate("amocReport.page.figures.forEach(amocReport.page.show)")

    def ink(self, chart: str) -> int:
        """Return the number of pixels of a chart's canvas that are not blank."""
        return self.page.evaluate(
            """(key) => {
                const canvas = document.querySelector(`[data-chart="${key}"] canvas`);
                const { width, height } = canvas;
                const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
                let ink = 0;
                for (let at = 3; at < pixels.length; at += 4) ink += pixels[at] > 0;
                return ink;
            }""",
            chart,
        )

    def scale(self, chart: str, axis: str = "x") -> list[float]:
        """Return the lower and the upper end of a chart's axis."""
        return self.page.evaluate(
            """([key, axis]) => {
                const figure = document.querySelector(`[data-chart="${key}"]`);
                const { min, max } = amocReport.page.state.drawn.get(figure).plot.scales[axis];
                return [min, max];
            }""",
            [chart, axis],
        )
