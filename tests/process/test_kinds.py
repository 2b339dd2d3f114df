"""Several user kinds in a run: mixed by weight, whatever happens to their workers."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from tests.preloaded import amoc
from tests.process.support import eventually, lines, running

pytestmark = pytest.mark.slow

MIXED = """
    import os
    import amoc
    from amoc import sleep, user

    FILE = os.open(HERE + "/begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def begin(kind, user_id):
        os.write(FILE, f"{kind} {user_id} {os.getpid()}\\n".encode())

    class Buyer:
        def start(self, user_id):
            begin("Buyer", user_id)
            sleep(0.1)
            raise ValueError("sold out")

    def browser(user_id):
        begin("browser", user_id)
        user.wait_stopping()

    amoc.users({Buyer: 1, browser: 3})
    """


def test_a_user_keeps_its_kind_and_crashes_name_it(scenario, tmp_path):
    arguments = ("--users", "20", "--workers", "2", "--set", "user_rate=infinity")
    with running(scenario(MIXED), *arguments, directory=tmp_path) as run:
        workers = run.wait_for("worker", 2)

        def begun() -> list[tuple[str, int, int]]:
            found = (line.split() for line in lines(tmp_path / "begun"))
            return [(kind, int(user_id), int(pid)) for kind, user_id, pid in found]

        eventually(lambda: len({user_id for _, user_id, _ in begun()}) == 20, "all users")
        run.kill(workers[0])
        eventually(
            lambda: (
                {pid for _, _, pid in begun()} - set(workers)
                and len({one for one in begun() if one[2] not in workers}) == 10
            ),
            "its users again",
        )
        run.kill(run.pid, 2)
        assert run.end() in (0, ExitCode.THRESHOLD), run.output
        summary = run.summary()
    kinds = {
        user_id: {kind for kind, one, _ in begun() if one == user_id} for user_id in range(1, 21)
    }
    assert all(len(found) == 1 for found in kinds.values())
    assert sum(found == {"Buyer"} for found in kinds.values()) == 5
    assert summary["counters"]["kind.browser.users"] >= 15
    assert summary["counters"]["kind.Buyer.iterations"] >= 5
    (crash,) = summary["crashes"]
    assert crash["cause"].startswith("Buyer: ValueError: sold out (trial.py:")


SLOW_BUYERS = """
    import amoc
    from amoc import sleep

    class Buyer:
        def start(self):
            sleep(0.3)
            raise ValueError("sold out")

    def browser():
        pass

    amoc.users({Buyer: 1, browser: 4})
    """


def test_arrivals_are_mixed_by_weight_however_long_iterations_take(scenario, tmp_path):
    arguments = ("--arrival-rate", "100/s", "--duration", "2s", "--workers", "2")
    with running(scenario(SLOW_BUYERS), *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    begun = summary["counters"]["arrivals"]
    buyers = summary["counters"]["kind.Buyer.iterations"]
    assert buyers + summary["counters"]["kind.browser.iterations"] == begun
    assert abs(buyers - begun / 5) < 4, "off by less than two in each worker"
    (crash,) = summary["crashes"]
    assert crash["cause"].startswith("Buyer: ValueError: sold out (trial.py:")


NOTES = """
    import os
    import amoc

    FILE = os.open(HERE + "/notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words):
        os.write(FILE, (" ".join(map(str, words)) + "\\n").encode())
    """
BUY = """
    from amoc import expect, setting
    from notes import note

    price = setting(5, "What it costs")
    expect("kind.buy.users == 10")

    def init():
        note("init", "buy", price.get())
        return "bought"

    def start(user_id, state):
        note("start", "buy", state)
        raise ValueError("sold out")

    def terminate(state):
        note("terminate", "buy", state)
    """
BROWSE = """
    import amoc
    from amoc import user
    from notes import note

    def init():
        note("init", "browse")
        return "seen"

    class Slow:
        def start(self, user_id, state):
            note("start", "browse", state)
            raise OSError("too slow")

    def quick(user_id, state):
        note("start", "browse", state)
        user.wait_stopping()

    def terminate():
        note("terminate", "browse")

    amoc.users({Slow: 1, quick: 4})
    """


def test_each_of_several_scenarios_has_its_own_users(scenario, tmp_path):
    scenario(NOTES, "notes.py")
    buy, browse = scenario(BUY, "buy.py"), scenario(BROWSE, "browse.py")
    several = (f"{browse}=30", "--set", "user_rate=infinity", "--set", "price=7", "--workers", "2")
    with running(f"{buy}=10", *several, directory=tmp_path) as run:
        eventually(
            lambda: sum(line.startswith("start") for line in lines(tmp_path / "notes")) >= 40,
            "all users start",
        )
        run.kill(run.pid, 2)
        assert run.end() == 0, run.output
        summary = run.summary()
    notes = lines(tmp_path / "notes")
    assert {line for line in notes if "init" in line} == {"init buy 7", "init browse"}
    assert {line for line in notes if "start" in line} == {"start buy bought", "start browse seen"}
    assert notes[-2:] == ["terminate buy bought", "terminate browse"]
    counters = summary["counters"]
    assert counters["kind.buy.users"] == 10
    assert counters["kind.browse.users"] == 30
    assert counters["kind.Slow.users"] == 6
    causes = sorted(crash["cause"] for crash in summary["crashes"])
    assert causes[0].startswith("browse: Slow: OSError: too slow (browse.py:")
    assert causes[1].startswith("buy: ValueError: sold out (buy.py:")
    assert summary["run"]["scenario"] == f"{buy}=10 {browse}=30"
    slow, sold_out = (
        next(one["count"] for one in summary["crashes"] if name in one["cause"])
        for name in ("Slow", "buy")
    )
    told = re.sub("<[^>]*>", " ", run.directory.joinpath("report.html").read_text())
    for name, users, crashes in (("buy", 10, sold_out), ("browse", 30, slow), ("Slow", 6, slow)):
        begun = counters[f"kind.{name}.iterations"]
        row = rf"\b{name} +{users} +{begun:,} +[0-9.,]+ +{crashes:,}\b"
        assert re.search(row, told), row
        assert re.search(row, run.output), row
    again = amoc("replay", str(run.directory), "--plan", cwd=Path("/"))
    assert "40 users, 1 to 40" in again.stdout, again.stderr


STAYING = """
    import os
    from amoc import user

    FILE = os.open(HERE + "/stayed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(user_id):
        os.write(FILE, f"{user_id} {os.getpid()}\\n".encode())
        user.wait_stopping()
    """
VISITING = """
    import os
    from amoc import sleep

    FILE = os.open(HERE + "/visited", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(user_id):
        os.write(FILE, f"{user_id}\\n".encode())
        sleep(0.02)
    """


def test_users_of_one_file_run_together_with_arrivals_of_another(scenario, tmp_path):
    stay, visit = scenario(STAYING, "stay.py"), scenario(VISITING, "visit.py")

    def stayed() -> list[tuple[int, int]]:
        found = (line.split() for line in lines(tmp_path / "stayed"))
        return [(int(user_id), int(pid)) for user_id, pid in found]

    several = (f"{visit}=50/s", "--max-users", "20", "--workers", "2")
    with running(f"{stay}=12", *several, directory=tmp_path) as run:
        workers = run.wait_for("worker", 2)
        eventually(lambda: len({one for one, _ in stayed()}) == 12, "all that stay")
        run.kill(workers[0])
        eventually(
            lambda: len({one for one, pid in stayed() if pid not in workers}) == 6,
            "those of the lost worker again",
        )
        before = len(lines(tmp_path / "visited"))
        eventually(lambda: len(lines(tmp_path / "visited")) > before + 20, "visits go on")
        run.kill(run.pid, 2)
        assert run.end() == 0, run.output
        summary = run.summary()
    counters = summary["counters"]
    assert {one for one, _ in stayed()} == set(range(1, 13))
    visitors = {int(one) for one in lines(tmp_path / "visited")}
    assert visitors <= set(range(13, 13 + 40)), "no more than --max-users at once"
    assert counters["kind.stay.users"] == 18, "six of them started again"
    assert counters["kind.visit.iterations"] == counters["arrivals"]
    assert counters["arrivals"] >= len(lines(tmp_path / "visited")) > 20
    again = amoc("replay", str(run.directory), "--plan", "--json", "-", cwd=Path("/"))
    planned = json.loads(again.stdout)
    assert planned["scenario"] == f"{stay}=12 {visit}=50/s"
    assert planned["arrivals"]["max_users"] == 20


def test_each_file_follows_its_own_stages(scenario, tmp_path):
    stay, visit = scenario(STAYING, "stay.py"), scenario(VISITING, "visit.py")
    loads = (f"{stay}=1s:8,1s:8,500ms:2,500ms:2", f"{visit}=500ms:0/s,1s:60/s,1500ms:60/s")
    with running(*loads, "--workers", "2", directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    counters, users = summary["counters"], summary["users"]
    assert counters["kind.stay.users"] == 8
    assert users["removed"] == 6, "those above the target, and no visitors"
    assert counters["arrivals"] + counters.get("dropped", 0) == 120
    assert counters["kind.visit.iterations"] == counters["arrivals"]
    assert summary["run"]["verdict"] == "no criteria", summary["notes"]


SEEN = """
    import os
    from pathlib import Path

    FILE = os.open(HERE + "/seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(user_id):
        os.write(FILE, f"{Path(__file__).stem} {os.getpid()}\\n".encode())
    """


@pytest.mark.parametrize("setting", ["repeat_num=1", "repeat_num=1_000"])
def test_rates_of_several_files_change_each_on_its_own(scenario, tmp_path, setting):
    files = [scenario(SEEN, f"{name}.py") for name in ("rising", "late", "steady")]
    rates = ("2s:80/s,2s:80/s", "0s:0/s,2s:0/s,0s:40/s,2s:40/s", "30/s")
    loads = [f"{file}={rate}" for file, rate in zip(files, rates, strict=True)]
    with running(*loads, "--workers", "2", "--set", setting, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    counters = summary["counters"]
    assert counters["arrivals"] + counters.get("dropped", 0) == 80 + 160 + 80 + 120
    for name, wanted in {"rising": 240, "late": 80, "steady": 120}.items():
        found = counters[f"kind.{name}.iterations"]
        assert abs(found - wanted) <= 8 + counters.get("dropped", 0), "three at most in a worker"
    seen = [line.split() for line in lines(tmp_path / "seen")]
    assert len({pid for _, pid in seen}) == 2
    first = next(place for place, (name, _) in enumerate(seen) if name == "late")
    assert abs(first - 140) <= 8, "none before its rate begins"


def test_a_pause_and_a_new_rate_keep_the_plan_of_each_file(scenario, tmp_path):
    files = [scenario(SEEN, f"{name}.py") for name in ("early", "late")]
    rates = ("0s:50/s,2s:50/s,0s:0/s,1h:0/s", "0s:0/s,2s:0/s,0s:50/s,1h:50/s")
    loads = [f"{file}={rate}" for file, rate in zip(files, rates, strict=True)]

    def names() -> list[str]:
        return [line.split()[0] for line in lines(tmp_path / "seen")]

    with running(*loads, "--workers", "2", directory=tmp_path) as run:
        eventually(lambda: len(names()) > 25, "arrivals")
        assert amoc("pause", "--run", str(run.directory), cwd=tmp_path).returncode == 0
        paused = len(names())
        assert 25 < paused < 100
        time.sleep(2.5)  # time must not count: longer than the first stage
        assert amoc("resume", "--run", str(run.directory), cwd=tmp_path).returncode == 0
        changed = amoc(
            "throttle", "arrival_rate", "100/s", "--run", str(run.directory), cwd=tmp_path
        )
        assert changed.returncode == 0, changed.stderr
        run.kill(run.wait_for("worker", 2)[0])
        eventually(lambda: "late" in names(), "the second stage")
        done = len(names())
        eventually(lambda: len(names()) > done + 50, "more of it")
        run.kill(run.pid, 2)
        assert run.end() == 0, run.output
        summary = run.summary()
    found = names()
    first = found.index("late")
    assert first > 60, "the time of a pause does not count"
    assert "early" not in found[first + 5 :], "a restarted worker knows where the plan is"
    assert summary["counters"]["arrivals"] >= len(found)
