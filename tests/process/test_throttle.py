"""Throttles of a real run keep their rate across all workers, also when one is killed."""

from __future__ import annotations

import re
import signal
from itertools import pairwise
from time import monotonic_ns
from typing import NamedTuple

import pytest

from amoc.base.clock import S_NS
from amoc.base.errors import ExitCode
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from amoc.throttle.slot_allocator import AHEAD, VOID_NS
from tests.process.support import also_over_nodes, eventually, lines, running

pytestmark = pytest.mark.slow

NOTE = """
    import os
    from amoc import throttle
    from amoc.throttle import worker as gates

    FILE = os.open(HERE + "/slots", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*slot):
        # Unbuffered, so that nothing is lost with a killed worker.
        if slot[0] != "user_rate":
            os.write(FILE, (" ".join(map(str, (os.getpid(), *slot))) + "\\n").encode())
    """
ENDLESS = (
    NOTE
    + """
    def init():
        throttle.start("actions", 500, 1)

    def start(user_id):
        gates.current().record_slots(note)
        while True:
            throttle.wait("actions")
    """
)


class Slot(NamedTuple):
    """One slot that was used."""

    pid: int
    name: str
    epoch: int
    number: int
    due_ns: int
    used_ns: int


def slots_of(tmp_path) -> list[Slot]:
    found = []
    for line in lines(tmp_path / "slots"):
        pid, name, *rest = line.split()
        found.append(Slot(int(pid), name, *map(int, rest)))
    return sorted(found, key=lambda one: one.due_ns)


def check_slots(slots: list[Slot], rate: float) -> None:
    names = [(one.name, one.epoch, one.number) for one in slots]
    assert len(names) == len(set(names)), "a slot was used twice"
    assert all(one.used_ns >= one.due_ns for one in slots), "a slot was used before its time"
    for epoch in {one.epoch for one in slots}:
        dues = [one.due_ns for one in slots if one.epoch == epoch]
        assert all(b - a >= 1e9 / rate - 2 for a, b in pairwise(dues)), "slots too close"


