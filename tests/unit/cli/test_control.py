"""Shell commands: built from the command table, sent to the run, and answered."""

from __future__ import annotations

import json
import re
import sys
from math import inf
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from amoc.base.errors import AmocError, ExitCode, UsageError
from amoc.cli import control, run_options
from amoc.cli.main import cli, main
from amoc.control import client, commands
from amoc.control.answer_text import lines_of
from amoc.control.commands import Argument, Command, CommandSpec, Flag, WholeNumber
from amoc.results import run_directory
from amoc.results.run_directory import RunDirectory
from amoc.scenario.load_profile import Stages

ANSWER = {
    "summary": "25 users asked to leave",
    "throttles": [
        {"name": "messages", "rate": 600.0, "interval": 60.0, "waiting": 3, "until": None}
    ],
    "workers": [
        {"worker": "node0/0", "text": "13 users asked to leave"},
        {"worker": "node0/1", "text": "12 users asked to leave", "more": 12},
    ],
}


class RecordingRun:
    """Stand-in for the run: records the last request."""

    def __init__(self) -> None:
        self.command = None
        self.run = None
        self.error = None

    def find(self, run):
        self.run = run
        return RunDirectory(Path("there"))

    def request(self, path, *command):
        assert path == Path("there/control")
        if self.error is not None:
            raise self.error
        self.command = commands.Command(*command)
        return ANSWER


@pytest.fixture
def asked():
    found = RecordingRun()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_directory, "find", found.find)
        patch.setattr(client, "request", found.request)
        yield found


def amoc(*arguments: str):
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "name", "arguments"),
    [
        (["status"], "status", {}),
        (["users"], "users", {}),
        (["add", "100"], "add", {"count": 100}),
        (["remove", "10"], "remove", {"count": 10, "force": False}),
        (["remove", "10", "--force"], "remove", {"count": 10, "force": True}),
        (["set", "rate=5", "mode=chat"], "set", {"values": {"rate": "5", "mode": "chat"}}),
        (["set", "rate=5", "rate=6"], "set", {"values": {"rate": "6"}}),
        (["set", "text=a b=c", "b="], "set", {"values": {"text": "a b=c", "b": ""}}),
        (["pause"], "pause", {}),
        (["resume"], "resume", {}),
        (["stop"], "stop", {}),
    ],
)
def test_a_command_from_a_shell_is_sent_to_the_run(asked, words, name, arguments):
    amoc(*words)
    assert asked.command == (name, arguments, "")
    amoc(*words, "--comment", "it is  time")
    assert asked.command == (name, arguments, "it is time")


def test_the_words_of_a_note_become_its_comment(asked):
    amoc("note", "the", "server was", "restarted")
    assert asked.command == ("note", {}, "the server was restarted")


def test_every_command_in_the_table_is_a_subcommand_with_help():
    assert [one.name for one in control.COMMANDS] == list(commands.COMMANDS)
    listed = CliRunner().invoke(cli, ["--help"]).output
    names = re.findall(r"[\w-]+", listed)
    for spec in commands.COMMANDS.values():
        assert spec.name in names
        shown = CliRunner().invoke(cli, [spec.name, "--help"]).output
        assert spec.help.split(".")[0] in shown
        assert "--run DIR" in shown
        assert "--json" in shown
        assert ("--comment TEXT" in shown) != bool(spec.text)
        for argument in spec.arguments:
            assert (argument.metavar or f"--{argument.name}") in shown, argument.name


def test_a_row_in_the_table_is_enough_for_a_new_subcommand(asked, monkeypatch):
    row = CommandSpec(
        "shuffle",
        "Shuffle the users.",
        (Argument("seed", WholeNumber(0, 9), metavar="SEED"), Argument("hard", Flag())),
    )
    monkeypatch.setitem(commands.COMMANDS, "shuffle", row)
    CliRunner().invoke(control.command_of(row), ["7", "--hard"], catch_exceptions=False)
    assert asked.command == Command("shuffle", {"seed": 7, "hard": True})


def test_the_answer_is_a_summary_line_and_a_line_per_worker(asked):
    assert amoc("remove", "25", "--run", "mine").output.splitlines() == [
        "25 users asked to leave",
        "  throttle messages: 10/s, 3 waiting",
        "  node0/0: 13 users asked to leave",
        "  node0/1: 12 users asked to leave",
    ]
    assert asked.run == "mine"


def test_a_node_is_shown_with_its_host_id_and_state():
    node = {"name": "node1", "host": "h3", "id": "admin@h3:2222 pid 7", "workers": [2, 3]}
    up, lost = {"users": 4, "state": "up"}, {"state": "lost", "reason": "cut off"}
    assert lines_of({"summary": "two", "nodes": [node | up, node | lost]})[1:] == [
        "  node1: h3, admin@h3:2222 pid 7, 2 workers, 4 users, up",
        "  node1: h3, admin@h3:2222 pid 7, 2 workers, lost: cut off",
    ]


