"""Request bodies: options of ``amoc run`` and commands, built from their tables."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from amoc.base.errors import UsageError
from amoc.cli.replay import replay
from amoc.cli.run import run
from amoc.control.commands import COMMANDS, checked
from amoc.service.requests import CommandRoute, command_routes
from amoc.service.start_bodies import ReplayBody, StartBody

ROUTES = {one.path: one for one in command_routes()}
START = StartBody(
    scenario="chat",
    users=0,
    user_ids="1-2",
    duration="1s",
    stages="1s:2",
    arrival_rate="1/s",
    max_users=3,
    throttles={"a": "1/s", "b": "2/s"},
    workers=1,
    settings={"x": 1},
    seed=0,
    comment="- and spaces",
    init_timeout="1s",
    stop_timeout="1s",
    expect=["crashes == 0", "x < 1"],
    abort_on_fail="1s",
    warmup="0s",
    limited_ok=True,
    failures_ok=True,
    spawn_rate=0.5,
    cluster="local:3",
    nodes=2,
    placement="blocks",
    on_node_loss="fail",
    on_nodes=["node0", "node1"],
    host="http://localhost",
    tags=["a", "b"],
    exclude_tags=["c"],
    real_locust=True,
    allow_undeclared=True,
    log_level="debug",
    no_install=True,
    locked=True,
    install_timeout="9s",
)


def test_a_start_body_becomes_options_of_amoc_run() -> None:
    parsed = run.make_context("run", [*START.arguments(), "chat.py"], resilient_parsing=False)
    given = parsed.params
    assert (given["users"], given["seed"], given["comment"]) == (0, 0, "- and spaces")
    assert given["thresholds"] == ("crashes == 0", "x < 1")
    assert given["throttles"] == ("a=1/s", "b=2/s")
    assert given["limited_ok"]
    assert given["failures_ok"]
    told = {text.partition("=")[0] for text in START.arguments()}
    assert told == set(StartBody.flags())


def test_a_server_accepts_every_option_of_amoc_run_except_host_specific_ones() -> None:
    flags = {flag for one in run.params if isinstance(one, click.Option) for flag in one.opts}
    own = {"--set", "--set-from-file", "--set-json", "--config", "--run-dir", "--json"}
    own |= {"--queue", "--secret-file", "--bind", "--advertise", "--join-timeout", "--remote-amoc"}
    own.add("--max-nodes")
    long = {max(one.opts, key=len) for one in run.params if one.name != "duration"}
    known = {*StartBody.flags(), *own, "--server", "--server-token-file", "scenarios"}
    assert set(StartBody.flags()) <= flags
    assert long <= known


def test_choices_match_amoc_run() -> None:
    choices = {
        one.name: one.type.choices for one in run.params if isinstance(one.type, click.Choice)
    }
    schema = StartBody.model_json_schema()["properties"]
    for name, allowed in choices.items():
        assert schema[name]["anyOf"][0]["enum"] == list(allowed), name


def test_a_replay_body_becomes_options_of_amoc_replay() -> None:
    body = ReplayBody(run="one", comment="c", no_install=True, locked=True, install_timeout="9s")
    parsed = replay.make_context("replay", [*body.arguments(), "one"], resilient_parsing=False)
    assert parsed.params["install_timeout"] == 9
    assert len(body.arguments()) == len(ReplayBody.flags())


def test_omitted_fields_add_no_options() -> None:
    assert StartBody(scenario="chat").arguments() == []


def test_every_command_that_changes_a_run_has_a_rest_route() -> None:
    assert set(COMMANDS) - {"status", "users"} <= set(ROUTES)
    assert {"add_users", "remove_users", "update_settings"} <= set(ROUTES)


@given(count=st.integers(1, 1 << 32), force=st.booleans())
def test_a_body_becomes_a_command_that_the_table_accepts(count: int, force: bool) -> None:
    for path, field in (("remove", "count"), ("remove_users", "users")):
        route = ROUTES[path]
        body = route.body.model_validate({field: count, "force": force})
        assert checked(*route.command(body)).arguments == {"count": count, "force": force}


@pytest.mark.parametrize("cluster", ["ssh://a,b", "join", "local:0", "local:2 ", "local:2,ssh://a"])
def test_a_request_cannot_start_programs_on_other_hosts(cluster: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        StartBody(scenario="chat", cluster=cluster)


def refused(route: CommandRoute, body: dict[str, object]) -> None:
    with pytest.raises((ValidationError, UsageError)):
        checked(*route.command(route.body.model_validate(body)))


def test_commands_carry_their_selected_nodes() -> None:
    for path, count in (("add", "count"), ("add_users", "users"), ("remove_users", "users")):
        route = ROUTES[path]
        body = route.body.model_validate({count: 2, "on_nodes": ["node0", "node1"]})
        assert list(checked(*route.command(body)).arguments["on_nodes"]) == ["node0", "node1"]
        refused(route, {count: 2, "on_nodes": [""]})
        refused(route, {count: 2, "on_nodes": "node0"})
    body = ROUTES["set"].body.model_validate({"values": {"pace": 1}, "on_nodes": ["node1"]})
    assert checked(*ROUTES["set"].command(body)).arguments == {
        "values": {"pace": 1},
        "on_nodes": ("node1",),
    }


def test_invalid_bodies_are_rejected() -> None:
    for body in ({"count": 0}, {"count": True}, {"count": "5"}, {"count": 1.5}, {"amount": 1}, {}):
        refused(ROUTES["add"], body)
    refused(ROUTES["add"], {"count": 1, "ids": [1, 2]})
    refused(ROUTES["add"], {"ids": [2, 1]})
    refused(ROUTES["set"], {"values": {}})
    refused(ROUTES["note"], {})
    refused(ROUTES["stop"], {"run": "../x"})
    whole = ROUTES["add"].body.model_validate({"count": 5.0})
    assert checked(*ROUTES["add"].command(whole)).arguments == {"count": 5}
