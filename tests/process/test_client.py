"""``amoc.run`` and the pytest plugin, with real runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import amoc
from tests.process.support import ROOT, alive, below, eventually

pytest_plugins = ["pytester"]
DEADLINE_S = 120.0

SHOP = '''
    """Users look at a shop."""
    from amoc import check, metrics, setting, step

    price = setting(1, "Price")
    api_token = setting("none", "Secret")

    def start(user_id):
        with step("look <b>") as this:
            if user_id == 2:
                this.fail("sold out & <gone>")
        check("cheap", price.get() < 10)
        metrics.counter("seen").inc(price.get())
        metrics.counter("token_length").inc(len(api_token.get()))
'''
ONCE = {"repeat_num": 1, "user_rate": float("inf")}


@pytest.fixture
def shop(scenario):
    return scenario(SHOP, "shop.py")


def test_run_returns_a_result_with_all_figures(shop, tmp_path):
    printed = []

    result = amoc.run(
        shop,
        users=4,
        set={**ONCE, "price": 5, "api_token": "s3cret"},
        expect=["seen == 20", "look <b>.max < 1h"],
        limited_ok=True,
        runs_dir=tmp_path / "runs",
        on_line=printed.append,
    )

    assert result.check() is result
    assert (result.verdict, result.exit_code, result.reasons) == ("ok", 0, ())
    look = result.requests["look <b>"]
    assert (look.count, look.failures, look.failed_share) == (4, 1, 0.25)
    assert 0 < look.p95 <= look.max < 60
    assert [(one.cause, one.count) for one in result.failures] == [("sold out & <gone>", 1)]
    assert result.counters["seen"] == 20
    assert result.counters["token_length"] == 6 * 4
    assert result.checks["cheap"].passed == 4
    assert result.timers["look <b>"].count == 3
    assert result.timers["coordinator_action_delay"].p95 is None
    assert (result.users.started, result.users.finished) == (4, 4)
    assert [(one.expression, one.passed) for one in result.thresholds] == [
        ("seen == 20", True),
        ("look <b>.max < 1h", True),
    ]
    assert result.directory.parent == tmp_path / "runs"
    assert result.report.is_file()
    assert "\n".join(printed) == result.output
    assert "s3cret" not in (result.directory / "journal.jsonl").read_text()
    with pytest.raises(KeyError, match="the run has no request 'lok <b>'; did you mean look <b>"):
        result.requests["lok <b>"]

    again = amoc.read_run(result.directory)
    assert again.requests == result.requests
    assert "shop.py took" in repr(again)


def test_a_notebook_shows_a_chart_and_escapes_texts(shop, tmp_path):
    result = amoc.run(
        shop,
        users=2,
        duration="1200ms",
        set={"repeat_interval": 0.1, "user_rate": float("inf")},
        expect="seen.rate > 1000000/s",
        limited_ok=True,
        run_dir=tmp_path / "run",
    )

    page = result._repr_html_()
    read = ET.fromstring(page)  # every tag is closed, and every text escaped
    assert not result.ok
    assert len(read.findall("svg")) == 2
    assert all(re.match(r"M[\d.]+ [\d.]+", one.get("d")) for one in read.iter("path"))
    assert next(cell.text for cell in read.iter("td")) == "look <b>"
    assert read.find(".//a").get("href") == result.report.resolve().as_uri()
    assert "seen.rate must be > 1000000/s" in page.replace("&gt;", ">")
    with pytest.raises(AssertionError, match=r"seen\.rate must be > 1000000/s"):
        result.check()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"users": -1}, amoc.errors.UsageError, "--users must be a whole number from 0"),
        ({"set": {"price": "x"}}, amoc.errors.SettingError, "price must be a valid"),
        ({"scenario": "none.py"}, amoc.errors.ScenarioError, "scenario none.py does not exist"),
        ({"scenario": "refuses.py"}, amoc.errors.InitError, "init() of refuses.py refused to"),
        ({"run_dir": "."}, amoc.errors.UsageError, "--run-dir . must be new or empty"),
    ],
)
def test_a_failure_before_the_start_raises_one_error_and_leaves_nothing(
    shop, scenario, tmp_path, monkeypatch, options, kind, message
):
    scenario("import amoc\ninit = lambda: amoc.Error('no')\nstart = print\n", "refuses.py")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(kind) as raised:
        amoc.run(**{"scenario": "shop.py", **options})

    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == kind.exit_code
    kept = {one for one in tmp_path.rglob("*") if "__pycache__" not in one.parts}
    assert sorted(kept - set(before)) in ([], [tmp_path / "amoc-runs"])


def test_an_error_in_the_callers_function_ends_the_run(shop, tmp_path):
    def refuse(line):
        raise LookupError(line)

    with pytest.raises(LookupError):
        amoc.run(shop, users=1, run_dir=tmp_path / "run", on_line=refuse)

    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["run"]["verdict"] in ("stopped", "no criteria")


CALLER = """
    import asyncio, sys
    import amoc

    async def ticks():
        count = 0
        while True:
            await asyncio.sleep(0.01)
            count += 1
            print("tick", count, flush=True)

    async def main():
        other = asyncio.create_task(ticks())
        result = await asyncio.to_thread(
            amoc.run, "HERE/shop.py", users=1, set={"repeat_num": 1}, limited_ok=True,
            run_dir="HERE/run",
        )
        print(result.verdict, [one for one in ("gevent", "zmq") if one in sys.modules])

    asyncio.run(main())
