"""A browser's recording becomes a scenario that sends the same requests to the same server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.browser import DEADLINE_MS
from tests.process.support import DEADLINE_S, ROOT
from tests.servers import nginx
from tests.servers.application import PASSWORD
from tests.servers.daemon import Daemon, free_port, required
from tests.servers.web import Application

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

REQUESTS = {
    "GET /": 1,
    "POST /enter": 1,
    "POST /token": 1,
    "POST /orders": 1,
    "GET /orders/[id]": 1,
    "DELETE /orders/[id]": 1,
}
"""The requests to repeat; the redirect after the form is followed."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with Application(tmp_path_factory.mktemp("shop")) as server:
        yield server


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with Application(tmp_path_factory.mktemp("tracker")) as server:
        yield server


@pytest.fixture(scope="module")
def har(
    browser: Browser,
    shop: Application,
    tracker: Application,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A visit to the shop."""
    file = tmp_path_factory.mktemp("har") / "session.har"
    context = browser.new_context(record_har_path=file)
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    page.goto(f"{shop.url}/?tracker={tracker.url}")
    page.fill("[name=name]", "ann")
    page.fill("[name=password]", PASSWORD)
    page.click("text=Log in")
    page.wait_for_url("**/catalog")
    page.wait_for_timeout(1_200)  # think time: the recording must contain a pause
    page.click("text=Order")
    page.wait_for_selector("text=done")
    context.close()
    return file


def amoc(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amoc", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )


def test_a_recording_runs_against_the_recorded_server(
    har: Path, shop: Application, tracker: Application, tmp_path: Path
) -> None:
    written = amoc("new", "visit", "--har", str(har), cwd=tmp_path)
    assert written.returncode == 0, written.stdout
    assert f"1 request to {tracker.url.removeprefix('http://')}" in written.stdout
    scenario = (tmp_path / "visit.py").read_text()
    recorded = har.read_text()
    assert PASSWORD in recorded.replace("+", " ")
    assert PASSWORD not in scenario + (tmp_path / "visit.csv").read_text()
    assert 'row["name"]' in scenario
    assert "ann" in (tmp_path / "visit.csv").read_text()

    refused = amoc("run", "visit.py", "--users=1", "--set=repeat_num=1", cwd=tmp_path)
    assert refused.returncode == 5
    assert "AMOC_PASSWORD" in refused.stdout

    quick = {"repeat_num": 2, "think": 0.1, "repeat_interval": "0.1s"}
    settings = [f"--set={name}={value}" for name, value in quick.items()]
    arguments = ["--users=2", *settings, "--json=summary.json"]
    secrets = {"AMOC_PASSWORD": PASSWORD, "AMOC_SECRET": "secret"}
    done = amoc("run", "visit.py", *arguments, cwd=tmp_path, **secrets)
    assert done.returncode == 0, done.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    made = {name: row["count"] for name, row in summary["steps"].items()}
    assert {name: count / 4 for name, count in made.items() if name in REQUESTS} == REQUESTS
    assert summary["crashes"] == []
    assert not {name: row for name, row in summary["steps"].items() if row["failures"]}


class SlowFiles(Daemon):
    """nginx with a page whose script requests three files at once, each taking a second."""

    def __init__(self, directory: Path) -> None:
        if not shutil.which("nginx"):
            required("nginx is not installed (apt install nginx-light)")
        asks = "Promise.all(['a', 'b', 'c'].map(one => fetch(`/${one}.json`).then(a => a.json())))"
        done = "document.body.append('all are there')"
        files = directory / "files"
        files.mkdir()
        page = f"<link rel=icon href='data:,'><script>{asks}.then(() => {done})</script>"
        (files / "index.html").write_text(f"<!DOCTYPE html><title>Files</title><body>{page}")
        for name in "abc":
            (files / f"{name}.json").write_text(json.dumps({"text": "x" * 20_000}))
        self.access = directory / "access.log"
        port = free_port()
        http = f"""
    log_format times "$msec $request_time $uri";
    access_log {self.access} times;
    types {{ text/html html; application/json json; }}
    server {{
        listen 127.0.0.1:{port};
        root {files};
        location ~ json$ {{ limit_rate 10k; }}
    }}
"""
        super().__init__(nginx.command(directory, http), port, directory / "output.log", {})
        self.url = f"http://127.0.0.1:{port}"

    def answered(self) -> list[tuple[str, float, float]]:
        """Return each request's path, time of arrival and time of its answer."""
        found = (line.split() for line in self.access.read_text().splitlines())
        return [(path, float(end) - float(took), float(end)) for end, took, path in found]


def test_parallel_requests_of_a_browser_are_repeated_in_parallel(
    browser: Browser, tmp_path: Path
) -> None:
    with SlowFiles(tmp_path) as server:
        har = tmp_path / "session.har"
        context = browser.new_context(record_har_path=har)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.goto(server.url)
        page.wait_for_selector("text=all are there")
        context.close()
        written = amoc("new", "files", "--har", str(har), cwd=tmp_path)
        assert written.returncode == 0, written.stdout
        scenario = (tmp_path / "files.py").read_text()
        assert scenario.count("with user.together() as beside:\n") == 1
        assert scenario.count("beside(client.get, ") == 3
        before = len(server.answered())
        done = amoc("run", "files.py", "--set=repeat_num=1", "--json=s.json", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        made = server.answered()[before:]
    assert [path for path, *_ in made][:1] == ["/index.html"]
    files = made[1:]
    assert {path for path, *_ in files} == {"/a.json", "/b.json", "/c.json"}
    assert max(came for _, came, _ in files) < min(answered for *_, answered in files)
    steps = json.loads((tmp_path / "s.json").read_text())["steps"]
    assert steps["Aggregated"]["count"] == 4
