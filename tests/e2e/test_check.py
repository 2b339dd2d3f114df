"""``amoc check``: a scenario tried with one user, with a trace of its stanzas."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.support import ROOT, eventually
from tests.servers.prosody import Prosody

pytestmark = pytest.mark.slow


def start(*arguments: str) -> subprocess.Popen[str]:
    """``amoc check`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "amoc", "check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "AMOC_INTERVAL": "0.25"},
    )


@pytest.mark.once
def test_a_scenario_is_shown_with_its_settings_and_where_they_come_from() -> None:
    process = start("scenarios/xmpp/one_to_one.py", "--set", "neighbours=2")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Users chat with their neighbours" in output
    shown = [line.split() for line in output.splitlines()]
    assert ["neighbours", "2", "--set"] in [line[:3] for line in shown]
    assert ["interval", "0.25", "AMOC_INTERVAL"] in [line[:3] for line in shown]
    assert ["repeat_interval", "60000", "default"] in [line[:3] for line in shown]


@pytest.mark.once
def test_feeds_are_shown_and_two_of_one_name_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    scenario = tmp_path / "fed.py"
    text = (
        "from amoc import feed\nrows = feed.csv('rows.csv', 'circular')\n{}\ndef start(n): pass\n"
    )
    for line, code, told in (
        ("", 0, "feed rows.csv: 2 rows, circular, by run"),
        ("more = feed.csv('rows.csv')", 4, "feed rows.csv must be declared once, got it in line 2"),
        ("more = feed.csv('rows.csv', name='more')", 0, "feed more: 2 rows, unique, by run"),
    ):
        scenario.write_text(text.format(line))
        process = start(str(scenario))
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        assert told in output


def try_one(*arguments: str) -> str:
    """What is printed when one user runs until Ctrl-C."""
    with start("scenarios/xmpp/one_to_one.py", "--run", "--for", "60s", *arguments) as process:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if ">>> <presence/>" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, output
    return output


def test_one_user_is_tried_on_the_embedded_server_with_a_trace() -> None:
    output = try_one()
    assert "no XMPP server configured: using the embedded one" in output
    assert ">>> <auth" in output
    assert "<<< <success" in output
    assert "password_1" not in output.split("user 1 starts", 1)[1]
    assert "user 1: finished" in output
    assert "connections: 1" in output


def test_one_user_is_tried_on_prosody(prosody: Prosody) -> None:
    output = try_one("--set", f"xmpp_servers={prosody.address}")
    assert "using the embedded one" not in output
    assert "user 1: finished" in output


def test_a_user_that_crashes_says_where(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("def start(user_id):\n    raise ValueError('no such thing')\n")
    process = start(str(file), "--run")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "ValueError: no such thing" in output
    assert "broken.py" in output


def test_nothing_is_left_when_check_is_killed() -> None:
    process = start("scenarios/xmpp/one_to_one.py", "--run", "--for", "60s")
    assert process.stdout is not None
    for line in process.stdout:
        if ">>> <presence/>" in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children, "the embedded server is a child"
    process.kill()
    process.wait()
    eventually(
        lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in children),
        "the embedded server leaves",
    )
    process.stdout.close()


@pytest.mark.once
def test_a_scenarios_thresholds_are_shown_or_refused(tmp_path: Path) -> None:
    scenario = tmp_path / "expecting.py"
    scenario.write_text(
        'import amoc\namoc.expect("crashes  == 0")\n\ndef start(user_id):\n    pass\n'
    )
    process = start(str(scenario))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "threshold crashes == 0" in output.splitlines()
    scenario.write_text(scenario.read_text().replace("== 0", "< 0"))
    process = start(str(scenario))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 4, output
    assert "crashes is never below 0, so this passes in no run (from expecting.py:2)" in output
