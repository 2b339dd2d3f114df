"""Events of real runs, as an installed plugin and a scenario receive them."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode
from amoc.control.client import request
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load
from amoc.scenario.events import SIGNALS
from tests.preloaded import amoc
from tests.process.support import ROOT, Run, eventually, lines, running

pytestmark = pytest.mark.slow

FAST = ("--set", "user_rate=infinity", "--workers", "2")

PROBE = """
import json
from amoc import events

FILE = HERE + "/heard.jsonl"

def set_up(role):
    hear(None, role=role)
    events.on("*")(hear)

def hear(event, **more):
    if event is not None:
        more = {"name": event.name, "at_ns": event.at_ns, "process": event.process,
                "user_id": event.user_id, "data": dict(event.data)}
    with open(FILE, "a") as file:
        file.write(json.dumps(more, default=repr) + "\\n")
"""


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str, str], Path]:
    """Build a distribution with a plugin, in a directory for PYTHONPATH."""

    def install(target: str, text: str) -> Path:
        site = tmp_path / "site"
        info = site / "probe-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[amoc.plugins]\nprobe = {target}\n")
        (site / "probe_plugin.py").write_text(text.replace("HERE", repr(str(tmp_path))))
        return site

    return install


def give(run: Run, *command: str) -> None:
    """Run a command as an operator would in another shell."""
    name, *rest = command
    amoc(name, "--run", str(run.directory), *rest, cwd=ROOT).check_returncode()


def test_a_plugin_receives_all_events_of_controller_supervisor_and_workers(
    scenario: Callable[[str], Path], install: Callable[[str, str], Path], tmp_path: Path
) -> None:
    site = install("probe_plugin:set_up", PROBE)
    busy = scenario("""
        import gevent
        from amoc import coordinator, setting, throttle, user

        password = setting("old-one", "A secret that changes", update="free")

        def init():
            throttle.start("logins", 60_000)
            coordinator.start("pairs", [(2, lambda event, users: None)])
            coordinator.start("lonely", [(2, lambda event: None)], timeout=0.2)

        def start(user_id):
            throttle.wait("logins")
            coordinator.add("pairs")
            if user_id == 1 and user.iteration == 1:
                coordinator.add("lonely")
                coordinator.reset("pairs")
                coordinator.start("mine", (5, act), timeout=60)
                coordinator.stop("mine")
                gevent.spawn(lambda: 1 / 0)
                throttle.start("mine", 10)
                throttle.change_rate("mine", 20)
                throttle.stop("mine")
            user.wait_stopping()

        def act(event): ...
    """)

    def heard() -> list[dict[str, Any]]:
        return [one for one in map(json.loads, lines(tmp_path / "heard.jsonl")) if "name" in one]

    def count(name: str, **wanted: Any) -> int:
        named = [one for one in heard() if one["name"] == name]
        return sum(wanted.items() <= {**one, **one["data"]}.items() for one in named)

    with running(busy, "--users", "5", *FAST, directory=tmp_path, PYTHONPATH=str(site)) as run:
        eventually(lambda: count("throttle.stop", throttle="mine"), "user 1 is done")
        eventually(lambda: count("coordinator.timeout"), "nobody joins the lonely one")
        passed = {"name": "throttle.execute", "throttle": "logins"}
        eventually(lambda: count(**passed) == 5, "all are let through")
        give(run, "set", "password=new-one")
        eventually(lambda: count("settings.changed") == 2, "both workers have the change")
        run.kill(run.find("worker 1")[0])
        eventually(lambda: count("user.added", again=True) == 2, "users start again")
        eventually(lambda: count(**passed) == 7, "they are let through again")
        run.kill(run.pid, signal.SIGTERM)
        assert run.end() == 0, run.output
        assert "plugin probe (probe 1.2) is loaded" in run.output

    events = heard()
    assert {one["name"] for one in events} == SIGNALS.keys()
    assert all(one["data"].keys() == set(SIGNALS[one["name"]].keys) for one in events)
    assert "-one" not in (tmp_path / "heard.jsonl").read_text()
    roles = [json.loads(line).get("role") for line in lines(tmp_path / "heard.jsonl")]
    # Each of the two processes loads its plugins once; their order is not fixed.
    assert sorted(filter(None, roles)) == ["controller", "supervisor"]

    where: dict[str, set[str]] = {}
    for one in events:
        where.setdefault(one["process"], set()).add(one["name"])
    assert where.keys() == {"controller", "supervisor", "worker-0", "worker-1"}
    assert where["supervisor"] == {"init.start", "init.stop", "terminate.start", "terminate.stop"}
    in_workers = {"user.added", "user.removed", "settings.changed", "coordinator.add"}
    in_workers |= {"coordinator.execute", "throttle.request", "throttle.execute"}
    in_workers |= {"iteration.start", "iteration.stop", "user.crashed"}
    assert where["worker-0"] | where["worker-1"] == in_workers
    assert where["controller"] == SIGNALS.keys() - where["supervisor"] - in_workers

    assert count("user.added", again=False) == 5
    assert count("user.removed", how="finished") == 5
    logins = Counter(
        one["user_id"]
        for one in events
        if one["name"] == "throttle.execute" and one["data"]["throttle"] == "logins"
    )
    assert logins == {1: 1, 2: 2, 3: 1, 4: 2, 5: 1}
    assert count("worker.down", worker=1, incarnation=1) == 1
    assert count("worker.up") == 3
    assert count("throttle.rate", throttle="mine", rate=20.0, mode="run") == 1
    (start,) = [one for one in events if one["name"] == "run.start"]
    (stop,) = [one for one in events if one["name"] == "run.stop"]
    assert start["at_ns"] < stop["at_ns"]
    assert stop["data"]["exit_code"] == 0


LISTENER = """
    import os
    from amoc import AmocError, coordinator, events, sleep, throttle, user

    @events.on("run.*", "worker.*", "throttle.[irs]*", "coordinator.*")
    @events.on("iteration.stop", "user.crashed")
    def heard(event):
        about = next(iter(event.data.values()), "")
        with open(HERE + f"/heard-{os.getpid()}", "a") as file:
            file.write(f"{event.process} {event.name} {about}\\n")

    def init():
        throttle.start("t", 60000)
        coordinator.start("c", (2, lambda event: None), timeout=0.2)

    def start(user_id):
        open(HERE + f"/started-{user_id}-{os.getpid()}", "w").close()
        if user_id == 1:
            for name in ("node.up", "init.start", "run.stop"):
                try:
                    events.on(name)(heard)
                except AmocError as error:
                    print(f"refused: {error}")
            coordinator.add("c")
            throttle.change_rate("t", 600)
            coordinator.reset("c")
            throttle.stop("t")
        if user_id == 2:
            raise ValueError("no")
        user.wait_stopping()