def test_json_prints_the_complete_answer(asked):
    assert json.loads(amoc("status", "--json").output) == ANSWER


@pytest.mark.parametrize(
    ("throttle", "text"),
    [
        ({"rate": 600.0, "interval": 60.0, "mode": "paused"}, "paused, configured for 10/s"),
        ({"rate": 3.0, "interval": 0.0, "executions": 1200}, "at most 3 at once, 1,200 executions"),
        (
            {"rate": 3.0, "interval": 1.0, "executions": 1, "waiting": 1, "missed": 1},
            "3/s, 1 execution, 1 waiting, 1 missed",
        ),
        ({"rate": inf, "interval": 60.0, "mode": "open"}, "no limit"),
        ({"rate": "inf", "interval": 60.0, "mode": "open"}, "no limit"),  # as JSON has it
        ({"rate": 1.0, "interval": 60.0, "plan": "to 5/s"}, "0.0166667/s, to 5/s"),
    ],
)
def test_a_throttle_is_described_in_one_line(throttle, text):
    assert lines_of({"throttles": [{"name": "a", **throttle}]})[1] == f"  throttle a: {text}"


def test_coordinators_and_barriers_are_described_in_one_line_each():
    pairs = {"name": "pairs", "adds": 1001, "groups": 500, "timeouts": 2, "pending": [1, 0]}
    barrier = {"name": "all", "waiting": 20, "users": 200}
    first = {"name": "pairs", "adds": 1, "groups": 1, "timeouts": 1}
    assert lines_of({"coordinators": [pairs, first], "barriers": [barrier]})[1:] == [
        "  coordinator pairs: 1,001 adds, 500 groups, 2 timeouts, 1 pending",
        "  coordinator pairs: 1 add, 1 group, 1 timeout, 0 pending",
        "  barrier all: 20 of 200 users waiting",
    ]


def test_feeds_are_described_in_one_line_each():
    once = {"name": "accounts", "order": "unique", "share": "run", "rows": 1_200, "used": 1_000}
    again = {"name": "terms", "order": "circular", "share": "run", "rows": 20, "used": 4_000}
    assert lines_of({"feeds": [once, again, {**once, "ended": True}]})[1:] == [
        "  feed accounts: 1,000 of 1,200 used",
        "  feed terms: 4,000 used, 20 rows",
        "  feed accounts: 1,000 of 1,200 used, none left",
    ]


@pytest.mark.parametrize("answer", [{}, {"workers": "x", "throttles": 5}, {"workers": [1, {}]}])
def test_an_incomplete_answer_can_be_shown(answer):
    assert lines_of(answer)[0] == "done"


NODE = {"host": "h", "id": "i", "workers": [0], "users": 4, "clock_bound_s": 0.1}
NODE |= {"joined_at_s": 3.0, "state": "up"}
THROTTLE = {"rate": 1.0, "interval": 60.0, "mode": "run", "plan": "", "executions": 3}
OTHERS = {"adds": 1, "groups": 1, "pending": [1], "lost": 1, "waiting": 3}
OTHERS |= {"rows": 9, "used": 1, "order": "unique", "share": "run", "ended": False}


@pytest.mark.parametrize("value", [None, True, -1.5, "x", [], ["a"], {"a": 1}, float("nan")])
@pytest.mark.parametrize("name", NODE | THROTTLE | OTHERS)
def test_an_answer_of_another_version_can_be_shown(name, value):
    one = {"name": "a", **NODE, **THROTTLE, **OTHERS, name: value}
    lists = ("nodes", "throttles", "coordinators", "barriers", "feeds")
    assert len(lines_of({key: [one, one] for key in lists})) == 1 + 2 * len(lists)


@pytest.fixture
def ends(monkeypatch, capsys):
    def ends(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["amoc", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, capsys.readouterr().err.splitlines()

    return ends


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["add"], "add requires either count or ids"),
        (["add", "5", "--ids", "1-2"], "add requires either count or ids"),
        (["add", "--ids", "5-3"], "--ids must be A-B"),
        (["add", "0"], "must be a whole number from 1 to"),
        (["add", "many"], "got 'many'"),
        (["remove", "-5"], "-5"),
        (["set"], "NAME=VALUE"),
        (["set", "rate"], "set: expected NAME=VALUE, got 'rate'"),
        (["set", "=5"], "set: expected NAME=VALUE, got '=5'"),
        (["pause", "now"], "now"),
        (["note"], "TEXT"),
        (["note", " "], "note requires a text"),
    ],
)
def test_invalid_arguments_are_a_usage_error_in_one_line(asked, ends, arguments, clause):
    code, lines = ends(*arguments)
    assert code == ExitCode.USAGE
    assert len(lines) == 1
    assert lines[0].startswith("amoc: ")
    assert clause in lines[0]
    assert asked.command is None


