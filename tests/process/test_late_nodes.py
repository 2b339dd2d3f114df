"""Nodes that join a running run: real keepers on loopback."""

from __future__ import annotations

import signal
from collections import defaultdict
from itertools import pairwise

import pytest

from amoc.base.clock import MS_NS
from amoc.control.client import request
from amoc.results.run_directory import RunDirectory
from tests.process.joined import joined
from tests.process.support import DEADLINE_S, eventually, lines

pytestmark = pytest.mark.slow

# Users of all nodes take slots of one throttle; each sends mail to user 1 and waits for the answer.
SCENARIO = """
    import os
    from amoc import receive, run, send, setting, throttle, user
    from amoc.throttle import worker as gates

    mood = setting("first", "What is written down", update="free")
    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(*words):
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())

    def slot(name, epoch, number, due_ns, used_ns):
        if name == "pace":
            write("slot", due_ns)

    def init():
        assert not os.path.exists(HERE + "/broken"), "this host is of no use"
        throttle.start("pace", 100, 1)

    def start(user_id):
        gates.current().record_slots(slot)
        while user_id == 1 and not user.stopping:
            send(receive(timeout=600), "yes")
        send(1, user_id)
        assert receive(timeout=600) == "yes"
        write("runs", os.getpid(), user_id, mood.get(), run.iteration)
        while not user.stopping:
            throttle.wait("pace")
"""

# An iteration is longer than the gap between slots, so it takes several users.
ARRIVALS = """
    import os
    from amoc import sleep

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        os.write(log, f"{os.getpid()} {user_id}\\n".encode())
        sleep(0.15)
"""


# Logs which user runs in which process; also for the fixed users next to arrivals.
PLACES = """
    import os
    from amoc import sleep

    log = os.open(HERE + "/places", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        os.write(log, f"{os.getpid()} {user_id}\\n".encode())
        sleep(600)
"""


def places(log) -> dict[str, list[int]]:
    """Return, for each process, the users that have started an iteration in it."""
    found: dict[str, list[int]] = defaultdict(list)
    for line in lines(log):
        pid, user_id = line.split()
        found[pid].append(int(user_id))
    return found