"""


def test_a_scenario_receives_the_controllers_events_in_each_worker(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    def heard() -> list[list[str]]:
        return [lines(file) for file in sorted(tmp_path.glob("heard-*"))]

    with running(scenario(LISTENER), "--users", "4", *FAST, directory=tmp_path) as run:
        expected = [
            *("throttle.init user_rate", "throttle.init t", "coordinator.start c"),
            *("worker.up node0", "throttle.rate t", "throttle.stop t", "coordinator.reset c"),
        ]
        eventually(
            lambda: (
                sum(
                    all(f"controller {one}" in said for one in expected)
                    and any(one.startswith("controller run.start") for one in said)
                    for said in heard()
                )
                == 2
            ),
            f"both workers receive all: {heard()}",
        )
        run.kill(run.find("worker 1")[0])
        eventually(
            lambda: "controller worker.down node0" in [one for said in heard() for one in said],
            "the other worker is notified",
        )
        eventually(lambda: len(list(tmp_path.glob("started-*"))) == 6, "its users start again")
        run.kill(run.pid, signal.SIGTERM)
        assert run.end() == 0, run.output
    all_said = [one for said in heard() for one in said]
    assert any(one.startswith("worker-1 user.crashed ValueError: no") for one in all_said)
    assert any(one.startswith("worker-0 iteration.stop") for one in all_said)
    assert run.output.count("refused: ") == 3
    assert "node.up never reaches this subscriber: it happens when there are no" in run.output
    assert "init.start never reaches this subscriber: it happens in the supervisor" in run.output


def test_a_plugin_that_cannot_be_loaded_ends_the_run_before_its_start(
    scenario: Callable[[str], Path], install: Callable[[str, str], Path], tmp_path: Path
) -> None:
    site = install("probe_plugin", "import what_is_not_there\n")
    never = scenario("open(HERE + '/imported', 'w')\ndef start(user_id): ...\n")
    with running(never, directory=tmp_path, PYTHONPATH=str(site)) as run:
        assert run.end() == 2, run.output
        assert run.output == (
            "amoc: plugin probe (probe 1.2) cannot be loaded in its entry point probe_plugin:"
            " ModuleNotFoundError: No module named 'what_is_not_there'"
            f" ({site}/probe_plugin.py:1 in <module>)\n"
        )
    assert not (tmp_path / "imported").exists()
    assert not run.directory.exists()


HANGS = """
import time

