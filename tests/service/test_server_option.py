"""Commands with ``--server``: they act on a daemon as they do on a local run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from amoc.base.errors import ExitCode
from amoc.cli.main import cli
from tests import preloaded
from tests.process import wheels
from tests.process.support import DEADLINE_S, ROOT
from tests.service.support import STAYERS, serving
from tests.unit.cli.test_server_option import REFUSED

pytestmark = pytest.mark.slow

TOKEN = "admin-token-0123456789"


def amoc(directory: Path, url: str, *arguments: str, code: int = 0, token: str = "") -> str:
    """Run a command with AMOC_SERVER set to a daemon; return its output."""
    env = {**os.environ, "AMOC_SERVER": url}
    env |= {"AMOC_SERVER_TOKEN_FILE": token} if token else {}
    done = preloaded.amoc(*arguments, cwd=directory, env=env)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_every_command_acts_on_the_server_or_says_why_not(tmp_path: Path) -> None:
    served, here = tmp_path / "served", tmp_path / "here"
    for one in (served, here):
        one.mkdir()
    (here / "shop.py").write_text(STAYERS)
    (here / "given.json").write_text('{"mode": "wild"}')
    walked = set(REFUSED)  # by tests/unit/cli/test_server_option.py
    with serving(served) as daemon:

        def say(*arguments: str, code: int = 0) -> str:
            walked.add(arguments[0])
            return amoc(here, daemon.url, *arguments, code=code)

        assert "no run is running" in say("status", code=2)
        shown = say("check", "shop.py")
        assert "Users that stay until they are asked to leave." in shown
        assert '"calm", "wild"' in shown
        load = ("--users", "3", "--workers", "1", "--set", "pause=0.1", "--throttle", "looks=9/s")
        planned = say("plan", "shop.py", *load, "--duration", "3s", "--set-json", "given.json")
        assert "plan of" in planned
        assert "--duration is over" in planned
        preview = json.loads(say("plan", "shop.py=7", "--spawn-rate", "0.5", "--json"))
        assert (preview["users"]["count"], preview["starts"]["per_minute"]) == (7, 30)
        assert "mode must be one of" in say("plan", "shop.py", "--set", "mode=sad", code=3)
        assert daemon.get("/scenarios")["scenarios"] == ["stayers"]  # what is sent is not kept
        amoc_scenarios = served / "amoc-scenarios"
        assert len([*amoc_scenarios.glob("_sent/*")]) == 1, "the same files are sent once"
        assert not list(daemon.runs.glob("[!.]*"))

        quick = ("--duration", "1s", "--limited-ok", "--log-level", "debug", "--no-install")
        assert "verdict no criteria" in say("run", "shop.py", *load, *quick, "--seed", "7")
        [first] = daemon.runs.glob("[!.]*")
        began = json.loads((first / "journal.jsonl").read_text().splitlines()[0])
        assert (began["plan"]["log_level"], began["plan"]["seed"]) == ("debug", 7)
        assert "plan of shop.py " in say("replay", "last", "--plan")
        [sent] = amoc_scenarios.glob("_sent/*/shop.py")
        sent.write_text(STAYERS + "# changed\n")
        again = ("--set", "pause=0.2", "--comment", "again", "--json", "made.json")
        assert "has changed since that run" in say("replay", "last", *again)
        summary = json.loads((here / "made.json").read_text())
        assert (summary["run"]["comment"], summary["run"]["seed"]) == ("again", 7)
        settings = {one["name"]: one["value"] for one in summary["settings"]}
        assert (settings["pause"], summary["users"]["peak"]) == ("0.2", 3)

        run = daemon.start("stayers", users=2, limited_ok=True)
        daemon.wait_for_users(run, 2)
        assert "users: 2 running" in say("status")
        assert json.loads(say("users", "--json"))["highest_id"] == 2
        say("add", "3")
        daemon.wait_for_users(run, 5)
        say("remove", "--ids", "1-2", "--force", "--comment", "enough")
        daemon.wait_for_users(run, 3)
        assert "pause must pass its check" in say("set", "pause=-1", code=3)
        say("throttle", "looks", "7/s", "--run", run)
        assert "looks: 7/s" in say("status", "--run", "last")
        say("pause")
        daemon.wait_for_state(run, "paused")
        say("resume")
        say("note", "from", "afar")
        assert re.search(rf"^{run} +stayers ", say("runs"), re.MULTILINE)
        assert f"run {run} is still running; " in say("report", run)
        once = ("--duration", "1s", "--workers", "1", "--limited-ok")
        assert "queue this one with queue=true (amoc" in say("run", "stayers", *once, code=2)
        with (
            shell_of("run", "stayers", "--queue", *once, "--server", daemon.url) as waiting,
            attached(daemon.url) as shell,
        ):
            assert waiting.stdout is not None
            assert "waits until earlier runs are over" in waiting.stdout.readline()
            say("stop")
            said, _ = shell.communicate(timeout=DEADLINE_S)
            assert "verdict stopped" in said
            said, _ = waiting.communicate(timeout=DEADLINE_S)
            assert waiting.returncode == 0, said
        daemon.wait_for_end(run)

        listed = json.loads(say("runs", "--json"))
        assert [(one["name"], one["verdict"]) for one in listed[1:2]] == [(run, "stopped")]
        assert f"report-{run}.html" in say("report", "last~1")
        assert "from afar" in (here / f"report-{run}.html").read_text()
        seconds = say("export", run, "--jsonl").splitlines()
        assert len(seconds) == daemon.get(f"/runs/{run}/series")["total"]
        assert json.loads(say("compare", "last", run, "--json"))["runs"]
        assert "no run 'none'" in say("report", "none", code=2)
        assert not (here / "amoc-runs").exists()
        assert {*walked, "attach"} == set(cli.list_commands(click.Context(cli)))


def test_attach_reports_the_loss_of_the_daemon(tmp_path: Path) -> None:
    with serving(tmp_path) as daemon:
        daemon.start(users=1)
        with attached(daemon.url) as shell:
            daemon.kill(signal.SIGKILL)
            said, _ = shell.communicate(timeout=DEADLINE_S)
        assert shell.returncode == ExitCode.NODE_LOST, said
        assert said.splitlines()[-1].startswith(f"amoc: {daemon.url}: ")
        assert "Traceback" not in said


def test_a_run_is_executed_by_the_daemon_and_its_exit_code_returned(tmp_path: Path) -> None:
    served, here = tmp_path / "served", tmp_path / "here"
    served.mkdir()
    here.mkdir()
    for directory, text in ((served, f"admin {TOKEN}"), (here, TOKEN)):
        (directory / "token").write_text(text)
        (directory / "token").chmod(0o600)
    (here / "shop.py").write_text(STAYERS)
    (served / "scenarios").mkdir()
    for directory in (served / "scenarios", here):
        (directory / "till.py").write_text(STAYERS)
    with serving(served, "--token-file", "token") as daemon:

        def run(*arguments: str, code: int) -> str:
            return amoc(here, daemon.url, "run", *arguments, code=code, token="token")

        options = ("--users", "2", "--workers", "1", "--duration", "1s", "--limited-ok")
        expected = ("--set", "pause=0.5", "--expect", "looks < 1", "--json", "summary.json")
        said = run("shop.py", *options, *expected, code=12)
        assert "looks < 1" in said
        assert "  scenario shop.py  " in said
        [again] = re.findall(r"^run again: amoc (.*)$", said, re.MULTILINE)
        named = again.removesuffix(f" --server {daemon.url}")
        amoc(here, daemon.url, *named.split(), "--plan", token="token")
        summary = json.loads((here / "summary.json").read_text())
        assert summary["users"]["peak"] == 2
        settings = {one["name"]: one["value"] for one in summary["settings"]}
        assert settings["pause"] == "0.5"
        assert daemon.request("GET", "/scenarios", Authorization=f"Bearer {TOKEN}").json == {
            "scenarios": ["stayers", "till"]
        }
        assert not (here / "amoc-runs").exists()
        assert "must be one of" in run("shop.py", "--set", "mode=sad", code=3)
        assert "there is no scenario" in run("none", code=2)
        (here / "till.py").write_text(STAYERS.replace("calm", "quiet"))
        assert "quiet" in run("till.py", "--set", "mode=sad", code=3), "a file here is meant"
        assert "must be one of" in run("till", "--set", "mode=sad", code=3)
        assert "--run-dir" in run("till", "--run-dir", "x", code=2)
        assert "token" in amoc(here, daemon.url, "status", code=2)


SHOP = """
import amoctestleaf
from basket import SIZE
from amoc import feed, metrics, sleep

