"""Groups and barriers across real workers, also when one of them is killed."""

from __future__ import annotations

import re
import signal
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.support import ROOT, alive, eventually, lines, running

pytestmark = pytest.mark.slow

FAST = ("--set", "user_rate=60000", "--workers", "2", "--duration", "1h")

# Users add themselves again and again, each time with a new number. The log records what was
# added, when an action began, in which process, and when it ended. While there is a file called
# "hold", actions wait.
PAIRING = """
    import os
    from amoc import coordinator, sleep, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(*words):
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())

    def init():
        pairs = (2, lambda event, users: act(0, users))
        coordinator.start("pairs", [pairs, ((1, 4), lambda _, users: act(1, users))], timeout=0.5)

    def act(item, users):
        names = ",".join(data for _, data in users)
        say("begin", item, names, os.getpid())
        while os.path.exists(HERE + "/hold"):
            sleep(0.005)
        say("end", item, names, os.getpid())

    def start(user_id):
        number = 0
        while not user.stopping and not os.path.exists(HERE + "/enough"):
            number += 1
            name = f"{user_id}.{os.getpid()}.{number}"
            coordinator.add("pairs", name)
            say("add", name)
            sleep(0.02)
        user.wait_stopping()
"""


def named(log: Path, what: str) -> dict[str, list[list[str]]]:
    """Return, for each item, the names of each group whose action began (or ended: `what`)."""
    found = defaultdict(list)
    for line in lines(log):
        word, *rest = line.split(" ")
        if word == what:
            item, names, _pid = rest
            found[item].append([name for name in names.split(",") if name])
    return found


