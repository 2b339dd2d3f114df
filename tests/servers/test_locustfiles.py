"""Unchanged locustfiles: amoc sends the requests that Locust sends, and sees the same failures.

Each file of `locustfiles` is run by amoc and, if `AMOC_LOCUST` names a Python that has it, by
Locust at the same time. The CPU time of both, from start to end, is printed with its ratio (`pytest
-s`, or `-rP`); it is not judged, because in runs this short most of it is for starting.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.certificates import Authority
from tests.servers.daemon import required
from tests.servers.web import Application, Web

FILES = Path(__file__).with_name("locustfiles")
ROOT = Path(__file__).parents[2]
DEADLINE_S = 240
AT_ONCE = ("--spawn-rate", "100")
ENDS = """

import gevent
from locust import events


@events.test_start.add_listener
def end_with_the_last_user(environment, **_):
    def watch():
        while not environment.runner.user_count:
            gevent.sleep(0.01)
        while environment.runner.user_count:
            gevent.sleep(0.01)
        environment.runner.quit()

    gevent.spawn(watch)
"""
"""For Locust, whose runs without a time limit do not end; amoc's end with the last user."""
TELLS = """

import json
from locust import events


@events.quit.add_listener
def write_figures(**_):
    entries = figures_of.stats.entries.values()
    found = [(f"{one.method} {one.name}", one.num_requests, one.num_failures) for one in entries]
    with open("figures.json", "w") as file:
        json.dump(found, file)


@events.init.add_listener
def know_environment(environment, **_):
    global figures_of
    figures_of = environment
"""


class Found(NamedTuple):
    """The result of a run."""

    requests: dict[str, int]
    """Counts by method and name."""
    failures: dict[str, int]
    output: str
    code: int
    cpu_s: float
    """Of all its processes."""


