"""The session of docs/rest.md works as it stands, and so does the unit for systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

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


def test_the_unit_is_one(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "amoc.service"
    text = (ROOT / "deploy/amoc.service").read_text()
    assert "/opt/amoc/bin/amoc serve" in text
    unit.write_text(text.replace("/opt/amoc/bin/amoc", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, [])