def test_slots_stay_correct_when_a_worker_is_killed_and_its_share_is_dealt_again(
    scenario, tmp_path
):
    file = scenario(ENDLESS)
    arguments = ("--users", "40", "--workers", "2", "--set", "user_rate=infinity")
    with running(file, *arguments, directory=tmp_path) as run:
        workers = run.wait_for("worker", 2)

        def used_by(pid: int, count: int) -> bool:
            return sum(one.pid == pid for one in slots_of(tmp_path)) > count

        for pid in workers:
            eventually(lambda pid=pid: used_by(pid, 100), "both workers use slots")
        run.kill(workers[0])
        replaced = eventually(lambda: set(run.find("worker")) - set(workers), "a replacement")
        (third,) = replaced
        known_ns = monotonic_ns()  # its death was known before, or there would be no replacement
        eventually(lambda: used_by(third, 100), "the replacement uses slots")
        stopped_ns = monotonic_ns()
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    slots = slots_of(tmp_path)
    check_slots(slots, 500)
    # Users wanted all slots, all the time; missing are only those that the dead worker held, and
    # those that were counted as missed. It held slots after the last one that it used, which
    # may have been late; those due after its death was known were dealt again.
    used_ns = max(one.due_ns for one in slots if one.pid == workers[0])
    last, missed = slots[-1], summary["throttles"]["actions"]["missed"]
    missing = set(range(last.number + 1)) - {one.number for one in slots}
    due_ns = {number: last.due_ns - (last.number - number) * S_NS // 500 for number in missing}
    in_hand = {one for one in missing if used_ns < due_ns[one] <= known_ns}
    # Users of one worker may leave before those of the other; a slot may be used that late.
    at_the_end = {one for one in missing if due_ns[one] > stopped_ns - VOID_NS}
    assert len(missing - in_hand - at_the_end) <= missed
    assert len({one.epoch for one in slots}) == 1
    assert summary["throttles"]["actions"]["executions"] >= len(slots)


@also_over_nodes("--workers", "2")
def test_all_workers_change_their_rate_at_the_same_moment(scenario, tmp_path, spread):
    file = scenario(
        ENDLESS
        + """
            if user_id == 1 and os.path.exists(HERE + "/change"):
                os.rename(HERE + "/change", HERE + "/changed")
                throttle.change_rate("actions", 200, 1)
        """
    )
    arguments = ("--users", "40", *spread, "--set", "user_rate=infinity")
    workers = 3 if "--cluster" in spread else 2
    with running(file, *arguments, directory=tmp_path) as run:
        eventually(lambda: len({one.pid for one in slots_of(tmp_path)}) == workers, "all use slots")
        (tmp_path / "change").touch()
        eventually(
            lambda: len({one.pid for one in slots_of(tmp_path) if one.epoch == 2}) == workers,
            "all use slots of the new rate",
        )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
    slots = slots_of(tmp_path)
    check_slots(slots, 500)
    old = [one.due_ns for one in slots if one.epoch == 1]
    new = [one.due_ns for one in slots if one.epoch == 2]
    assert max(old) < min(new)
    assert all(b - a >= 5_000_000 - 2 for a, b in pairwise(new))


def test_a_permit_held_by_a_killed_worker_is_released(scenario, tmp_path):
    file = scenario(
        NOTE
        + """
    from amoc import sleep

    def init():
        throttle.limit_concurrency("places", 1)

    def start(user_id):
        with throttle.permit("places"):
            with open(HERE + "/inside", "a") as file:
                file.write(f"{os.getpid()}\\n")
            sleep(3600)
    """
    )
    arguments = ("--users", "8", "--workers", "2", "--set", "user_rate=infinity")
    with running(file, *arguments, "--stop-timeout", "1s", directory=tmp_path) as run:
        workers = run.wait_for("worker", 2)
        first = eventually(lambda: lines(tmp_path / "inside"), "one is inside")
        assert len(first) == 1
        run.kill(int(first[0]))
        (other,) = set(workers) - {int(first[0])}
        both = eventually(lambda: lines(tmp_path / "inside")[1:], "another one is inside")
        assert int(both[0]) == other
        assert len(lines(tmp_path / "inside")) == 2
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 11, run.output  # its users had not restarted yet


def test_the_throttle_option_overrides_rates_from_init(scenario, tmp_path):
    file = scenario(
        NOTE
        + """
    def init():
        throttle.start("actions", 0)

    def start(user_id):
        for _ in range(5):
            throttle.wait("actions")
    """
    )
    arguments = ("--users", "4", "--workers", "2", "--set", "repeat_num=1")
    options = ("--throttle", "actions=100/s", "--throttle", "nothing=1/s")
    with running(file, *arguments, *options, directory=tmp_path) as run:
        assert run.end() == ExitCode.USAGE, run.output
        assert run.summary()["throttles"]["actions"]["executions"] == 20
        assert "throttle actions is started with 100/s (from --throttle)" in run.output
        assert "init() started no throttle nothing" in run.output
        assert "--throttle nothing=…: the run started no throttle nothing; started: " in run.output


def test_a_throttle_in_use_for_a_second_below_its_rate_is_noted(scenario, tmp_path):
    file = scenario("""
        from amoc import sleep, throttle

        def init():
            throttle.start("pages", 100, 1)
            throttle.start("unused", 100, 1)

        def start(user_id):
            for _ in range(10):
                throttle.wait("pages")
                sleep(0.1)
    """)
    arguments = ("--users", "1", "--workers", "2", "--set", "repeat_num=1")
    with running(file, *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        notes = run.summary()["run"]["notes"]
    pages, unused = notes
    assert re.match(r"throttle pages reached \S+/s of the configured 1?\d\d(\.\d+)?/s: ", pages)
    assert unused.startswith("throttle unused reached 0/s of the configured ")


def test_the_wanted_rate_of_a_throttle_is_recorded_until_it_stops(scenario, tmp_path):
    file = scenario(
        """
    from amoc import throttle

    def init():
        throttle.start("actions", 40, 1)

    def start(user_id):
        for _ in range(12):
            throttle.wait("actions")
        throttle.stop("actions")
        """
    )
    once = ("--users", "1", "--workers", "1", "--set", "repeat_num=1")
    with running(file, *once, directory=tmp_path) as run:
        assert run.end() == ExitCode.OK, run.output
    seconds = StoredSeries(RunDirectory(run.directory).series)
    points = [one.throttles["actions"] for one in seconds if "actions" in one.throttles]
    assert sum(one.executions for one in points) == 12
    # The first slot is due at once, the others 25 ms apart.
    assert 11 <= sum(one.wanted for one in points) <= 40 * list(seconds)[-1].t_s
    assert points[-1].mode == "stopped"


def test_a_throttle_that_init_cannot_start_fails_the_run(scenario, tmp_path):
    file = scenario(
        NOTE
        + """
    def init():
        throttle.start("actions", 1)
        throttle.start("actions", 2)

    def start(user_id):
        pass
    """
    )
    with running(file, "--users", "1", directory=tmp_path) as run:
        assert run.end() == 5, run.output
        assert "throttle actions is already started" in run.output


def test_permits_are_shared_evenly_by_all_workers(scenario, tmp_path):
    file = scenario(
        NOTE
        + """
    import time
    from amoc import sleep

    def init():
        throttle.limit_concurrency("places", 1)

    def start(user_id):
        passed, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            with throttle.permit("places"):
                passed += 1
                sleep(0.001)
        with open(HERE + "/passed", "a") as file:
            file.write(f"{passed}\\n")
    """
    )
    settings = ("--set", "user_rate=infinity", "--set", "repeat_num=1")
    with running(file, "--users", "3", "--workers", "3", *settings, directory=tmp_path) as run:
        assert run.end() == 0, run.output
    passed = [int(line) for line in lines(tmp_path / "passed")]
    assert len(passed) == 3
    assert min(passed) * 3 > max(passed) > 0


def test_slots_held_far_ahead_are_shared_when_another_worker_needs_them(scenario, tmp_path):
    file = scenario(
        NOTE
        + """
    from pathlib import Path
    from amoc import sleep

    def init():
        throttle.start("actions", 20, 1)

    def start(user_id):
        gates.current().record_slots(note)
        while user_id == 2 and not Path(HERE + "/come").exists():
            sleep(0.01)
        for _ in range(20 if user_id == 2 else 10_000):
            throttle.wait("actions")
    """
    )
    once = ("--set", "user_rate=infinity", "--set", "repeat_num=1", "--stop-timeout", "1s")
    with running(file, "--users", "2", "--workers", "2", *once, directory=tmp_path) as run:
        # The longer its users take every slot, the further ahead a worker asks for them.
        eventually(lambda: len(slots_of(tmp_path)) > 70, "one worker uses all slots")
        (tmp_path / "come").touch()
        before = len(slots_of(tmp_path))
        first = slots_of(tmp_path)[0].pid
        eventually(
            lambda: sum(one.pid != first for one in slots_of(tmp_path)) == 20, "the other, too"
        )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        missed = run.summary()["throttles"]["actions"]["missed"]
    slots = slots_of(tmp_path)
    check_slots(slots, 20)
    missing = set(range(slots[-1].number)) - {one.number for one in slots}
    assert len(missing) <= missed, "what one does not use any more is used by the other"
    others = [index for index, one in enumerate(slots) if one.pid != first]
    assert others[0] - before < AHEAD - 10, "it did not wait until those far ahead were over"
    assert others[-1] - others[0] < 60, "they take turns"