"""


def caller(text: str, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a program that calls amoc, in a separate process."""
    program = textwrap.dedent(text).replace("HERE", str(tmp_path))
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_callers_event_loop_keeps_running_without_gevent(shop, tmp_path):
    with caller(CALLER, tmp_path) as program:
        printed, errors = program.communicate(timeout=DEADLINE_S)

    ticks, others = [], []
    for line in printed.splitlines():
        (ticks if line.startswith("tick ") else others).append(line)
    assert (program.returncode, errors, others) == (0, "", ["no criteria []"])
    assert len(ticks) > 3


STAY = """
    from pathlib import Path
    from amoc import sleep, user

    def start(user_id):
        Path(HERE, f"user{user_id}").touch()
        while not user.stopping:
            sleep(0.05)
"""
LONG = """
    import amoc

    try:
        amoc.run("HERE/stay.py", users=2, set={"user_rate": "inf"}, limited_ok=True,
                 run_dir="HERE/run", on_line=lambda line: print(line, flush=True))
    except KeyboardInterrupt as stopped:
        result = stopped.result
        print("stopped:", result.verdict, result.users.finished, flush=True)
"""


def running(tmp_path: Path, pid: int) -> set[int]:
    """Wait until both users run; return the processes below the caller."""
    eventually(lambda: len(list(tmp_path.glob("user*"))) == 2, "the users run")
    found = below(pid) - {pid}
    assert len(found) >= 4  # controller, node, supervisor and at least one worker
    return found


def test_an_interrupted_caller_stops_its_run_gracefully(scenario, tmp_path):
    scenario(STAY, "stay.py")
    with caller(LONG, tmp_path) as program:
        tree = running(tmp_path, program.pid)
        program.send_signal(signal.SIGINT)
        printed, errors = program.communicate(timeout=DEADLINE_S)

    assert (program.returncode, errors) == (0, "")
    assert printed.splitlines()[-1] == "stopped: stopped 2"
    assert not alive(tree)


THREADS = """
    import threading, time

    for _ in range(8):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
"""


# With threads: the kernel signals the parent's death for each thread that ends.
@pytest.mark.parametrize("before", ["", THREADS], ids=["alone", "with threads"])
def test_a_run_does_not_outlive_a_killed_caller(scenario, tmp_path, before):
    scenario(STAY, "stay.py")
    with caller(before + LONG, tmp_path) as program:
        tree = running(tmp_path, program.pid)
        program.kill()
        program.communicate(timeout=DEADLINE_S)

    eventually(lambda: not alive(tree), "the run has ended")
    result = amoc.read_run(tmp_path / "run")
    assert (result.verdict, result.users.finished) == ("stopped", 2)


# The plugin

TESTS = """
    import pytest

    @pytest.mark.amoc("shop.py", users=2, limited_ok=True,
                      set={"repeat_num": 1, "user_rate": "inf"})
    class TestShop:
        def test_good(self, amoc_run):
            assert amoc_run().requests["look <b>"].count == 2

        @pytest.mark.amoc(users=3)
        def test_slow(self, amoc_run):
            amoc_run(expect="look <b>.count == 4711")

    def test_without_a_scenario(amoc_run):
        with pytest.raises(TypeError, match="amoc_run.. requires a scenario"):
            amoc_run()
"""


@pytest.fixture
def plugin():
    """The arguments that load the plugin: none where amoc is installed with it."""
    installed = [one.value for one in entry_points(group="pytest11", name="amoc")]
    assert installed in ([], ["amoc.client.pytest_plugin"])
    return () if installed else ("-p", "amoc.client.pytest_plugin")


def test_a_failed_test_shows_the_failed_threshold(pytester, shop, plugin, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.path.joinpath("shop.py").write_text(shop.read_text())
    pytester.makepyfile(TESTS)

    done = pytester.runpytest_subprocess(
        *plugin, "--strict-markers", "--amoc-runs-dir=kept", "--junit-xml=junit.xml"
    )

    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "failed thresholds: look <b>.count must be == 4711, got 3 (from --expect)",
            "scenario: shop.py",
            "*Captured amoc call*",
            "report: kept/*/report.html",
        ]
    )
    kept = sorted(one.name for one in (pytester.path / "kept").iterdir())
    assert len(kept) == 2
    properties = [
        (one.get("name"), one.get("value"))
        for one in ET.parse(pytester.path / "junit.xml").iter("property")
    ]
    assert ("amoc_verdict", "failed thresholds") in properties
    directories = {Path(value).name for name, value in properties if name == "amoc_run_directory"}
    assert sorted(directories) == kept


def test_an_unused_plugin_loads_little_and_prints_nothing(pytester, plugin, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded():
            loaded = {one for one in sys.modules if one.startswith("amoc.")}
            assert "amoc.client.pytest_plugin" in loaded
            assert not loaded & {"amoc.results", "amoc.client.local", "amoc.metrics", "gevent"}
        """
    )

    done = pytester.runpytest_subprocess(*plugin, "-q")

    done.assert_outcomes(passed=1)
    assert "amoc" not in done.stdout.str()


# The page

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_pages_examples_work(pytester, plugin, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    tmp_path = pytester.path
    shop, run, read, _, tests = BLOCK.findall((ROOT / "docs/client.md").read_text())
    (tmp_path / "shop.py").write_text(shop)

    with caller(f"{run}\n{read}", tmp_path) as program:
        printed, errors = program.communicate(timeout=DEADLINE_S)

    assert (program.returncode, errors) == (0, "")
    verdict, _, finished, report, request = printed.split()[:5]
    assert (verdict, finished, request) == ("ok", "10", "look")
    assert (tmp_path / report).is_file()

    (tmp_path / "test_shop.py").write_text(tests)
    pytester.runpytest_subprocess(*plugin, "-q").assert_outcomes(passed=2)
