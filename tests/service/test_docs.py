"""The example session in docs/rest.md works as printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tests.process.support import DEADLINE_S, ROOT
from tests.servers.daemon import required
from tests.service.support import Daemon

pytestmark = pytest.mark.slow

_SESSION = re.compile(r"<!-- rest session -->\n```sh\n(.*?)```", re.DOTALL)


def test_the_session_of_the_page_works(daemon: Daemon) -> None:
    if shutil.which("curl") is None:
        required("curl is not installed")
    shutil.copy(ROOT / "scenarios/hello.py", daemon.directory / "hello.py")
    page = (ROOT / "docs/rest.md").read_text()
    found = _SESSION.search(page)
    assert found is not None
    session = found[1].replace("http://127.0.0.1:4000", daemon.url)
    session = session.replace("scenarios/hello.py", "hello.py")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", session],
        cwd=daemon.directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert (daemon.directory / "report.html").read_text().startswith("<!doctype html>")
    run = daemon.wait_for_end(daemon.get("/runs")["runs"][0]["id"])
    assert (run["verdict"], run["comment"]) == ("stopped", "by REST")
    summary = daemon.get(f"/runs/{run['id']}/summary")
    settings = {one["name"]: one["value"] for one in summary["settings"]}
    assert settings["pause"] == "0.5"
    journal = (daemon.runs / run["id"] / "journal.jsonl").read_text().splitlines()
    commands = [one for one in map(json.loads, journal) if one["kind"] == "command"]
    assert [(one["name"], one["arguments"]) for one in commands] == [
        ("add", {"count": 50}),
        ("set", {"values": {"pause": 0.2}}),
        ("remove", {"count": 10, "force": False}),
        ("stop", {}),
    ]
    assert {one["outcome"] for one in commands} == {"ok"}
    assert '"scenario":"' in done.stdout, "the status of the run was read"
