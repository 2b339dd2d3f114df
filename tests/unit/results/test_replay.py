"""A plan survives the journal without its secrets, and is replayed with its commands."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from amoc.base.errors import UsageError
from amoc.results.journal import Journal, read
from amoc.results.replay import commands_of, plan_of, prepare, record_of
from amoc.results.run_directory import RunDirectory
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.settings import Source

PLAN = RunPlan(
    "chat.py",
    range(1, 6),
    10.0,
    (
        Source("--set", {"xmpp_password": "s3cret", "repeat_num": inf}, True),
        Source("amoc.toml", {"chat": {"api_key": "s3cret", "mode": "x"}, "rate": 5}, True),
    ),
    7,
    "a trial",
    30.0,
    10.0,
    log_level="debug",
)


class Loaded:
    """The part of `messages.Loaded` that a record needs."""

    name = "chat"
    thresholds = ("crashes == 0",)
    settings = (
        ("xmpp_password", "(hidden)", "--set", "", ""),
        ("api_key", "(hidden)", "amoc.toml", "", ""),
        ("rate", "5", "amoc.toml", "", ""),
    )
    workers = 2


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Create the directory of a run with its plan and these entries."""
    monkeypatch.chdir(tmp_path)
    Path("chat.py").write_text("def start(user_id): pass\n")

    def ran(*entries, plan=PLAN, loaded=Loaded, end="ok") -> RunDirectory:
        directory = RunDirectory(tmp_path / "run")
        directory.path.mkdir()
        journal = Journal(directory.journal)
        journal.write("run", **record_of(plan, loaded, "id"))
        journal.begin(0)
        for t_s, fields in entries:
            journal.write("command", when_ns=int(t_s * 1e9), **fields)
        if end:
            journal.write("end", verdict=end, exit_code=0, message="")
        journal.close()
        return directory

    return ran


SECRETS = {"xmpp_password": "again", "api_key": "again"}


def nobody(line: str) -> None:
    pytest.fail(f"warned: {line}")


def test_the_record_contains_no_secret():
    assert "s3cret" not in json.dumps(record_of(PLAN, Loaded, "id"))


def command(name, arguments=None, source="socket", outcome="ok"):
    return {"name": name, "arguments": arguments or {}, "source": source, "outcome": outcome}


def test_a_replay_has_the_plan_and_its_commands_at_their_times(ran):
    directory = ran(
        (1.5, command("add", {"count": 5})),
        (1.7, command("status")),
        (2.5, command("pause", source="terminal")),
    )
    plan = prepare(directory, SECRETS, {}, nobody)
    assert list(plan.timeline) == [(1.5, "add", {"count": 5}), (2.5, "pause", {})]
    assert plan.scenario == str(Path("chat.py").resolve())
    same = replace(plan, sources=PLAN.sources, timeline=(), scenario="chat.py")
    assert same == PLAN
    assert plan.run_directory is None


def test_settings_keep_their_order_and_secrets_are_supplied_again(ran):
    plan = prepare(ran(), SECRETS, {}, nobody)
    assert list(plan.sources) == [
        ("--set", SECRETS, True),
        ("AMOC_{name}", {}, False),
        ("--set", {"repeat_num": "inf"}, True),
        ("amoc.toml", {"chat": {"mode": "x"}, "rate": 5}, True),
        ("the replayed run", {"workers": 2}, False),
    ]


def test_secrets_may_come_from_the_environment(ran):
    environment = {"AMOC_XMPP_PASSWORD": "x", "amoc_api_key": "y", "AMOC_RATE": "9"}
    plan = prepare(ran(), {}, environment, nobody)
    assert plan.sources[1] == ("AMOC_{name}", {"xmpp_password": "x", "api_key": "y"}, False)


def test_all_missing_secrets_are_named(ran):
    with pytest.raises(UsageError) as caught:
        prepare(ran(), {}, {}, nobody)
    assert str(caught.value) == (
        "secrets are not in the journal and must be given again:"
        " AMOC_API_KEY or --set-from-file api_key=FILE,"
        " AMOC_XMPP_PASSWORD or --set-from-file xmpp_password=FILE"
    )


def test_a_secret_that_no_setting_needs_is_not_required(ran):
    sources = [("AMOC_{name}", {"deploy_token": "s3cret"}, False)]
    plan = prepare(ran(plan=replace(PLAN, sources=sources)), {}, {}, nobody)
    assert plan.sources[2] == ("AMOC_{name}", {}, False)


