"""HTTP on separate hosts: feeds, kinds of users, an arrival rate and a locustfile, over ssh.

The web server's log is the other side's own count: which host asked for what, and which row of the
feed was used. The directory of the scenarios is hidden from the hosts, which get what they need.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import ROOT, Host, Network, checked
from tests.cluster.patience import eventually
from tests.cluster.shop import write_shop
from tests.servers import nginx

_HTTP = """
    log_format plain '$remote_addr $uri';
    access_log {directory}/access.log plain;
    keepalive_requests 100000;
    server {{
        listen {address}:8080;
        location /item/ {{ return 200 "$uri"; }}
    }}
"""


class Hosts:
    """A head with a web server, and two hosts for nodes.

    Attributes:
        scenarios: A directory that only the head has.
        url: The server's base URL, from all of them.
    """

    def __init__(self, network: Network, directory: Path) -> None:
        self._head, *self._nodes = network.hosts
        self._directory = directory / "web"
        self._directory.mkdir()
        self.scenarios = directory / "scenarios"
        self.scenarios.mkdir()
        for one in self._nodes:
            one.run("mount", "-t", "tmpfs", "tmpfs", str(self.scenarios))
        self.url = f"http://{self._head.address}:8080"
        self._serve(self._head)

    def _serve(self, head: Host) -> None:
        http = _HTTP.format(directory=self._directory, address=head.address)
        command = nginx.command(self._directory, http)
        # It ends with its host.
        self._server = subprocess.Popen(head.inside(command), stdin=subprocess.DEVNULL)
        pid = self._directory / "nginx.pid"  # written once it listens
        eventually(pid.exists, (self._directory / "error.log").read_text)

    def close(self) -> None:
        self._server.kill()
        self._server.wait()

    def run(self, *arguments: str) -> Any:
        """Run amoc on the head, with a node on each other host; return the summary."""
        summary = self._directory / "summary.json"
        where = ["--cluster", f"ssh://{','.join(one.name for one in self._nodes)}"]
        where += ["--workers", "1", "--remote-amoc", f"{sys.executable} -m amoc"]
        files = ["--json", str(summary), "--run-dir", str(self._directory / "run")]
        command = [sys.executable, "-m", "amoc", "run", *arguments, *where, *files]
        own = {"TMPDIR": str(self._head.home), "PYTHONPATH": str(ROOT)}
        checked(self._head.inside(command, own))
        return json.loads(summary.read_text())

    def asked(self) -> list[tuple[str, str, str]]:
        """Return the host, the kind and the rest of the path of all requests that came."""
        log = (self._directory / "access.log").read_text()
        return re.findall(r"^([\d.]+) /item/(\w+)/?(\w*)$", log, re.MULTILINE)

    def assert_asked(self, expected: dict[str, int]) -> None:
        """Assert that the server has counted as many of each kind, some from either host."""

        def counts() -> Counter[str]:  # it writes its log after it has answered
            return Counter(kind for _, kind, _ in self.asked())

        eventually(lambda: counts() == expected, lambda: f"{expected} is {counts()}")
        for kind in expected:
            addresses = {address for address, one, _ in self.asked() if one == kind}
            assert addresses == {one.address for one in self._nodes}, kind


@pytest.fixture
def two(hosts: Callable[..., Network], tmp_path: Path) -> Iterator[Hosts]:
    found = Hosts(hosts(3), tmp_path)
    yield found
    found.close()


COMMON = """
from amoc import feed, http, setting

base = setting("", "Address of the server")
rows = feed.csv("items.csv", order="unique", at_end="stop")

def ask(what, times):
    with http.session(base.get()) as client:
        for _ in range(times):
            client.get(f"/item/{what}", name=what).check(status=200)

def buy():
    with http.session(base.get()) as client:
        while True:
            row = rows.next()
            client.get(f"/item/bought/{row['number']}", name="bought").check(status=200)
"""
ROWS = 400


def test_feeds_kinds_and_arrivals_are_exact_over_two_hosts(two: Hosts) -> None:
    write_shop(two.scenarios, COMMON)
    rows = "".join(f"{number}\n" for number in range(ROWS))
    (two.scenarios / "items.csv").write_text(f"number\n{rows}")
    loads = (f"{two.scenarios}/shop.py=16", f"{two.scenarios}/visit.py=2s:20/s,1s:20/s,1s:0/s")
    once = ("--set", "repeat_num=1", "--set", "user_rate=infinity", "--set", f"base={two.url}")
    summary = two.run(*loads, *once)
    counters = summary["counters"]
    assert {name: counters[f"kind.{name}.users"] for name in ("Buyer", "browser")} == {
        "Buyer": 4,
        "browser": 12,
    }
    visits = counters["arrivals"]
    assert visits + counters.get("dropped", 0) == 20 + 20 + 10
    expected = {"bought": ROWS, "browser": 12 * 5, "visit": visits}
    assert {kind: counters[f"{kind}.count"] for kind in expected} == expected
    assert counters["http.status.2xx"] == sum(expected.values())
    assert summary["crashes"] == []
    two.assert_asked(expected)
    bought = [rest for _, kind, rest in two.asked() if kind == "bought"]
    assert sorted(map(int, bought)) == [*range(ROWS)]


LOCUSTFILE = """
from locust import HttpUser, LoadTestShape, constant, task

class Visitor(HttpUser):
    wait_time = constant(0.01)

    def on_start(self):
        self.client.get("/item/entered", name="entered")

    @task(3)
    def look(self):
        self.client.get("/item/looked", name="looked")

    @task
    def buy(self):
        self.client.get("/item/bought", name="bought")

class Up(LoadTestShape):
    def tick(self):
        passed_s = self.get_run_time()
        if passed_s < 1:
            return 4, 100
        return (8, 100) if passed_s < 3 else None
"""


def test_a_locustfile_runs_on_two_hosts(two: Hosts) -> None:
    file = two.scenarios / "locustfile.py"
    file.write_text(LOCUSTFILE)
    summary = two.run(str(file), "--host", two.url)
    users, timers = summary["users"], summary["timers"]
    assert (users["started"], users["peak"], users["crashed"]) == (8, 8, 0)
    answered = {kind: timers[f"GET {kind}"]["count"] for kind in ("entered", "looked", "bought")}
    assert answered["entered"] == 8
    assert summary["counters"]["http.status.2xx"] == sum(answered.values())
    # Some users may have been stopped between their request and its answer.
    unanswered = summary["counters"].get("http.unanswered", 0)
    came = Counter(kind for _, kind, _ in two.asked())
    assert 0 <= sum((came - Counter(answered)).values()) <= unanswered
    two.assert_asked(dict(came))
    assert answered["looked"] > 1.5 * answered["bought"] > 0