customers = feed.csv("data/customers.csv")


def start(user_id):
    name = customers.next()["name"]
    metrics.counter(f"bought_{name}").inc(SIZE)
    sleep(0.1)
"""


@pytest.mark.once
def test_a_file_is_sent_with_its_modules_data_and_dependencies(tmp_path: Path) -> None:
    served, here, index = tmp_path / "served", tmp_path / "here", tmp_path / "index"
    for one in (served, here / "data", here / "more", here / ".git", index):
        one.mkdir(parents=True)
    wheels.wheel(index, "amoctestleaf", "1.0")
    (here / "shop.py").write_text(SHOP)
    (here / "more/other.v2.py").write_text(STAYERS)
    (here / "basket.py").write_text("SIZE = 3\n")
    (here / "requirements.txt").write_text("amoctestleaf\n")
    (here / "data/customers.csv").write_text("name\nann\nbob\n")
    (here / ".git/config").write_text("not sent")
    cache = wheels.environment(index, tmp_path / "cache", "uv")
    with serving(served, **cache) as daemon:

        def say(*arguments: str, code: int = 0) -> str:
            return amoc(here, daemon.url, *arguments, code=code)

        assert "no module named" in say("plan", "shop.py", "--no-install", code=4).lower()
        shown = say("check", "shop.py", "--no-install", code=4)
        assert re.search(r"amoctestleaf +1\.0 +would be installed", shown), shown
        assert "no module named" in shown.lower()
        assert "are not locked" in say("check", "shop.py", "--locked", code=4)
        shown = say("check", "shop.py")
        assert re.search(r"amoctestleaf +1\.0 +installed", shown), shown
        quick = ("--duration", "1s", "--workers", "1", "--set", "repeat_num=1", "--limited-ok")
        say("run", "shop.py=2", "more/other.v2.py=1", *quick, "--json", "made.json")
        counters = json.loads((here / "made.json").read_text())["counters"]
        assert (counters["bought_ann"], counters["bought_bob"]) == (3, 3)
        assert counters["looks"] > 0
        say("replay", "last", "--json", "again.json")
        again = json.loads((here / "again.json").read_text())["counters"]
        assert (again["bought_ann"], again["bought_bob"]) == (3, 3)
        sent = [one.name for one in (served / "amoc-scenarios").glob("_sent/*/*")]
        assert "basket.py" in sent
        assert ".git" not in sent
        (here / "data/much").write_bytes(os.urandom(17 << 20))
        said = say("run", "shop.py", code=4)
        assert len(said.splitlines()) == 1, said
        assert "at most 16,777,216 bytes" in said


@contextmanager
def attached(url: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``amoc attach``, and wait until it shows the run."""
    with shell_of("attach", "--server", url) as shell:
        assert shell.stdout is not None
        assert "running" in shell.stdout.readline()
        yield shell


@contextmanager
def shell_of(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs during the block and is killed after it."""
    with subprocess.Popen(
        [sys.executable, "-m", "amoc", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        try:
            yield shell
        finally:
            shell.kill()