NESTED = {
    "a list of tables": [{"user": "a", "password": "s3cret"}],
    "a table of tables": {"alice": {"password": "s3cret"}},
    "JSON": '[{"user": "a", "password": "s3cret"}]',
    "broken JSON": "[{'user': 'a', 'password': 's3cret'}]",
}
ACCOUNTS = '[{"user": "a", "password": "again"}]'


class LoadedAccounts(Loaded):
    """A scenario with a setting whose value contains secrets."""

    settings = (("accounts", "(hidden)", "amoc.toml", "", ""), ("rate", "5", "default", "", ""))


@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("in_table", [False, True])
def test_a_setting_with_a_nested_secret_is_supplied_again_as_a_whole(ran, value, in_table):
    values = {"accounts": value, "rate": 5}
    values = {"chat": values} if in_table else values
    directory = ran(
        plan=replace(PLAN, sources=[("amoc.toml", values, True)]), loaded=LoadedAccounts
    )
    assert "s3cret" not in directory.journal.read_text()
    with pytest.raises(UsageError, match=r"again: AMOC_ACCOUNTS or --set-from-file accounts=FILE$"):
        prepare(directory, {}, {}, nobody)
    left = {"chat": {"rate": 5}} if in_table else {"rate": 5}
    found = prepare(directory, {"accounts": ACCOUNTS}, {}, nobody)
    assert found.sources[0] == ("--set", {"accounts": ACCOUNTS}, True)
    assert found.sources[2] == ("amoc.toml", left, True)
    found = prepare(directory, {}, {"AMOC_ACCOUNTS": ACCOUNTS}, nobody)
    assert found.sources[1] == ("AMOC_{name}", {"accounts": ACCOUNTS}, False)


@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED)
def test_a_nested_secret_set_during_the_run_is_supplied_again(ran, value):
    directory = ran(
        (1.0, command("set", {"values": {"accounts": value, "rate": "7"}})),
        plan=replace(PLAN, sources=[("amoc.toml", {"accounts": []}, True)]),
        loaded=LoadedAccounts,
    )
    with pytest.raises(UsageError, match=r"again: AMOC_ACCOUNTS or --set-from-file accounts=FILE$"):
        prepare(directory, {}, {}, nobody)
    found = prepare(directory, {}, {"AMOC_ACCOUNTS": ACCOUNTS}, nobody)
    assert list(found.timeline) == [(1.0, "set", {"values": {"accounts": ACCOUNTS, "rate": "7"}})]
    assert list(found.sources[1:3]) == [  # the value at the start is known
        *(("AMOC_{name}", {}, False), ("amoc.toml", {"accounts": []}, True))
    ]


def test_a_hidden_value_overridden_by_a_stronger_source_is_not_required(ran):
    weak = {"accounts": [{"password": "s3cret"}], "other": {"accounts": [{"password": "s3cret"}]}}
    sources = [("--set", {"accounts": "[]"}, True), ("amoc.toml", weak, True)]
    plan = prepare(ran(plan=replace(PLAN, sources=sources), loaded=LoadedAccounts), {}, {}, nobody)
    assert list(plan.sources[2:4]) == [
        *(("--set", {"accounts": "[]"}, True), ("amoc.toml", {"other": {}}, True))
    ]


def test_a_value_supplied_again_precedes_weaker_known_sources(ran):
    sources = [
        ("--set", {"accounts": '[{"password": "s3cret"}]'}, True),
        ("amoc.toml", {"accounts": []}, True),
    ]
    directory = ran(plan=replace(PLAN, sources=sources), loaded=LoadedAccounts)
    plan = prepare(directory, {}, {"AMOC_ACCOUNTS": ACCOUNTS}, nobody)
    have = [label for label, values, _ in plan.sources if "accounts" in values]
    assert have == ["AMOC_{name}", "amoc.toml"]


def test_the_table_of_another_scenario_is_left_alone(ran):
    sources = [("amoc.toml", {"other": {"api_key": "s3cret", "mode": "x"}}, True)]
    plan = prepare(ran(plan=replace(PLAN, sources=sources)), {}, {}, nobody)
    assert plan.sources[2] == ("amoc.toml", {"other": {"mode": "x"}}, True)