def ended(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for a process; return its exit status and its CPU seconds, with its descendants'."""
    watched = os.pidfd_open(process.pid)
    try:
        if not select.select([watched], [], [], DEADLINE_S)[0]:
            raise subprocess.TimeoutExpired(process.args, DEADLINE_S)
    finally:
        os.close(watched)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    certificate = authority.issue("web.pem", ["127.0.0.1"])
    with Web(tmp_path_factory.mktemp("web"), certificate) as server:
        yield server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with Application(tmp_path_factory.mktemp("shop")) as server:
        yield server


class Both:
    """Runs a locustfile with amoc and with Locust."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.locust = os.environ.get("AMOC_LOCUST", "")

    def run(
        self, name: str, *options: str, ends: bool = True, workers: int = 1, real: bool = False
    ) -> list[Found]:
        """Run a file with both.

        Args:
            name: Name of the file.
            options: Options that both accept.
            ends: Whether Locust should end with its last user.
            workers: Number of amoc's workers.
            real: Whether amoc should also run it with Locust's own classes.

        Returns:
            The results of amoc, of Locust, and of amoc with Locust's classes.
        """
        if not self.locust:
            required("AMOC_LOCUST names no Python that has Locust")
        file = FILES / f"{name}.py"
        commands = {
            "amoc": self._amoc(sys.executable, file, "amoc", *options, workers=workers),
            "locust": self._locust(name, options, ends),
        }
        if real:
            more = (*options, "--real-locust")
            commands["real"] = self._amoc(self.locust, file, "real", *more, workers=workers)
        running = {tool: self._begin(tool, command) for tool, command in commands.items()}
        found = []
        for tool, process in running.items():
            code, cpu_s = ended(process)
            output = (self.directory / f"{tool}.txt").read_text()
            of = self._of_locust if tool == "locust" else self._of_amoc
            found.append(of(tool, output, code, cpu_s))
        used = dict(zip(running, (one.cpu_s for one in found), strict=True))
        each = (f"{tool} {s:.2f} s ({s / used['locust']:.2f})" for tool, s in used.items())
        print(f"CPU of {name}.py, and its ratio to Locust's: {', '.join(each)}")
        return found

    def _begin(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.txt").open("wb") as output:
            return subprocess.Popen(
                command, cwd=self.directory, stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    @staticmethod
    def _amoc(python: str, file: Path, tool: str, *options: str, workers: int) -> list[str]:
        own = ("--workers", str(workers), "--json", f"{tool}.json", "--run-dir", f"{tool}.run")
        return [python, "-m", "amoc", "run", str(file), *options, *AT_ONCE, *own]

    def _locust(self, name: str, options: tuple[str, ...], ends: bool) -> list[str]:
        file = self.directory / f"{name}_ends.py"
        file.write_text((FILES / f"{name}.py").read_text() + TELLS + (ENDS if ends else ""))
        own = ("--headless", "--exit-code-on-error", "0")
        return [self.locust, "-m", "locust", "-f", str(file), *options, *AT_ONCE, *own]

    def _of_amoc(self, tool: str, output: str, code: int, cpu_s: float) -> Found:
        file = self.directory / f"{tool}.json"
        if not file.exists():
            pytest.fail(f"amoc has left no summary:\n{output}")
        summary = json.loads(file.read_text())
        steps = {name: one for name, one in summary["steps"].items() if name != "Aggregated"}
        return Found(
            {name: one["count"] for name, one in steps.items()},
            {name: one["failures"] for name, one in steps.items() if one["failures"]},
            output,
            code,
            cpu_s,
        )

    def _of_locust(self, _: str, output: str, code: int, cpu_s: float) -> Found:
        file = self.directory / "figures.json"
        if not file.exists():
            pytest.fail(f"Locust has not run:\n{output}")
        figures = json.loads(file.read_text())
        return Found(
            {name: requests for name, requests, _ in figures},
            {name: failures for name, _, failures in figures if failures},
            output,
            code,
            cpu_s,
        )


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def test_weights_names_and_statuses(both: Both, shop: Application) -> None:
    amoc, locust = both.run("weights", "--users", "1", "--host", shop.url)
    assert amoc.requests == locust.requests
    assert amoc.failures == locust.failures
    assert amoc.requests["POST /login"] == 1
    assert sum(amoc.requests.values()) == 42
    assert amoc.failures.keys() == {"GET /no/such/page", "GET leaving"}


def test_nested_and_sequential_task_sets(both: Both, web: Web) -> None:
    options = ("--users", "2", "--host", web.url)
    amoc, locust, real = both.run("nested", *options, workers=2, real=True)
    assert amoc.requests == locust.requests == real.requests
    assert amoc.requests["GET open thread"] == amoc.requests["GET close thread"]
    assert amoc.requests["GET page"] == 3 * amoc.requests["GET open thread"] > 0
    assert amoc.requests["GET read the terms"] == 6


def test_responses_checked_with_catch_response(both: Both, web: Web) -> None:
    options = ("--users", "3", "--host", web.url, "--tags", "right", "--exclude-tags", "wrong")
    amoc, locust, real = both.run("checked", *options, workers=2, real=True)
    assert amoc.requests == locust.requests == real.requests
    assert amoc.failures == locust.failures == real.failures
    assert amoc.failures == {"GET /hello": 5 + 10, "GET /down": 5, "GET nobody": 10}
    for one in (amoc, real):
        assert "5 × GET /hello: no goodbye" in one.output
        assert "5 × GET /down: status 503" in one.output
    assert amoc.requests["GET /away?from=here"] == 5
    assert amoc.requests["GET /item/7?of=1"] == 10


def test_users_start_and_stop_as_a_load_shape_says(both: Both, web: Web) -> None:
    amoc, locust = both.run("shaped", "--host", web.url, ends=False, workers=2)
    assert amoc.requests.keys() == locust.requests.keys()
    for one in (amoc, locust):
        assert one.requests["GET begin Visitor"] == one.requests["GET begin Late"] == 3
    assert not amoc.failures
    assert "the load shape has ended" in amoc.output


def test_a_custom_client_and_listeners(both: Both) -> None:
    amoc, locust = both.run("own_client", "--users", "2")
    assert amoc.requests == locust.requests == {"calc add": 16, "calc measured": 16}
    assert amoc.failures == locust.failures == {"calc add": 4, "calc measured": 2}
    for one in (amoc, locust):
        assert "heard [(('add', False, 'calculator'), 4), " in one.output
        assert "failed 4" in one.output
    assert amoc.code == locust.code == 0


def test_a_locustfile_and_its_port_behave_alike(shop: Application, tmp_path: Path) -> None:
    """The two in docs/porting.md: at most 18 lines, the same requests, the same failures."""
    page = (ROOT / "docs/porting.md").read_text().partition("## From k6")[0]
    sources = re.findall(r"<!-- scenario: (\w+\.py).*?-->\n```python\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in sources] == ["locustfile.py", "shopper.py"]
    found = []
    for name, source in sources:
        assert len(source.splitlines()) <= 18
        assert source.count("(1, 3)") == 1
        (tmp_path / name).write_text(source.replace("(1, 3)", "(0.001, 0.01)"))
        options = ("--users", "20", "--spawn-rate", "1000", "--duration", "1s", "--host", shop.url)
        summary = tmp_path / f"{name}.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "amoc", "run", name, *options, "--json", str(summary)),
                *("--run-dir", f"{name}.run"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        steps = json.loads(summary.read_text())["steps"]
        found.append({name: {why["cause"] for why in one["causes"]} for name, one in steps.items()})
        assert steps["POST /login"]["count"] == 20
        share = steps["POST /pay"]["count"] / (steps["Aggregated"]["count"] - 20)
        assert 0.03 < share < 0.25  # one in ten of several hundred
    assert found[0] == found[1]
    assert found[0]["POST /pay"] == {"payment refused"}
