"""A run on three nodes gives the same guarantees as a run on one, also when a node is killed."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import AmocError
from amoc.control.client import request
from amoc.results.journal import read
from amoc.results.run_directory import RunDirectory
from tests.process.support import Run, alive, eventually, lines, running

pytestmark = pytest.mark.slow

THREE = ("--cluster", "local:3", "--workers", "1", "--set", "user_rate=infinity")

# Each user passes a throttle, takes a unique row, sends mail to its neighbour, which is on
# another node, joins a group with users of other nodes, and waits for all of them at a barrier.
EVERYTHING = """
    import os
    from amoc import coordinator, feed, metrics, run, throttle, user

    USERS = 12
    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    rows = feed.csv("rows.csv", order="unique")
    done = metrics.counter("done")

    def say(*words):
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())

    def init():
        say("init")
        throttle.start("pass", 40, interval=1)
        coordinator.start("fours", [(4, lambda _, users: say("group", *(i for i, _ in users)))])
        coordinator.start(
            "near", [(2, lambda _, users: say("near", *(i for i, _ in users)))], scope="node"
        )

    def start(user_id):
        say("runs", user_id, os.getppid())
        for _ in range(5):
            throttle.wait("pass")
            say("row", rows.next()["n"])
        say("number", run.iteration)
        user.send(user_id % USERS + 1, ["from", user_id], check=False)
        say("mail", user_id, *user.receive(timeout=60))
        coordinator.add("fours", None)
        coordinator.add("near", None)
        coordinator.barrier("all", USERS)
        done.inc()

    def terminate():
        say("terminate")
"""


def test_three_nodes_give_the_same_guarantees_as_one(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(60)))
    once = ("--users", "12", "--set", "repeat_num=1")
    with running(scenario(EVERYTHING), *once, *THREE, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    said = defaultdict(list)
    for line in lines(tmp_path / "log"):
        word, *rest = line.split(" ")
        said[word].append(rest)
    assert (len(said["init"]), len(said["terminate"])) == (3, 3)
    nodes = {int(user_id): supervisor for user_id, supervisor in said["runs"]}
    assert Counter(nodes.values()) == dict.fromkeys(set(nodes.values()), 4)
    assert len(set(nodes.values())) == 3
    for user_id in range(1, 13):
        assert (nodes[user_id] == nodes[user_id % 12 + 1]) is False, "neighbours are apart"
        assert nodes[user_id] == nodes[(user_id + 2) % 12 + 1], "they go round the nodes"
    assert sorted(int(row) for (row,) in said["row"]) == list(range(60))
    numbers = [number for (number,) in said["number"]]
    assert len(set(numbers)) == len(numbers) == 12
    expected = [[str(one % 12 + 1), "from", str(one)] for one in range(1, 13)]
    assert sorted(said["mail"]) == sorted(expected)
    assert sorted(int(one) for group in said["group"] for one in group) == list(range(1, 13))
    assert [len(group) for group in said["group"]] == [4, 4, 4]
    assert len(said["near"]) == 6
    assert all(len({nodes[int(one)] for one in pair}) == 1 for pair in said["near"])
    # Slots are 25 ms apart, so those of 60 rows take 59 of these at least.
    throttle = summary["throttles"]["pass"]
    assert throttle["executions"] == 60
    assert summary["run"]["duration_s"] >= 59 * 0.025
    counters = summary["counters"]
    assert (counters["done"], counters["mail_sent"], counters["mail_received"]) == (12, 12, 12)
    assert summary["users"]["finished"] == 12
    workers = [(one["node"], one["worker"]) for one in summary["workers"]]
    assert workers == [("node0", 0), ("node1", 1), ("node2", 2)]


# Each user logs, unbuffered, its process each time that it counts.
COUNTING = """
    import os
    from amoc import metrics, sleep, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    counts = metrics.counter("counts")

    def start(user_id):
        where = os.getpid()
        while not user.stopping:
            counts.inc()
            os.write(log, f"count {user_id} {where}\\n".encode())
            sleep(0.02)

    def terminate():
        os.write(log, b"terminate\\n")