def runs(log) -> dict[str, dict[int, str]]:
    """Return, for each process, the users that have run in it, and the setting that they saw."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for line in lines(log):
        what, *rest = line.split(" ")
        if what == "runs":
            pid, user_id, mood, _ = rest
            found[pid][int(user_id)] = mood
    return found


def test_late_nodes_share_the_work_and_take_over_from_a_lost_node(scenario, tmp_path):
    file, log = scenario(SCENARIO), tmp_path / "log"
    slowly = ("--users", "30", "--throttle", "user_rate=2/s", "--max-nodes", "4")
    with joined(file, 1, *slowly, "--duration", "1h", directory=tmp_path) as it:
        run, control = it.run, RunDirectory(it.run.directory).control
        eventually(lambda: len(runs(log)) == 1, f"users run:\n{run.output}")
        (first,) = runs(log)
        request(control, "pause", {})
        request(control, "set", {"values": {"mood": "second"}})
        request(control, "throttle", {"name": "user_rate", "rate": "50/s"})
        it.keeper("late")
        run.wait_for_output("node1 on late has joined with 1 worker; ")
        assert list(runs(log)) == [first], "it knows that the run is paused"
        request(control, "resume", {})
        eventually(lambda: sum(map(len, runs(log).values())) == 29, f"all run:\n{run.output}")
        (second,) = runs(log).keys() - {first}
        there = runs(log)
        assert len(there[second]) >= 5, there
        assert set(there[second].values()) == {"second"}, "it has the settings as they are"
        assert not there[first].keys() & there[second].keys(), "nobody has moved"

        it.keepers[0].send_signal(signal.SIGTERM)  # with user 1, which the others need
        run.wait_for_output("node 0 stops: told to stop by SIGTERM")
        eventually(lambda: len(runs(log)[second]) == 29, f"all run there:\n{run.output}")
        (tmp_path / "broken").touch()
        it.keeper("broken")
        run.wait_for_output("node2 on broken cannot join: ")
        assert it.keepers[-1].wait(DEADLINE_S) == 8
        (tmp_path / "broken").unlink()
        it.keeper("back")
        run.wait_for_output("node3 on back has joined")
        request(control, "add", {"count": 4})
        eventually(lambda: len(runs(log)) == 3, f"new users are there, too:\n{run.output}")
        third = runs(log).keys() - {first, second}
        eventually(lambda: sum(len(runs(log)[one]) for one in third) == 2, "by turns")
        status = request(control, "status", {})
        assert [one["state"] for one in status["nodes"]] == ["lost", "up", "up"]
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        nodes = run.summary()["nodes"]
    assert [one["joined_at_s"] is None for one in nodes] == [True, False, False]
    assert run.summary()["crashes"] == []
    iterations = [line.split()[-1] for line in lines(log) if line.startswith("runs")]
    assert len(set(iterations)) == len(iterations), "each has a number of its own"
    slots = sorted(int(line.split()[1]) for line in lines(log) if line.startswith("slot"))
    gaps = [after - before for before, after in pairwise(slots)]
    assert min(gaps) >= 9 * MS_NS, "all nodes together pass as often as one would"


def test_a_late_node_gets_its_share_of_an_arrival_rate(scenario, tmp_path):
    file, log = scenario(ARRIVALS, "rated.py"), tmp_path / "log"
    fixed = scenario(PLACES, "fixed.py")
    rate = ("--max-users", "8", "--max-nodes", "2", "--duration", "1h")
    slowly = ("--throttle", "user_rate=1/s")

    def users() -> dict[str, list[int]]:
        return places(log)

    with joined(f"{file}=40/s", 1, f"{fixed}=200", *rate, *slowly, directory=tmp_path) as it:
        run, control = it.run, RunDirectory(it.run.directory).control
        eventually(lambda: sum(map(len, users().values())) > 20, f"users run:\n{run.output}")
        (first,) = users()
        it.keeper("late")
        run.wait_for_output("node1 on late has joined with 1 worker; ")
        request(control, "throttle", {"name": "user_rate", "rate": "10000/s"})
        others = tmp_path / "places"
        eventually(
            lambda: sum(map(len, places(others).values())) == 200, f"the others:\n{run.output}"
        )
        assert min(map(len, places(others).values())) >= 50, "it has its share of them"
        eventually(lambda: len(users()) == 2, f"users run there, too:\n{run.output}")
        before = users()[first]
        (second,) = users().keys() - {first}
        eventually(lambda: len(users()[second]) > 20, f"it has slots:\n{run.output}")
        assert len(users()[first]) > len(before), "the first one has some as well"
        it.keepers[0].send_signal(signal.SIGTERM)
        run.wait_for_output("node 0 stops: told to stop by SIGTERM")
        eventually(
            lambda: len(set(users()[second])) > 4, f"it has the share of both:\n{run.output}"
        )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
    assert not set(users()[first]) & set(users()[second]), "each has ids of its own"


def test_a_late_node_named_by_on_nodes_gets_a_block_of_users(scenario, tmp_path):
    file, log = scenario(PLACES), tmp_path / "places"
    blocks = ("--placement", "blocks", "--on-nodes", "h0,late", "--max-nodes", "3")
    slowly = ("--users", "400", "--throttle", "user_rate=1/s", "--duration", "1h")
    with joined(file, 1, *blocks, *slowly, directory=tmp_path) as it:
        run, control = it.run, RunDirectory(it.run.directory).control
        eventually(lambda: places(log), f"users run:\n{run.output}")
        (first,) = places(log)
        it.keeper("other")
        run.wait_for_output("0 users will start there, since --on-nodes names others")
        it.keeper("late")
        run.wait_for_output("node2 on late has joined with 1 worker; 1")
        request(control, "throttle", {"name": "user_rate", "rate": "10000/s"})
        eventually(lambda: sum(map(len, places(log).values())) == 400, f"all run:\n{run.output}")
        (second,) = places(log).keys() - {first}
        block = places(log)[second]
        assert sorted(block) == [*range(401 - len(block), 401)], "the last ones, in a row"
        assert 100 <= len(block) < 200, "half of those that had not started"
        assert f"with 1 worker; {len(block)} users will start there\n" in run.output
        request(control, "add", {"count": 6})
        eventually(lambda: len(places(log)[second]) == len(block) + 3, "by turns from then on")
        it.keepers[0].send_signal(signal.SIGTERM)
        eventually(
            lambda: sum(map(len, places(log).values())) == 406 + len(places(log)[first]),
            f"a lost one's start again:\n{run.output}",
        )
        assert len(places(log)) == 3, "on all others"
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
