"""Several kinds of users in a run: by weight, whatever happens to their workers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import DEADLINE_S, ROOT, eventually, lines, running

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


def test_a_user_stays_of_its_kind_and_crashes_name_it(scenario, tmp_path):
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


def test_at_an_arrival_rate_iterations_are_mixed_by_weight_however_long_they_take(
    scenario, tmp_path
):
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


def test_several_scenarios_have_their_own_users(scenario, tmp_path):
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
    again = subprocess.run(
        [sys.executable, "-m", "amoc", "replay", str(run.directory), "--plan"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert "40 users, 1 to 40" in again.stdout, again.stderr
