"""Public tools that know nothing but the API's document: one looks for faults, one makes a client.

They have an environment of their own, which AMOC_API_TOOLS names by its Python.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.process.support import DEADLINE_S
from tests.servers.daemon import required
from tests.service.support import Daemon, serving

pytestmark = [pytest.mark.slow, pytest.mark.once]

COSTLY = "/(summary|report|compare|info|upload|files|plan)"
"""Paths that are answered by a process of their own."""
CLIENT = """
import sys, time
sys.path.insert(0, sys.argv[2])
from made import Client
from made.api.execution import execution_add_users, execution_stop, start
from made.api.runs import get_run, get_series, get_summary
from made.api.status import status
from made.models import AddUsersBody, StartBody, StartBodySettings, StopBody

client = Client(base_url=sys.argv[1], timeout=60)
settings = StartBodySettings()
settings["pause"] = 0.05
begun = start.sync(client=client, body=StartBody("stayers", users=5, workers=1, settings=settings))
give_up = time.monotonic() + 100

def until(condition):
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)

def users():
    runs = status.sync(client=client).runs
    return runs[0].users["running"] if runs else 0

until(lambda: users() == 5)
added = execution_add_users.sync(client=client, body=AddUsersBody(users=3))
assert added.run == begun.run, added
until(lambda: users() == 8)
until(lambda: get_series.sync(begun.run, client=client).total > 0)
execution_stop.sync(client=client, body=StopBody())
until(lambda: get_run.sync(begun.run, client=client).state == "over")
refused = execution_stop.sync_detailed(client=client, body=StopBody())
assert refused.status_code == 409, refused
print(get_summary.sync(begun.run, client=client)["users"]["peak"])
"""


@pytest.fixture(scope="module")
def tools() -> Path:
    """The Python of an environment with the tools."""
    named = os.environ.get("AMOC_API_TOOLS", "")
    if not named:
        required("schemathesis and openapi-python-client are missing (AMOC_API_TOOLS may name"
                 " a Python that has them)")  # fmt: skip
    return Path(named)


def done(*command: str | Path, cwd: Path) -> str:
    """What a program prints, which must end well."""
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * DEADLINE_S,
    )
    assert ended.returncode == 0, ended.stdout[-10_000:]
    return ended.stdout


@pytest.mark.parametrize(
    "rounds",
    [
        [("--phases", "coverage,fuzzing", "--max-examples", "3", "--exclude-path-regex", COSTLY)],
        [
            ("--phases", "fuzzing", "--max-examples", "1", "--include-path-regex", COSTLY),
            ("--phases", "stateful", "--max-examples", "8"),
        ],
    ],
    ids=["each", "costly and linked"],
)
def test_schemathesis_finds_nothing(
    tmp_path: Path, tools: Path, rounds: list[tuple[str, ...]]
) -> None:
    with serving(tmp_path, "--parallel", "4") as daemon:
        runs = [daemon.start(users=1) for _ in range(2)]
        for options in rounds:
            said = done(
                tools.with_name("schemathesis"),
                *("--config-file", Path(__file__).with_name("schemathesis.toml"), "run"),
                *(f"{daemon.url}/openapi.json", *options, "--checks", "all", "--seed", "1"),
                cwd=tmp_path,
            )
            assert "passed" in said
        assert "internal error" not in daemon.output, daemon.output
        if "stateful" in rounds[-1]:
            names = {one.name.partition("-")[2] for one in daemon.runs.glob("[!.]*")}
            assert "greeter" in names, "no link from an upload to a start was followed"
        for run in runs:  # unless that was among what was tried
            daemon.request("PATCH", "/execution/stop", {"run": run})


def test_a_generated_client_starts_watches_and_stops_a_run(
    daemon: Daemon, tmp_path: Path, tools: Path
) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(daemon.request("GET", "/openapi.json").data)
    generator = tools.with_name("openapi-python-client")
    done(
        *(generator, "generate", "--path", document, "--output-path", tmp_path / "made"),
        *("--meta", "none"),
        cwd=tmp_path,
    )
    assert done(tools, "-c", CLIENT, daemon.url, tmp_path, cwd=tmp_path).strip() == "8"
