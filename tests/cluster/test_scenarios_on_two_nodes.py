"""Chats, requests, kinds of users, several files and load shapes on two nodes: counts stay exact.

The other side keeps its own count, which must be amoc's.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amoc.results.series import Tally
from tests.certificates import Authority
from tests.cluster.hosts import ROOT, Network, checked
from tests.cluster.shop import write_shop
from tests.process.support import Run, eventually, running
from tests.servers.embedded import Embedded
from tests.servers.web import Web

TWO = ("--cluster", "local:2", "--workers", "1", "--set", "user_rate=infinity")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    certificate = Authority(tmp_path).issue("web.pem", ["127.0.0.1"])
    (tmp_path / "web").mkdir()
    with Web(tmp_path / "web", certificate) as one:
        yield one


class Asked:
    """The server's own count of requests, whose paths name the node: ``/item/KIND/NODE``.

    Attributes:
        kinds: Requests of each kind.
        nodes: The nodes that each kind came from.
    """

    def __init__(self, web: Web) -> None:
        log = (web.files.parent / "access.log").read_text()
        found = re.findall(r'"GET /item/(\w+)/(\d+) HTTP', log)
        self.kinds = Counter(kind for kind, _ in found)
        self.nodes = {kind: {node for one, node in found if one == kind} for kind in self.kinds}


def assert_asked(web: Web, expected: dict[str, int]) -> None:
    """Assert that the server has counted as many, and of each kind some from both nodes."""

    def same() -> bool:  # it writes its log after it has answered
        return Asked(web).kinds == expected

    eventually(same, lambda: f"{expected} is {Asked(web).kinds}")
    nodes = Asked(web).nodes
    assert {kind: len(found) for kind, found in nodes.items()} == dict.fromkeys(expected, 2)
    assert len(set.union(*nodes.values())) == 2


def counted(run: Run) -> dict[str, int]:
    return dict(Tally.of(run.seconds()).counters)


def assert_exact(summary: dict[str, Any], users: int, at_least: int) -> None:
    """Assert that each message arrived once and was timed, between two nodes.

    Users go round the nodes, so neighbours are never on the same one.
    """
    one = {
        name.removeprefix("messages_"): int(count)
        for name, count in summary["counters"].items()
        if name.startswith("messages_")
    }
    assert one["sent"] == one["expected"] == one["delivered"] == one["received"] >= at_least
    for name in ("lost", "duplicated", "reordered", "late", "refused", "unaccounted", "foreign"):
        assert one[name] == 0, name
    assert summary["timers"]["message_ttd"]["count"] == one["delivered"]
    assert [node["name"] for node in summary["nodes"]] == ["node0", "node1"]
    assert summary["counters"]["connections"] == summary["users"]["finished"] == users


def test_neighbours_on_two_nodes_receive_every_message_once_and_timed(tmp_path: Path) -> None:
    users = 12
    options = ("--users", f"{users}", "--set", "neighbours=1", "--set", "interval=0.1")
    with (
        Embedded(tmp_path) as server,
        running(
            "scenarios/xmpp/one_to_one.py",
            *(*TWO, *options, "--set", f"xmpp_servers={server.address}", "--stop-timeout", "60s"),
            directory=tmp_path,
        ) as run,
    ):
        eventually(lambda: counted(run).get("messages_received", 0) >= 20 * users, "they chat")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert_exact(summary, users, 20 * users)


APART_S = 1_000


def test_messages_between_hosts_whose_clocks_differ_are_timed(
    hosts: Callable[..., Network], tmp_path: Path
) -> None:
    users, summary = 6, tmp_path / "summary.json"
    head, *nodes = hosts(3, APART_S).hosts
    amoc, own = [sys.executable, "-m", "amoc"], {"TMPDIR": f"{head.home}", "PYTHONPATH": f"{ROOT}"}
    log = tmp_path / "xmppd.log"
    with log.open("w") as output:
        server = subprocess.Popen(  # ends with its host
            head.inside([*amoc, "xmppd", "--host", head.address], own), stdout=output, stderr=output
        )
    try:
        eventually(lambda: "listening" in log.read_text(), log.read_text)
        where = ["--cluster", f"ssh://{','.join(host.name for host in nodes)}", "--workers", "1"]
        load = ["--users", f"{users}", "--duration", "4s", "--stop-timeout", "60s"]
        given = ("neighbours=1", "interval=0.1", "user_rate=infinity")
        given += (f"xmpp_servers={head.address}:5222",)
        settings = [text for one in given for text in ("--set", one)]
        files = ["--json", f"{summary}", "--run-dir", f"{tmp_path / 'run'}", "--limited-ok"]
        remote = ["--remote-amoc", f"{sys.executable} -m amoc"]
        file = f"{ROOT}/scenarios/xmpp/one_to_one.py"
        checked(head.inside([*amoc, "run", file, *where, *remote, *load, *settings, *files], own))
    finally:
        server.kill()
        server.wait()
    found = json.loads(summary.read_text())
    assert_exact(found, users, users)
    # With their hosts' own clocks, half of the messages would take a thousand seconds longer.
    assert found["timers"]["message_ttd"]["max_s"] < APART_S / 2


COMMON = """
import os
from amoc import http, setting

