"""The command line: invalid input is rejected in one clear line with the right exit code."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from amoc import __version__
from amoc.base.errors import ExitCode, ResourceError
from amoc.cli.main import cli, main
from amoc.cli.param_types import MAX_ID, USER_IDS, duration
from amoc.cli.summary_file import SummaryFile
from tests import preloaded
from tests.rooms import ROOT

SCENARIO = '''"""A user that does nothing."""
from amoc import setting
rate = setting(600, "Messages a minute")
def start(user_id): pass
'''


@pytest.fixture
def directory(tmp_path, monkeypatch):
    (tmp_path / "calm.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused_in_process(monkeypatch, capsys):
    """Run `amoc` with these arguments in this process: the exit code and the lines on stderr."""

    def refused(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["amoc", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, capsys.readouterr().err.splitlines()

    return refused


def amoc(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    found = preloaded.amoc(
        *arguments,
        cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
    )
    assert "Traceback" not in found.stdout + found.stderr, found.stderr
    return found


def refused(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
    found = amoc(*arguments, environment=environment)
    return found.returncode, found.stderr.strip().splitlines()


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("SystemExit()", 0, []),
        ("SystemExit(5)", 5, []),
        ("SystemExit('no licence')", 1, ["amoc: no licence"]),
    ],
)
def test_an_exit_from_a_command_ends_the_process_as_in_any_program(
    refused_in_process, directory, monkeypatch, ending, code, said
):
    def end() -> None:
        raise eval(ending)

    monkeypatch.setitem(cli.commands, "end", click.Command("end", callback=end))
    assert refused_in_process("end") == (code, said)


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (OSError(errno.ENOMEM, ""), "there is not enough memory to run amoc"),
        (MemoryError(), "there is not enough memory to run amoc"),
        (OSError(errno.EMFILE, ""), "too many files are open in this process"),
    ],
)
def test_what_the_system_lacks_is_said_in_one_line(refused_in_process, monkeypatch, ending, said):
    def end() -> None:
        raise ending

    monkeypatch.setitem(cli.commands, "end", click.Command("end", callback=end))
    code, lines = refused_in_process("end")
    assert code == 7
    (line,) = lines
    assert line.startswith(f"amoc: {said}")


@pytest.mark.parametrize(
    ("given", "hint"),
    [("rnu", "; did you mean run?"), ("compair", "; did you mean compare?"), ("xyzzy", ".")],
)
def test_an_unknown_command_is_compared_with_the_known_ones(refused_in_process, given, hint):
    assert refused_in_process(given) == (2, [f"amoc: No such command '{given}'{hint} (see --help)"])


# Rejected before anything is started


LONG = "9" * 5000  # int() itself rejects so many digits


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["--users", "-5"], "--users must be a whole number from 0 to 4294967296, got '-5'"),
        (["--users", "many"], "--users must be a whole number"),
        (["--users", "1.5"], "--users must be a whole number"),
        (["--users", str(MAX_ID + 1)], f"got '{MAX_ID + 1}'"),
        (["--users", LONG], "--users must be a whole number"),
        (["--user-ids", "0-5"], "--user-ids must be A-B with 1 <= A <= B <= 4294967296, got '0-5'"),
        (["--user-ids", "5-3"], "--user-ids must be A-B"),
        (["--user-ids", "5"], "--user-ids must be A-B"),
        (["--user-ids", "1-2-3"], "--user-ids must be A-B"),
        (["--user-ids", ""], "--user-ids must be A-B"),
        (["--user-ids", " 1-2"], "--user-ids must be A-B"),
        (["--user-ids", f"1-{MAX_ID + 1}"], "--user-ids must be A-B"),
        (["--user-ids", f"1-{LONG}"], "--user-ids must be A-B"),
        (["--users", "3", "--user-ids", "1-3"], "--users and --user-ids are mutually exclusive"),
        (["--arrival-rate", "5"], "--arrival-rate must have a time unit, such as 200/s"),
        (["--arrival-rate", "fast"], "must be a rate such as 10/s, 600/min or 3600/h, got 'fast'"),
        (["--arrival-rate", "inf"], "--arrival-rate must be below infinity, got 'inf'"),
        (["--arrival-rate", "1/s", "--users", "1"], "--arrival-rate and --users are mutually"),
        (["--arrival-rate", "1/s", "--stages", "1s:1"], "--arrival-rate and --stages are mutually"),
        (["--max-users", "5"], "--max-users requires --arrival-rate"),
        (
            ["--arrival-rate", "1/s", "--throttle", "arrival_rate=2/s"],
            "--throttle arrival_rate=… and --arrival-rate are mutually exclusive",
        ),
        (["b.py=1"], "scenarios must each be FILE=LOAD, where LOAD is a number of users"),
        (["--duration", "0"], "--duration must be above 0, got '0'"),
        (["--duration", "soon"], "--duration must be a duration such as"),
        (["--duration", "-5s"], "--duration must not be negative, got '-5s'"),
        (["--init-timeout", "x"], "--init-timeout must be a duration"),
        (["--stop-timeout", ""], "--stop-timeout must be a duration"),
        (["--workers", "0"], "--workers must be a whole number from 1 to 512, got '0'"),
        (["--workers", "two"], "--workers must be a whole number"),
        (["--seed", "-1"], "--seed must be a whole number"),
        (["--set", "rate"], "--set: expected NAME=VALUE, got 'rate'"),
        (["--config", "no.toml"], "--config no.toml cannot be read: No such file"),
        (["--nonsense"], "--nonsense"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_an_invalid_option_is_reported_with_its_rule_and_value(
    directory, refused_in_process, arguments, clause
):
    code, lines = refused_in_process("run", "calm.py", *arguments)
    assert code == ExitCode.USAGE
    assert len(lines) == 1
    assert lines[0].startswith("amoc: ")
    assert clause in lines[0]
    assert len(lines[0]) < 6000


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["--json", "no/such/x.json"], "--json no/such/x.json cannot be written: No such file"),
        (["--json", "."], "--json . cannot be written: Is a directory"),
        (["--run-dir", "/proc/x"], "--run-dir /proc/x cannot be created: No such file"),
    ],
)
def test_unwritable_output_is_rejected_before_the_run(
    directory, refused_in_process, arguments, clause
):
    code, (line,) = refused_in_process("run", "calm.py", *arguments)
    assert code == ExitCode.RESOURCE
    assert clause in line


def test_a_missing_scenario_is_a_usage_error(directory, refused_in_process):
    code, (line,) = refused_in_process("run")
    assert code == ExitCode.USAGE
    assert "SCENARIO" in line


def test_a_config_file_that_is_not_toml_is_a_setting_error(directory, refused_in_process):
    (directory / "amoc.toml").write_text("rate =")
    code, (line,) = refused_in_process("run", "calm.py")
    assert code == ExitCode.SETTING
    assert line.startswith("amoc: amoc.toml is not valid TOML: ")


@pytest.mark.parametrize(
    ("text", "ids"),
    [("5001-6000", range(5001, 6001)), ("7-7", range(7, 8)), (f"1-{MAX_ID}", range(1, MAX_ID + 1))],
)
def test_user_ids_accept_numbers_and_ranges(text, ids):
    assert USER_IDS.convert(text, None, None) == ids


def test_a_duration_option_accepts_every_duration_format():
    assert duration().convert("1m30s", None, None) == 90.0
    assert duration().convert(2.5, None, None) == 2.5
    assert duration(zero=True).convert("0", None, None) == 0.0
    assert duration().convert("inf", None, None) < float("inf")
    with pytest.raises(click.BadParameter, match="must be a duration"):
        duration().convert("x", None, None)


# The summary as a file


def test_a_summary_file_is_written_completely_or_not_at_all(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text("that of an earlier run")
    file = SummaryFile(str(path))
    assert not path.exists()
    file.write({"run": {"id": "é"}})
    assert json.loads(path.read_text()) == {"run": {"id": "é"}}
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_removed_during_the_run_is_one_clear_error(tmp_path):
    directory = tmp_path / "gone"
    directory.mkdir()
    file = SummaryFile(str(directory / "summary.json"))
    directory.rmdir()
    with pytest.raises(
        ResourceError, match=r"--json .*summary\.json cannot be written: No such file"
    ):
        file.write({})


def test_a_summary_may_be_written_to_a_device():
    SummaryFile("/dev/null").write({})
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["check", "-h"], ["xmppd", "-h"]]
)
def test_every_command_has_help(arguments):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_version_prints_the_package_version():
    assert CliRunner().invoke(cli, ["--version"]).output.strip().endswith(__version__)


# Rejected by the processes that are started

NO_MODULE = "amoc: scenario no_such_module_here is neither a file (*.py) nor an importable module"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["no.py"], ExitCode.SCENARIO, "amoc: scenario no.py does not exist"),
        (["no_such_module_here"], ExitCode.SCENARIO, NO_MODULE),
        (
            ["calm.py", "--set", "rate=x"],
            ExitCode.SETTING,
            "amoc: rate must be a valid integer, got 'x' (from --set)",
        ),
    ],
    ids=["no file", "no module", "wrong type"],
)
def test_a_scenario_that_cannot_be_loaded_is_reported_in_one_line_with_its_exit_code(
    directory, command, arguments, code, line
):
    assert refused(command, *arguments) == (code, [line])


@pytest.mark.slow
def test_all_invalid_settings_are_reported_at_once_with_their_sources(directory):
    (directory / "amoc.toml").write_text("colour = 1979-05-27\nworkers = 0\n")
    code, lines = refused(
        "run",
        "calm.py",
        "--set",
        "speed=9",
        environment={"AMOC_RATE": "fast", "AMOC_OTHER": "\udcff"},
    )
    assert code == ExitCode.SETTING
    assert len(lines) == 4
    text = "\n".join(lines)
    assert "speed is not a setting of this scenario, got '9' (from --set)" in text
    assert "colour is not a setting of this scenario" in text
    assert "(from amoc.toml)" in text
    assert "rate must be a valid integer, got 'fast' (from AMOC_RATE)" in text
    assert "workers must be from 1 to 512, got 0 (from amoc.toml)" in text


@pytest.mark.slow
def test_a_huge_number_in_the_config_file_is_rejected(directory):
    (directory / "amoc.toml").write_text("rate = 99999999999999999999999999\n")
    code, lines = refused("run", "calm.py")
    assert code == ExitCode.SETTING
    assert "rate" in lines[0]
    assert len(lines) == 1


@pytest.mark.slow
def test_an_infinite_timeout_is_accepted(directory):
    found = amoc(
        *("run", "calm.py", "--workers", "1", "--set", "repeat_num=1"),
        *("--init-timeout", "inf", "--stop-timeout", "inf", "--json", "summary.json"),
    )
    assert found.returncode == ExitCode.OK
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["users"]["finished"] == 1


@pytest.mark.slow
def test_a_run_that_cannot_start_leaves_no_summary_file(directory):
    code, _ = refused("run", "calm.py", "--set", "rate=x", "--json", "summary.json")
    assert code == ExitCode.SETTING
    assert not (directory / "summary.json").exists()


@pytest.mark.slow
def test_check_shows_the_docstring_and_every_setting_with_its_source(directory):
    found = amoc("check", "calm.py", environment={"AMOC_RATE": "7"})
    assert found.returncode == ExitCode.OK
    assert "A user that does nothing." in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("rate")]
    assert line.split() == ["rate", "7", "AMOC_RATE", "Messages", "a", "minute"]


@pytest.mark.slow
def test_check_accepts_scenarios_with_loads_as_run_does(directory):
    (directory / "hurried.py").write_text('"""In a hurry."""\ndef start(user_id): pass\n')
    found = amoc("check", "calm.py=1", "hurried.py=30s:5")
    assert found.returncode == ExitCode.OK
    assert "scenario calm+hurried (calm.py=1 hurried.py=30s:5)" in found.stdout
    assert "calm: A user that does nothing." in found.stdout
    assert "hurried: In a hurry." in found.stdout


@pytest.mark.slow
def test_check_shows_a_scenarios_own_defaults_and_every_problem_with_its_settings(directory):
    (directory / "own.py").write_text(
        "from amoc import override\noverride('repeat_num', 1)\ndef start(user_id): pass\n"
    )
    found = amoc("check", "own.py")
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("repeat_num")]
    assert line.split()[:5] == ["repeat_num", "1", "override()", "in", "own.py:2"]
    (directory / "bad.py").write_text(
        "from amoc import setting\na = setting(1)\nb = setting(1, 'b', update=lambda new: 1)\n"
        "def start(user_id): pass\n"
    )
    for command in ("check", "run"):
        code, lines = refused(command, "bad.py")
        assert code == ExitCode.SCENARIO
        assert len(lines) == 2
        assert "needs a description" in lines[0]
        assert "bad.py:3" in lines[1]


@pytest.mark.slow
def test_undeclared_settings_are_accepted_with_allow_undeclared(directory):
    (directory / "free.py").write_text(
        "from amoc import config\n"
        "def init():\n    assert (config.get('a'), config.get('b')) == ('1', 2)\n"
        "def start(user_id): assert (config.get('a'), config.get('b')) == ('1', 2)\n"
    )
    (directory / "amoc.toml").write_text("b = 2\nrepeat_num = 1\n")
    given = ("free.py", "--workers", "1", "--set", "a=1")
    code, lines = refused("run", *given)
    assert code == ExitCode.SETTING
    assert all("--allow-undeclared" in line for line in lines)
    found = amoc("run", *given, "--allow-undeclared", "--json", "summary.json")
    assert found.returncode == ExitCode.OK
    assert json.loads((directory / "summary.json").read_text())["users"]["crashed"] == 0
    again = amoc("replay", str(next((directory / "amoc-runs").iterdir())), "--set", "a=1")
    assert again.returncode == ExitCode.OK


@pytest.mark.slow
def test_the_number_of_workers_may_be_set_in_the_scenarios_table(directory):
    (directory / "amoc.toml").write_text("workers = 3\nrepeat_num = 1\n[calm]\nworkers = 1\n")
    assert amoc("run", "calm.py", "--json", "summary.json").returncode == ExitCode.OK
    summary = json.loads((directory / "summary.json").read_text())
    (workers,) = [one for one in summary["settings"] if one["name"] == "workers"]
    assert (workers["value"], workers["source"]) == ("1", "amoc.toml [calm]")
    assert len(summary["workers"]) == 1


def test_the_help_lists_every_command_and_fits_one_screen():
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert set(cli.all_commands()) <= set(re.findall(r"[\w-]+", shown))
    lines = shown.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