def test_groups_of_a_killed_worker_are_handled_by_another_and_no_other_add_is_lost(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log, hold = tmp_path / "log", tmp_path / "hold"
    with running(scenario(PAIRING), "--users", "20", *FAST, directory=tmp_path) as run:
        victim, survivor = (run.wait_for(f"worker {worker} ")[0] for worker in (0, 1))
        eventually(lambda: len(named(log, "end")["0"]) > 50, f"pairs are made:\n{run.output}")
        hold.touch()

        def held(pid: int) -> set[str]:
            """Return the groups whose action has begun in a process and has not ended."""
            begun = {line.removeprefix("begin ") for line in lines(log) if line.startswith("begin")}
            ended = {line.removeprefix("end ") for line in lines(log) if line.startswith("end")}
            return {line.rsplit(" ", 1)[0] for line in begun - ended if line.endswith(f" {pid}")}

        eventually(lambda: len(held(victim)) > 20, "actions wait in the worker to be killed")
        run.kill(victim)
        eventually(lambda: not alive({victim}), "it has ended")
        orphans = held(victim)
        replacement = eventually(
            lambda: [pid for pid in run.find("worker 0 ") if pid != victim], "it is replaced"
        )[0]
        eventually(
            lambda: orphans <= held(survivor) | held(replacement),
            f"its groups begin in another:\n{run.output}",
        )
        hold.unlink()
        (tmp_path / "enough").touch()

        def added() -> set[str]:
            return {
                line.split(" ")[1]
                for line in lines(log)
                if line.startswith("add") and f".{victim}." not in line
            }

        def grouped() -> set[str]:
            ended = named(log, "end")
            zero, one = ({name for names in ended[item] for name in names} for item in ("0", "1"))
            return zero & one

        def all_end() -> bool:
            begun, ended = named(log, "begin"), named(log, "end")
            return added() <= grouped() and all(
                {tuple(names) for names in begun[item]} == {tuple(names) for names in ended[item]}
                for item in ("0", "1")
            )

        # The last ones are grouped by the timeout.
        eventually(all_end, f"all groups of the other workers are handled:\n{run.output}")
        run.wait_for("worker 0 (10 users)")  # or users that have not restarted yet would be lost
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == []
    for groups in named(log, "end").values():
        # A group may be handled twice, but only as a whole; nobody is in two groups of an item.
        distinct = {tuple(names) for names in groups if names}
        assert max(Counter(name for names in distinct for name in names).values()) == 1
    counters = summary["counters"]
    assert counters["coordinator.pairs.adds"] >= len(added())
    assert (
        summary["timers"]["coordinator_action_delay"]["count"]
        == (counters["coordinator.pairs.groups"])
    )


BARRIER = """
    import os
    from amoc import coordinator, sleep, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(*words):
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())

    def start(user_id):
        while user_id == 40 and not os.path.exists(HERE + "/last"):
            sleep(0.005)
        say("come", user_id)
        for number in (1, 2, 3):
            coordinator.barrier("all", 40, timeout=60)
            say(number, user_id)
        try:
            coordinator.barrier("all", 41)
        finally:
            say("left" if user.stopping else "passed", user_id)
"""


def test_users_of_a_killed_worker_rejoin_the_barrier_and_all_pass_together(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(
        scenario(BARRIER), "--users", "40", *FAST, "--set", "repeat_num=1", directory=tmp_path
    ) as run:
        victim = run.wait_for("worker 0 ")[0]
        came = lambda: Counter(line for line in lines(log) if line.startswith("come"))  # noqa: E731
        eventually(lambda: len(came()) == 39, f"all but one come:\n{run.output}")
        run.kill(victim)
        eventually(lambda: sum(came().values()) == 39 + 20, f"20 come again:\n{run.output}")
        assert len(lines(log)) == 39 + 20
        (tmp_path / "last").touch()
        eventually(
            lambda: sum(line.startswith("3 ") for line in lines(log)) == 40,
            f"all are released three times:\n{run.output}",
        )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    log_of = Counter(line.rsplit(" ", 1)[0] for line in lines(log))
    assert log_of == {"come": 60, "1": 40, "2": 40, "3": 40, "left": 40}
    # Nobody starts the next round before all have been released from the previous one.
    order = [line[0] for line in lines(log) if line[0].isdigit()]
    assert order == sorted(order)
    assert summary["counters"]["barriers.released"] == 120
    assert summary["users"]["finished"] == 40


FAILING = """
    import os
    from amoc import coordinator, metrics, sleep, user

    def act(event, users):
        metrics.counter("acted").inc(len(users))
        raise ValueError(f"no. {users[0][0]}")

    def start(user_id):
        if user_id == 1:
            coordinator.start("late", (2, act), timeout=float("inf"))
            open(HERE + "/started", "w").close()
        while not os.path.exists(HERE + "/started"):
            sleep(0.005)
        coordinator.add("late")
        user.wait_stopping()
"""


def test_a_coordinator_started_by_a_user_works_in_all_workers_and_logs_errors_once(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with running(scenario(FAILING), "--users", "40", *FAST, directory=tmp_path) as run:
        run.wait_for_output("coordinator.late.action_errors 20")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        counters = run.summary()["counters"]
        output = run.output
    assert counters["coordinator.late.adds"] == 40
    assert counters["coordinator.late.groups"] == 20
    assert counters["coordinator.late.action_errors"] == 20
    assert counters["acted"] == 40
    assert run.summary()["users"]["finished"] == 40
    assert 1 <= output.count("Traceback (most recent call last)") <= 2, output


NAMES = """
    from amoc import coordinator, user

    def init():
        for number in range(5_000):
            coordinator.start(f"c{number}", (1, lambda event: None), timeout=float("inf"))

    def start(user_id):
        for number in range(5_000):
            coordinator.add(f"c{number}")
        coordinator.barrier(f"pair-{(user_id + 1) // 2}", 2, timeout=60)
        user.wait_stopping()
"""


def test_more_names_than_shared_memory_can_count_do_no_harm(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with running(scenario(NAMES), "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("barriers.released 4")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
        output = run.output
    assert summary["users"]["finished"] == 4
    assert summary["crashes"] == []
    assert "exited with" not in output
    assert output.count("not all throttles or coordinators are counted: ") == 2, output


# Users 1 to 4 are added, the actions of two pairs take a while, and then that of all users runs.
ENDING = """
    import os
    from amoc import coordinator, sleep, user
    from amoc.base.errors import PeerError

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(*words):
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())

    def slow(event):
        say("begin", event.kind)
        while not os.path.exists(HERE + "/go"):
            sleep(0.005)
        say("end", event.kind)

    def last(event):
        say("all", event.kind, event.count)

    def once(event):
        if event.kind == "coordinate":
            coordinator.stop("once")  # an action does not wait for itself
        say("once", event.kind)

    def init():
        coordinator.start("ended", [("all", last), (2, slow)])
        coordinator.start("once", (1, once))

    def start(user_id):
        if user_id > 1:
            return user.wait_stopping()
        for number in range(1, 5):
            coordinator.add("ended", number, None)
        try:
            coordinator.reset("ended", timeout=0.2)
        except PeerError as error:
            say("late:", error)
            os.close(os.open(HERE + "/go", os.O_CREAT | os.O_WRONLY))
        coordinator.stop("ended")
        coordinator.add("once", None)
        say("stopped")
"""


def test_reset_and_stop_wait_for_all_actions_and_run_that_of_all_users_last(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    fast = ("--set", "user_rate=60000", "--workers", "2", "--set", "repeat_num=1")
    with running(scenario(ENDING), "--users", "4", *fast, directory=tmp_path) as run:
        eventually(lambda: "once coordinate" in lines(tmp_path / "log"), "all is done")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        assert run.summary()["crashes"] == []
    said = [line for line in lines(tmp_path / "log") if not line.startswith("once")]
    late = (
        "late: coordinator.reset of ended did not finish within 0.2 s: not all of its actions have"
    )
    assert [line for line in said if line.startswith("late")] == [f"{late} returned"]
    assert said[-1] == "stopped"
    ends = [line for line in said if line.startswith(("end", "all"))]
    assert Counter(ends[:-1]) == Counter(
        {"end coordinate": 2, "end reset": 1, "all reset 4": 1, "end stop": 1}
    )
    before = ends[: ends.index("all reset 4")]
    assert (before.count("end coordinate"), before.count("end reset")) == (2, 1)
    assert ends[-1] == "all stop 0"


PAGE = re.findall(
    r"<!-- scenario: (\S+)(?: --run)? -->\n```python\n(.*?)```",
    (ROOT / "docs/coordinator.md").read_text(),
    re.DOTALL,
)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("strangers.py", {"greeted": 6, "coordinator.pairs.adds": 6}),
        ("rounds.py", {"players": 6, "coordinator.teams.timeouts": 1, "rounds": 1}),
        ("volley.py", {"shots": 6, "barriers.released": 6}),
    ],
)
def test_the_guides_examples_work_for_six_users_on_two_workers(
    name: str, counts: dict[str, int], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(dict(PAGE)[name])
    # Team sizes are drawn from the seed: with this one, one user is left over and waits.
    fast = ("--set", "user_rate=60000", "--workers", "2", "--set", "repeat_num=1", "--seed", "1")
    with running(tmp_path / name, "--users", "6", *fast, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == []
    assert summary["counters"] | counts == summary["counters"]


def test_a_coordinator_and_a_barrier_may_have_any_name(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    name = "Paare [bold] & <Söhne>: 50 %, 'x'\\\\"
    file = scenario(f"""
        from amoc import coordinator, metrics

        name = {name!r}

        def init():
            coordinator.start(name, (2, lambda event: metrics.counter("met").inc()))

        def start(user_id):
            coordinator.add(name)
            coordinator.barrier(name, 2)
            coordinator.reset(name)
            assert coordinator.state(name).name == name
    """)
    options = ("--users", "2", "--workers", "2", "--set", "repeat_num=1")
    with running(file, *options, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["users"]["crashed"] == 0
    assert summary["counters"][f"coordinator.{name}.adds"] == 2
    assert summary["counters"]["met"] == 3  # the pair, and two resets of an empty group
    assert f"coordinator.{name}.adds" in "".join(run.output.split("\n"))