"""
USERS = 12


def users_by_process(log: Path) -> dict[str, set[int]]:
    """Return the users that each process has run so far."""
    found = defaultdict(set)
    for line in lines(log):
        if line.startswith("count"):
            _, user_id, where = line.split(" ")
            found[where].add(int(user_id))
    return found


def counting(run: Run, log: Path) -> dict[str, set[int]]:
    """Wait until all users have counted and the controller knows; return them by process.

    The controller learns of a start within a few hundredths of a second; until then, the user
    counts as not started.
    """
    found = eventually(
        lambda: (
            found
            if sum(map(len, (found := users_by_process(log)).values())) == USERS and len(found) == 3
            else None
        ),
        f"{USERS} users count in three processes:\n{run.output}",
    )
    write_seconds(run, 2)
    return found


def write_seconds(run: Run, count: int) -> None:
    """Wait until the controller has written `count` more seconds."""
    series = run.directory / "series.amoc"
    size = series.stat().st_size if series.exists() else 0
    for _ in range(count):
        eventually(
            lambda size=size: series.exists() and series.stat().st_size > size,
            f"another second is written:\n{run.output}",
        )
        size = series.stat().st_size


@pytest.mark.parametrize("role", ["node", "supervisor"])
def test_users_of_a_killed_node_restart_on_the_others_and_none_runs_twice(
    scenario: Callable[[str], Path], tmp_path: Path, role: str
) -> None:
    log = tmp_path / "log"
    with running(
        scenario(COUNTING), "--users", str(USERS), *THREE, "--duration", "1h", directory=tmp_path
    ) as run:
        before = counting(run, log)
        run.kill(run.find(role)[0])
        lost = eventually(
            lambda: [where for where in before if not alive({int(where)})],
            f"the workers of the {role} end:\n{run.output}",
        )
        (gone,) = lost
        eventually(
            lambda: (
                sum(
                    len(users & before[gone])
                    for where, users in users_by_process(log).items()
                    if where != gone
                )
                == len(before[gone])
            ),
            f"its users start again elsewhere:\n{run.output}",
        )
        assert len(run.find("node")) == len(run.find("supervisor")) == 2
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary, journal = run.summary(), read(run.directory / "journal.jsonl")
    said = [line.split(" ") for line in lines(log) if line.startswith("count")]
    moved = {}
    for _, user_id, where in said:
        if where != gone and int(user_id) in before[gone]:
            moved[user_id] = where
        assert not (where == gone and user_id in moved), f"user {user_id} runs twice"
    assert set(moved.values()) == before.keys() - {gone}, "they are spread over the others"
    assert summary["users"]["restarted"] == len(before[gone]) == 4
    assert (summary["users"]["finished"], summary["users"]["lost"]) == (USERS, 0)
    # Only counts since the lost node's last sample are lost, with its shared memory.
    counts, lost_at_most = len(said), sum(where == gone for _, _, where in said)
    assert counts - lost_at_most <= summary["counters"]["counts"] <= counts
    (entry,) = [one for one in journal if one["kind"] == "node" and one["state"] == "lost"]
    assert (entry["restarted"], entry["lost"]) == (4, 0)
    reason = f"{entry['name']} was killed by SIGKILL" if role == "node" else "supervisor of node"
    assert any(reason in one for one in summary["run"]["reasons"])
    assert "4 users will restart on the other nodes" in run.output
    assert lines(log).count("terminate") == 2


def test_counts_reported_by_a_node_before_it_was_killed_are_kept(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = """
        import os
        from amoc import metrics, user

        counts = metrics.counter("counts")
        log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def start(user_id):
            if not os.path.exists(f"{HERE}/{user_id}"):
                open(f"{HERE}/{user_id}", "w").close()
                counts.inc(100)
            os.write(log, f"count {user_id} {os.getpid()}\\n".encode())
            user.wait_stopping()
    """
    log = tmp_path / "log"
    with running(
        scenario(text), "--users", str(USERS), *THREE, "--duration", "1h", directory=tmp_path
    ) as run:
        counting(run, log)
        # The controller has a second that begins now once it has the one after it.
        write_seconds(run, 3)
        run.kill(run.find("node")[1])
        eventually(lambda: len(lines(log)) == USERS + 4, f"4 users start again:\n{run.output}")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        assert run.summary()["counters"]["counts"] == 100 * USERS


@pytest.mark.parametrize(("policy", "code"), [("continue", 0), ("fail", 8)])
def test_on_node_loss_decides_whether_a_run_continues_or_fails(
    scenario: Callable[[str], Path], tmp_path: Path, policy: str, code: int
) -> None:
    with running(
        scenario(COUNTING),
        *("--users", str(USERS), *THREE, "--duration", "1h", "--on-node-loss", policy),
        directory=tmp_path,
    ) as run:
        counting(run, tmp_path / "log")
        tree, said = set(run.tree()), "4 users lost with it"
        _, second, third = run.find("node")
        run.kill(second)
        if policy == "continue":
            eventually(lambda: run.output.count(said) == 1, "a node is lost")
            run.kill(third)
            eventually(lambda: run.output.count(said) == 2, "another one is lost")
            run.kill(run.pid, signal.SIGINT)
        assert run.end() == code, run.output
        eventually(lambda: not alive(tree), "nothing is left")
        assert not run.has_sockets
        users = run.summary()["users"]
    assert users["restarted"] == 0
    if policy == "continue":
        assert (users["finished"], users["lost"]) == (4, 8), "nobody is lost twice"


def test_users_not_yet_started_on_a_lost_node_start_on_the_others(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    policy = ("--on-node-loss", "continue", "--duration", "1h")
    with running(scenario(COUNTING), "--users", "3", *THREE, *policy, directory=tmp_path) as run:
        eventually(lambda: len(users_by_process(log)) == 3, f"each node has a user:\n{run.output}")
        # At one a minute, the controller knows of every start when the node is killed.
        control = RunDirectory(run.directory).control
        request(control, "set", {"values": {"user_rate": 1}})
        request(control, "add", {"count": USERS - 3})
        write_seconds(run, 2)
        gone = next(where for where, users in users_by_process(log).items() if 2 in users)
        run.kill(run.find("node")[1])
        run.wait_for_output("lost with it")
        ran = users_by_process(log)[gone]
        request(control, "set", {"values": {"user_rate": "infinity"}})

        def elsewhere() -> set[int]:
            others = [users for where, users in users_by_process(log).items() if where != gone]
            return set().union(*others)

        eventually(
            lambda: elsewhere() >= set(range(1, USERS + 1)) - ran,
            f"those of the lost node that it had not started start:\n{run.output}",
        )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        users = run.summary()["users"]
    assert len(ran) < 4
    assert not elsewhere() & ran
    assert (users["finished"], users["lost"]) == (USERS - len(ran), len(ran))
    assert users["restarted"] == 0


def test_a_killed_worker_is_replaced_on_its_own_node(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(
        scenario(COUNTING), "--users", str(USERS), *THREE, "--duration", "1h", directory=tmp_path
    ) as run:
        before = counting(run, log)
        victim = run.wait_for("worker 1 ")[0]
        run.kill(victim)
        mine = before[str(victim)]
        eventually(
            lambda: any(
                users == mine and where not in before
                for where, users in users_by_process(log).items()
            ),
            f"its users start again in one process:\n{run.output}",
        )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert [(one["node"], one["restarts"]) for one in summary["workers"]] == [
        ("node0", 0),
        ("node1", 1),
        ("node2", 0),
    ]
    assert summary["run"]["reasons"] == ["worker 1 was killed by SIGKILL"]


@pytest.mark.parametrize("held", [False, True], ids=["", "lifelines held open"])
def test_users_on_all_nodes_finish_after_the_controller_is_killed(
    scenario: Callable[[str], Path], tmp_path: Path, held: bool
) -> None:
    with running(
        scenario(COUNTING), "--users", str(USERS), *THREE, "--duration", "1h", directory=tmp_path
    ) as run:
        counting(run, tmp_path / "log")
        tree = set(run.tree())
        nodes = run.find("node") if held else []
        ends = [os.open(f"/proc/{node}/fd/0", os.O_WRONLY) for node in nodes]
        run.kill(run.pid)
        eventually(lambda: not alive(tree), f"nothing of the tree is left: {tree}")
        eventually(lambda: not run.has_sockets, "the last one removes the sockets")
        for end in ends:
            os.close(end)
    assert lines(tmp_path / "log").count("terminate") == 3


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("chosen", r"got \d+ on node0 \(.*\) and \d+ on node1"),
        ("token", r"but its value, which is secret, differs between node0 \(.*\) and node1"),
    ],
)
def test_nodes_with_different_settings_are_refused_before_any_user_starts(
    scenario: Callable[[str], Path], tmp_path: Path, name: str, rule: str
) -> None:
    text = f"""
        import os
        from amoc import override, setting

        {name} = setting("", "Another one on each node")
        override("{name}", str(os.getpid()))

        def start(user_id): ...
    """
    with running(scenario(text), "--users", "3", *THREE, directory=tmp_path) as run:
        assert run.end() == 3
        tree = set(run.tree())
        assert re.search(
            f"amoc: setting {name} must be the same on all nodes, {rule}", run.output
        ), run.output
        eventually(lambda: not alive(tree), "nothing is left")
    assert not (tmp_path / "run" / "summary.json").exists()


def assert_settings_of_some_nodes(ask: Callable[..., dict[str, Any]], run: Run) -> None:
    """Set `pause`, 0.05 on three nodes, on one node only; then on all of them again."""
    answer = ask("set", values={"pause": 0.07}, on_nodes=["node1"])
    assert answer["summary"] == "on node1 only: pause is 0.07 now, was 0.05"
    assert [one["worker"] for one in answer["workers"]] == ["node1/1"]
    for values, on_nodes, why in (
        ({"pause": 0.08}, ["node1", "here"], r"nodes of the run \(node0, node1, node2\), got here"),
        ({"pause": -1}, ["node1"], "pause"),
        ({"user_rate": 60}, ["node1"], "--on-nodes cannot be used with user_rate: a run has a"),
    ):
        with pytest.raises(AmocError, match=why):
            ask("set", values=values, on_nodes=on_nodes)
    run.kill(run.find("worker 1 ")[0])
    run.wait_for_output("worker 1 was replaced")
    was = {one["worker"]: one["text"] for one in ask("set", values={"pause": 0.06})["workers"]}
    assert was == {
        f"node{number}/{number}": f"pause is 0.06 now, was {before}"
        for number, before in enumerate((0.05, 0.07, 0.05))
    }


def test_users_are_added_and_removed_on_all_or_selected_nodes(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = """
        from amoc import setting, user

        pause = setting(0.02, "Seconds between looks", verify=lambda s: s > 0, update="free")

        def start(user_id):
            while not user.stopping:
                user.wait_stopping(pause.get())
    """
    with running(
        scenario(text), "--users", "6", *THREE, "--duration", "1h", directory=tmp_path
    ) as run:
        control = RunDirectory(run.directory).control
        eventually(control.exists, f"a control socket:\n{run.output}")

        def ask(name: str, **arguments: object) -> dict[str, Any]:
            return request(control, name, arguments)

        def users_of_nodes() -> list[int]:
            return [one["users"] for one in ask("status")["nodes"]]

        eventually(lambda: users_of_nodes() == [2, 2, 2], "6 users on three nodes")
        ask("add", count=6)
        eventually(lambda: users_of_nodes() == [4, 4, 4], "6 more")
        answer = ask("add", count=6, on_nodes=["node1", "node2"])
        assert [one["worker"] for one in answer["workers"]] == ["node1/1", "node2/2"]
        eventually(lambda: users_of_nodes() == [4, 7, 7], "6 more on two of them")
        ask("remove", count=4, on_nodes=["node1"], force=True)
        eventually(lambda: users_of_nodes() == [4, 3, 7], "4 of one of them leave")
        ask("remove", count=5)
        eventually(lambda: sum(users_of_nodes()) == 9, "5 leave wherever they are")
        with pytest.raises(AmocError, match=r"nodes of the run \(node0, node1, node2\), got here"):
            ask("add", count=1, on_nodes=["here"])
        assert len(ask("set", values={"pause": 0.05})["workers"]) == 3
        assert_settings_of_some_nodes(ask, run)
        with pytest.raises(AmocError, match="pause"):
            ask("set", values={"pause": -1})
        assert len(ask("pause")["workers"]) == 3
        assert ask("status")["state"] == "paused"
        ask("resume")
        ask("stop")
        assert run.end() == 0, run.output
        nodes = run.summary()["nodes"]
    assert [(one["name"], one["state"], one["workers"]) for one in nodes] == [
        (f"node{number}", "up", 1) for number in range(3)
    ]


def test_users_run_only_on_the_nodes_given_by_on_nodes(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario("def start(user_id): ...")
    once = ("--users", "6", *THREE, "--set", "repeat_num=1")
    chosen = (*once, "--on-nodes", "node0,node2")
    with running(file, *chosen, directory=tmp_path, run_directory=tmp_path / "chosen") as run:
        assert run.end() == 0, run.output
        workers = run.summary()["workers"]
        plan = read(run.directory / "journal.jsonl")[0]["plan"]
    assert [one["users_peak"] > 0 for one in workers] == [True, False, True]
    assert plan["on_nodes"] == ["node0", "node2"]
    with running(file, *once, "--on-nodes", "node3", directory=tmp_path) as run:
        assert run.end() == 2
        assert (
            "--on-nodes must name nodes of the run (node0, node1, node2), got node3" in run.output
        )


def test_an_installed_placement_plugin_decides_which_node_users_run_on(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    info = tmp_path / "site" / "own-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[amoc.placements]\nown = own_module:place\n")
    text = "def place(nodes, ids):\n    return [2, 2, 2, *(one.workers - 1 for one in nodes)]\n"
    (tmp_path / "site" / "own_module.py").write_text(text)
    file = scenario("""
        import os
        log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def start(user_id):
            os.write(log, f"{os.getpid()}\\n".encode())
    """)
    once = ("--users", "12", *THREE, "--set", "repeat_num=1", "--placement", "own")
    with running(file, *once, directory=tmp_path, PYTHONPATH=str(tmp_path / "site")) as run:
        assert run.end() == 0, run.output
    assert sorted(Counter(lines(tmp_path / "log")).values()) == [6, 6]


def executed(run: Run) -> int:
    """Return how many slots of its throttle the run has used, by its nodes' reports."""
    return run.look("status")["throttles"][0].get("executions", 0)


def test_an_arrival_rate_continues_when_a_node_is_lost(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = """
        import os
        from amoc import sleep

        log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def start(user_id):
            sleep(0.2)
            os.write(log, f"{os.getpid()}\\n".encode())
    """
    log = tmp_path / "log"
    rate = ("--arrival-rate", "30/s", "--max-users", "30", "--duration", "1h")
    with running(scenario(text), *rate, *THREE[:4], directory=tmp_path) as run:
        eventually(lambda: len(set(lines(log))) == 3, f"all nodes take part:\n{run.output}")
        begun = len(lines(log))
        eventually(lambda: executed(run) >= begun, "all nodes have reported their users")
        run.kill(run.find("node")[2])
        run.wait_for_output("0 users will restart on the other nodes, ")
        before = len(lines(log))
        eventually(lambda: len(lines(log)) > before + 30, f"iterations go on:\n{run.output}")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert len(set(lines(log)[-10:])) <= 2
    users = summary["users"]
    assert users["lost"] >= 1
    assert users["started"] == users["finished"] + users["lost"]
    assert summary["nodes"][2]["lost"] == users["lost"]