def test_a_rejection_is_printed_with_the_exit_code_sent_by_the_run(asked, ends):
    asked.error = AmocError("rate must be at least 1\nmode must be x")
    asked.error.exit_code = ExitCode.SETTING
    assert ends("set", "rate=0") == (
        *(ExitCode.SETTING, ["amoc: rate must be at least 1", "amoc: mode must be x"]),
    )


def test_without_a_run_there_is_one_clear_line(ends, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, (line,) = ends("status")
    assert code == ExitCode.USAGE
    assert line.startswith("amoc: no run is running here (looked in amoc-runs)")


def test_a_directory_without_a_run_cannot_be_replayed(ends, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, (line,) = ends("replay", "nowhere")
    assert code == ExitCode.USAGE
    assert line == (
        "amoc: RUN_DIR must be last (or last~1 and so on), the directory of a run or the id of"
        " a run in amoc-runs, got 'nowhere'"
    )
    code, (line,) = ends("replay", str(tmp_path))
    assert code == ExitCode.RESOURCE
    assert line.endswith("journal.jsonl cannot be read: No such file or directory")
    (tmp_path / "journal.jsonl").write_text('{"kind": "end"}\n')
    code, (line,) = ends("replay", str(tmp_path))
    assert code == ExitCode.USAGE
    assert line.endswith("has no run record, so no plan to repeat")


# The plan of a run


def plan(*arguments: str):
    @click.command()
    @run_options.options
    def planned(**given: object):
        return run_options.plan(**given)

    return planned.main(["chat.py", *arguments], standalone_mode=False)


def test_without_stages_all_users_are_present_from_the_start():
    found = plan("--users", "5", "--duration", "1m")
    assert (found.users, found.stages, found.duration_s) == (range(1, 6), None, 60.0)
    assert plan().users == range(1, 2)


def test_with_stages_a_run_starts_without_users_and_ends_with_the_last_stage():
    found = plan("--stages", "30s:100, 2m:1000")
    assert found.users == range(1, 1)
    assert found.stages == Stages.parse("30s:100, 2m:1000")
    assert found.duration_s == 150.0


def test_stages_may_start_from_an_initial_number_of_users():
    found = plan("--stages", "30s:100", "--users", "10")
    assert found.users == range(1, 11)
    assert found.stages.count_at(0) == 10
    found = plan("--stages", "30s:100", "--user-ids", "5001-5010")
    assert found.users == range(5001, 5011)
    assert found.stages.count_at(0) == 10


def test_a_run_ends_with_its_stages_or_its_duration_whichever_is_shorter():
    assert plan("--stages", "30s:100", "--duration", "10s").duration_s == 10.0
    assert plan("--stages", "30s:100", "--duration", "60s").duration_s == 30.0


def test_throttle_rates_are_kept_by_name():
    found = plan("--throttle", "messages=600/min", "--throttle", "logins = 30s:10/s, 1m:0")
    assert found.rates == {"messages": "600/min", "logins": "30s:10/s, 1m:0"}
    assert plan("--run-dir", "here").run_directory == "here"


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["--stages", "100"], "--stages stage 1 must be DURATION:TARGET such as 30s:100"),
        (["--stages", "0s:100"], "--stages must have a total duration above 0 s, got '0s:100'"),
        (["--throttle", "x"], "--throttle must be NAME=RATE, got 'x'"),
        (["--throttle", "a=fast=x"], "--throttle a=fast: must be a rate such as 10/s"),
        (["--throttle", "=5"], "--throttle must be NAME=RATE, got '=5'"),
        (["--throttle", "x=fast"], "--throttle x: must be a rate such as 10/s"),
        (["--throttle", "x=1s:a"], "--throttle x: stage 1: its target must be a rate such as"),
        (
            ["--throttle", "x=1", "--throttle", "x=2"],
            "--throttle must name each throttle once, got 'x' twice",
        ),
    ],
)
def test_invalid_stages_and_rates_are_reported_in_one_line(ends, arguments, clause):
    code, (line,) = ends("run", "chat.py", *arguments)
    assert code == ExitCode.USAGE
    assert clause in line


def test_a_usage_error_in_the_plan_is_raised_as_our_own_error():
    with pytest.raises(UsageError, match="--users and --user-ids are mutually exclusive"):
        plan("--users", "1", "--user-ids", "1-2")
