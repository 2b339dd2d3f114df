"""A REST session with a real daemon, and the API cases of the original AMOC."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.process.support import eventually
from tests.service.support import Daemon

pytestmark = pytest.mark.slow


def test_a_run_is_started_changed_watched_and_stopped(daemon: Daemon) -> None:
    run = daemon.start(users=10, settings={"pause": 0.05}, comment="by REST", seed=7)
    daemon.wait_for_users(run, 10)
    assert daemon.get(f"/runs/{run}")["state"] == "running"
    assert daemon.get("/nodes") == {"nodes": {"node0": "up"}}

    added = daemon.patch("/execution/add_users", {"users": 50})
    assert (added["run"], added["first_id"], added["last_id"]) == (run, 11, 60)
    daemon.patch("/execution/update_settings", {"settings": {"pause": 0.01}})
    daemon.wait_for_users(run, 60)
    removed = daemon.patch("/execution/remove_users", {"users": 10, "run": run})
    assert removed["asked"] == 10
    daemon.wait_for_users(run, 50)
    node = eventually(
        lambda: (found := daemon.get("/status/node0"))["runs"][0]["users"] == 50 and found,
        "the node's users",
    )
    assert node == {"node": "node0", "state": "up", "runs": [{"run": run, "users": 50}]}

    daemon.patch("/execution/pause", {"comment": "a break"})
    daemon.wait_for_state(run, "paused")
    daemon.patch("/execution/resume")
    daemon.patch("/execution/note", {"comment": "half time"})
    seconds = eventually(
        lambda: (found := daemon.get(f"/runs/{run}/series"))["total"] > 1 and found, "two seconds"
    )
    assert [one["second"] for one in seconds["seconds"]] == list(range(1, seconds["last"] + 1))
    after = daemon.get(f"/runs/{run}/series?after=1&limit=1")
    assert after["seconds"] == seconds["seconds"][1:2]
    assert {line["process"] for line in daemon.get(f"/runs/{run}/log")["lines"]} >= {"controller"}
    for what in ("series", "log"):
        assert daemon.get(f"/runs/last/{what}")["run"] == run

    assert daemon.patch("/execution/stop")["run"] == run
    ended = daemon.wait_for_end(run)
    assert (ended["verdict"], ended["users"], ended["comment"]) == ("stopped", 60, "by REST")
    summary = daemon.get(f"/runs/{run}/summary")
    assert summary["run"]["seed"] == 7
    report = daemon.request("GET", f"/runs/{run}/report")
    assert (report.status, report.headers.get_content_type()) == (200, "text/html")
    assert b"by REST" in report.data
    journal = [
        json.loads(line) for line in (daemon.runs / run / "journal.jsonl").read_text().splitlines()
    ]
    commands = [one["name"] for one in journal if one["kind"] == "command"]
    assert commands == ["add", "set", "remove", "pause", "resume", "note", "stop"]


def users_of(daemon: Daemon, node: str) -> int:
    runs = daemon.get(f"/status/{node}")["runs"]
    return int(runs[0]["users"]) if runs else 0


def test_users_are_added_and_removed_on_selected_nodes(daemon: Daemon) -> None:
    run = daemon.start(users=2, cluster="local:2")
    eventually(lambda: daemon.get("/nodes")["nodes"] == {"node0": "up", "node1": "up"}, "two nodes")
    daemon.patch("/execution/add_users", {"users": 3, "on_nodes": ["node1"]})
    eventually(lambda: users_of(daemon, "node1") == 4, "three more on one node")
    assert users_of(daemon, "node0") == 1
    refused = daemon.patch("/execution/add", {"count": 1, "on_nodes": ["node7"]}, status=409)
    assert "node7" in refused["detail"]
    daemon.patch("/execution/remove", {"count": 2, "on_nodes": ["node1"], "force": True})
    eventually(lambda: users_of(daemon, "node1") == 2, "two fewer")
    assert users_of(daemon, "node0") == 1
    daemon.patch("/execution/stop")
    daemon.wait_for_end(run)


def test_several_scenarios_run_together_each_with_its_load(daemon: Daemon) -> None:
    visitors = "from amoc import sleep\n\ndef start(user_id):\n    sleep(0.01)\n"
    (daemon.directory / "scenarios" / "visitors.py").write_text(visitors)
    both = "stayers=4 visitors=50/s"
    plan = daemon.request("POST", "/execution/plan", {"scenario": both}).json
    assert (plan["users"]["first"], plan["arrivals"]["rate"]) == (1, "50.0/s")
    run = daemon.start(scenario=both, max_users=20)
    assert run.endswith("-stayers_visitors")
    shown = r"arrivals: [0-9]{2,}, .*; started: 4 stayers; iterations: [0-9]{2,} visitors$"
    eventually(lambda: re.search(shown, daemon.status_of(run)["summary"]), "users and arrivals")
    daemon.patch("/execution/stop")
    ended = daemon.wait_for_end(run)
    assert ended["verdict"] == "stopped"
    unknown = daemon.request("PATCH", "/execution/start", {"scenario": "stayers=4 nobody=5/s"})
    assert unknown.status == 404
    wrong = daemon.request("PATCH", "/execution/start", {"scenario": "stayers=4 visitors"})
    assert wrong.status == 422


def test_of_several_simultaneous_starts_only_one_succeeds(daemon: Daemon) -> None:
    body = {"scenario": "stayers", "users": 1, "workers": 1}
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(daemon.request, "PATCH", "/execution/start", body) for _ in range(4)]
        answers = sorted((one.result() for one in asked), key=lambda one: one.status)
    assert [one.status for one in answers] == [200, 409, 409, 409]
    run = answers[0].json["run"]
    assert run in answers[1].json["detail"]
    daemon.wait_for_state(run, "running")
    daemon.patch("/execution/stop")
    daemon.wait_for_end(run)


def test_all_invalid_settings_are_reported_at_once(daemon: Daemon) -> None:
    body = {"scenario": "stayers", "settings": {"pause": -1, "mode": "sad", "paws": 1}}
    refused = daemon.patch("/execution/start", body, status=422)
    assert [one["field"] for one in refused["errors"]] == ["settings"] * 3
    assert "mode must be one of 'calm', 'wild'" in refused["detail"]
    assert not list(daemon.runs.glob("*/journal.jsonl")) or daemon.get("/status")["runs"] == []


def test_a_misspelt_field_is_named(daemon: Daemon) -> None:
    refused = daemon.patch("/execution/start", {"scenario": "stayers", "user": 3}, status=422)
    assert [one["field"] for one in refused["errors"]] == ["user"]
    at = {"scenario": "stayers", "at": "2030-01-01T00:00:00"}  # in which time zone?
    refused = daemon.patch("/execution/start", at, status=422)
    assert [one["field"] for one in refused["errors"]] == ["at"]


def test_commands_without_a_run_are_refused(daemon: Daemon) -> None:
    for path, body in (
        ("stop", None),
        ("add_users", {"users": 1}),
        ("remove_users", {"users": 1}),
        ("update_settings", {"settings": {"pause": 1}}),
        ("pause", {}),
    ):
        assert daemon.patch(f"/execution/{path}", body, status=409)["detail"] == "no run is running"


def test_scenarios_are_listed_and_described(daemon: Daemon) -> None:
    assert "stayers" in daemon.get("/scenarios")["scenarios"]
    info = daemon.get("/scenarios/info/stayers")
    assert "xyzzy" not in json.dumps(info)  # the default of a secret
    assert info["doc"] == "Users that stay until they are asked to leave."
    own = {one["name"]: one for one in info["settings"] if one["own"]}
    assert own["mode"]["choices"] == ["calm", "wild"]
    assert (own["pause"]["type"], own["pause"]["update"]) == ({"type": "number"}, "free")
    assert daemon.request("GET", "/scenarios/info/nothing").status == 404


def test_a_missing_resource_is_a_problem_document(daemon: Daemon) -> None:
    for path in ("/status/node7", "/runs/none", "/scenarios/none", "/nothing/at/all"):
        answer = daemon.request("GET", path)
        assert answer.status == 404
        assert answer.headers.get_content_type() == "application/problem+json"
        assert answer.json["title"] == "Not Found"