def test_a_secret_changed_during_the_run_is_reported(ran):
    values = {"xmpp_password": "s3cret"}
    entries = [(1.0, command("set", {"values": values})), (2.0, command("set", {"values": values}))]
    told = []
    prepare(ran(*entries, plan=replace(PLAN, sources=[])), SECRETS, {}, told.append)
    assert told == [
        "secret xmpp_password was changed during that run, but keeps one value in this one"
    ]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("failed", "failed"),
        ("interrupted", "was interrupted"),
        (None, "was killed or is still running"),
    ],
)
def test_a_run_that_was_cut_short_is_reported(ran, end, said):
    told = []
    prepare(ran(end=end), SECRETS, {}, told.append)
    assert told == [f"that run {said}; this one ends by its plan and its commands"]


def test_a_stopped_run_does_not_count_as_cut_short(ran):
    prepare(ran(end="stopped"), SECRETS, {}, nobody)


def test_a_secret_set_during_the_run_is_replayed_with_the_value_supplied_again(ran):
    plan = replace(PLAN, sources=[])
    values = {"xmpp_password": "s3cret", "rate": "7"}
    directory = ran((1.0, command("set", {"values": values})), plan=plan)
    found = prepare(directory, {"xmpp_password": "again"}, {}, nobody)
    assert list(found.timeline) == [
        (1.0, "set", {"values": {"xmpp_password": "again", "rate": "7"}})
    ]


def test_a_replay_of_a_replay_repeats_each_command_once(ran):
    plan = replace(PLAN, sources=[], timeline=[(1.0, "add", {"count": 5}), (9.0, "pause", {})])
    directory = ran(
        (1.01, command("add", {"count": 5}, source="replay")),
        (2.0, command("remove", {"count": 1})),
        plan=plan,
    )
    found = prepare(directory, {}, {}, nobody)
    assert [(t_s, name) for t_s, name, _ in found.timeline] == [
        *((1.0, "add"), (2.0, "remove"), (9.0, "pause"))
    ]


def test_rejected_commands_are_counted_and_not_repeated():
    told = []
    entries = [{"kind": "command", "t_s": None, **command("add", {"count": 1})}]
    entries.append({"kind": "command", "t_s": 2.0, **command("add", outcome="refused")})
    assert commands_of(entries, told.append) == [(0.0, "add", {"count": 1})]
    assert told == ["commands that were refused are not repeated: 1"]


def test_commands_interrupted_by_the_end_of_the_run_are_not_repeated():
    told = []
    entries = [{"kind": "command", "t_s": 2.0, **command("add", outcome="broken off")}] * 2
    assert commands_of(entries, told.append) == []
    assert told == ["commands that were broken off are not repeated: 2"]


def test_a_changed_scenario_is_reported(ran):
    directory = ran(plan=replace(PLAN, sources=[]))
    Path("chat.py").write_text("def start(user_id): print(user_id)\n")
    told = []
    prepare(directory, {}, {}, told.append)
    (line,) = told
    assert line.endswith("chat.py has changed since that run")


def test_different_versions_are_reported(ran):
    directory = ran(plan=replace(PLAN, sources=[]))
    entries = read(directory.journal)
    entries[0] |= {"amoc": "0.0.0", "python": "2.7"}
    directory.journal.write_text("".join(f"{json.dumps(one)}\n" for one in entries))
    told = []
    prepare(directory, {}, {}, told.append)
    assert told[0].startswith("that run used amoc 0.0.0, this one uses ")
    assert told[1].startswith("that run used Python 2.7, this one uses ")


def test_without_a_run_record_there_is_nothing_to_replay(tmp_path):
    directory = RunDirectory(tmp_path)
    journal = Journal(directory.journal)
    journal.write("state", state="starting")
    with pytest.raises(UsageError, match="has no run record, so no plan to repeat"):
        prepare(directory, {}, {}, nobody)


def test_the_record_leaves_out_the_run_directory_and_keeps_a_module_scenario():
    plan = replace(PLAN, run_directory="here", scenario="some.module")
    record = json.loads(json.dumps(record_of(plan, None, "id")))
    assert plan_of(record).run_directory is None
    assert plan_of(record).scenario == "some.module"


@pytest.mark.parametrize("spoil", ["plan", "scenario"])
def test_an_invalid_record_is_one_clear_error(spoil):
    record = record_of(PLAN, None, "id")
    for broken in ({}, None, 5):
        with pytest.raises(UsageError, match="the journal's run record is invalid: "):
            plan_of({**record, spoil: broken})