base = setting("", "Address of the server")

def ask(what, times):
    with http.session(base.get()) as client:
        for _ in range(times):
            client.get(f"/item/{what}/{os.getppid()}", name=what).check(status=200)

def buy():
    ask("buyer", 5)
"""


def test_kinds_by_weight_and_the_load_of_each_file_are_kept_over_two_nodes(
    web: Web, tmp_path: Path
) -> None:
    write_shop(tmp_path, COMMON)
    loads = (f"{tmp_path}/shop.py=16", f"{tmp_path}/visit.py=1s:20/s,1s:20/s,500ms:0/s,500ms:0/s")
    once = ("--set", "repeat_num=1", "--set", f"base={web.url}")
    with running(*loads, *once, *TWO, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    counters = summary["counters"]
    assert {name: counters[f"kind.{name}.users"] for name in ("shop", "Buyer", "browser")} == {
        "shop": 16,
        "Buyer": 4,
        "browser": 12,
    }
    visits = counters["arrivals"]
    assert visits + counters.get("dropped", 0) == 10 + 20 + 5
    assert counters["kind.visit.iterations"] == visits
    expected = {"buyer": 4 * 5, "browser": 12 * 5, "visit": visits}
    assert {kind: counters[f"{kind}.count"] for kind in expected} == expected
    assert counters["http.status.2xx"] == sum(expected.values())
    assert summary["crashes"] == []
    assert_asked(web, expected)


SHAPED = """
import os
from pathlib import Path
from locust import HttpUser, LoadTestShape, constant, task

begun = os.open(Path(__file__).with_name("begun"), os.O_RDWR | os.O_APPEND | os.O_CREAT)

class Visitor(HttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        os.write(begun, b".")

    @task
    def look(self):
        self.client.get(f"/item/shaped/{os.getppid()}", name="shaped")

class UpAndDown(LoadTestShape):
    fell = False

    def tick(self):
        users = os.fstat(begun).st_size
        if users < 10:
            return 10, 100
        if not self.fell:
            self.fell = True
            return 4, 100
        return (7, 100) if users < 10 + 3 else None
"""


def test_a_load_shape_sets_the_users_of_two_nodes(web: Web, tmp_path: Path) -> None:
    file = tmp_path / "locustfile.py"
    file.write_text(SHAPED)
    with running(file, "--host", web.url, *TWO, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    users, counters = summary["users"], summary["counters"]
    assert (users["started"], users["removed"], users["finished"]) == (13, 6, 7)
    answered = summary["timers"]["GET shaped"]["count"]
    assert answered == counters["http.status.2xx"] > 0
    # Some users may have been stopped between their request and its answer.
    assert_asked(web, {"shaped": answered + counters.get("http.unanswered", 0)})