def set_up(role):
    if role == "supervisor":
        time.sleep(3600)
"""


def test_a_plugin_that_hangs_in_the_supervisor_is_named(
    scenario: Callable[[str], Path], install: Callable[[str, str], Path], tmp_path: Path
) -> None:
    site = install("probe_plugin:set_up", HANGS)
    never = scenario("def start(user_id): ...\n")
    arguments = ("--init-timeout", "0.5s")
    with running(never, *arguments, directory=tmp_path, PYTHONPATH=str(site)) as run:
        assert run.end() == ExitCode.INIT_TIMEOUT, run.output
        imported = f"plugin probe (probe 1.2), {never}"
        assert f"importing {imported} did not finish within 0.5 s (--init-timeout)" in run.output


RAISES = """
import gevent
from amoc import events

def set_up(role):
    if role == "controller":
        events.on("*")(give_up)

def give_up(event):
    raise gevent.Timeout(1)
"""


def test_a_subscriber_that_raises_or_waits_is_reported_and_harms_no_user(
    scenario: Callable[[str], Path], install: Callable[[str, str], Path], tmp_path: Path
) -> None:
    site = install("probe_plugin:set_up", RAISES)
    fails = scenario("""
        import gevent
        from amoc import events, throttle

        @events.on("throttle.*", "user.removed")
        def fail(event):
            raise LookupError("nobody is here")

        @events.on("throttle.execute")
        def give_up(event):
            raise gevent.Timeout(1)

        @events.on("throttle.execute")
        def wait(event):
            gevent.sleep(1)

        def init():
            throttle.start("logins", 60_000)

        def start(user_id):
            throttle.wait("logins")
    """)
    arguments = ("--users", "50", *FAST, "--set", "repeat_num=1")
    with running(fails, *arguments, directory=tmp_path, PYTHONPATH=str(site)) as run:
        assert run.end() == 0, run.output
        users = run.summary()["users"]
        assert (users["finished"], users["crashed"]) == (50, 0)
        assert run.summary()["throttles"]["logins"]["executions"] == 50
    told = [line for line in run.output.splitlines() if "a subscriber of" in line]
    assert any("trial.fail, a subscriber of" in line for line in told)
    assert any("trial.wait, a subscriber of throttle.execute" in line for line in told)
    grave = [one for path in (run.directory / "logs").iterdir() for one in lines(path)]
    assert any("trial.give_up, a subscriber of throttle.execute" in one for one in grave)
    assert any("probe_plugin.give_up, a subscriber of" in one for one in grave)
    assert "failed with Timeout" not in run.output
    assert len(told) <= 20  # of more than 250 failures


def test_a_plugin_may_run_programs_in_the_controller(
    scenario: Callable[[str], Path], install: Callable[[str, str], Path], tmp_path: Path
) -> None:
    site = install(
        "probe_plugin:set_up",
        """
import gevent
from gevent import subprocess

from amoc import events


def set_up(role):
    if role == "controller":
        events.on("run.start")(lambda event: gevent.spawn(subprocess.run, ["true"]))
""",
    )
    short = scenario("from amoc import sleep\ndef start(user_id): sleep(0.2)\n")
    arguments = ["--users", "2", "--duration", "1s", "--set", "user_rate=infinity"]
    with running(short, *arguments, directory=tmp_path, PYTHONPATH=str(site)) as run:
        assert run.end() == 0
    assert (run.directory / "report.html").exists()


HOLDS_THE_END = """
from pathlib import Path

import gevent
from amoc import events

def set_up(role):
    if role == "controller":
        events.on("node.down")(hold)

def hold(event):
    print("the node has left", flush=True)
    while not Path(HERE + "/judge").exists():
        gevent.sleep(0.01)
"""


def test_a_run_counts_as_running_and_answers_until_its_summary_is_written(
    scenario: Callable[[str], Path], install: Callable[[str, str], Path], tmp_path: Path
) -> None:
    site = install("probe_plugin:set_up", HOLDS_THE_END)
    quick = scenario("def start(user_id): pass")
    once = ("--users", "3", "--set", "repeat_num=1", *FAST)
    with running(quick, *once, directory=tmp_path, PYTHONPATH=str(site)) as run:
        run.wait_for_output("the node has left")
        directory = RunDirectory(run.directory)
        assert load(directory).summary["run"]["verdict"] == "running"
        status = request(directory.control, "status", {})
        assert (status["state"], status["users"]["finished"]) == ("finished", 3)
        (tmp_path / "judge").touch()
        assert run.end() == ExitCode.OK
        assert load(directory).summary["run"]["verdict"] == "no criteria"
        assert not directory.control.exists()
