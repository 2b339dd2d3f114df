"""`amoc report`, `compare` and `export`: what they print, write and reject."""

from __future__ import annotations

import csv
import io
import json
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from amoc.base.errors import ExitCode, ResourceError, UsageError
from amoc.cli.main import cli
from amoc.results import summary_file
from amoc.results.run_directory import RunDirectory
from amoc.results.summary import rebuild
from tests.unit.results import runs
from tests.unit.results.test_steps import RUN

KILLED = [one for one in runs.journal(4) if one["kind"] != "end"]


def amoc(*arguments: str) -> tuple[str, str]:
    """Return what the command writes to stdout and to stderr."""
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    return done.stdout, done.stderr


@pytest.fixture
def killed(tmp_path):
    """The directory of a killed run."""
    entries = [one for one in runs.journal(30) if one["kind"] != "end"]
    return runs.leave(tmp_path / "killed", runs.points(30), entries)


def test_reporting_a_killed_run_writes_every_file_the_run_would_have_written(killed):
    printed, said = amoc("report", str(killed))
    left = RunDirectory(killed)
    assert printed.splitlines() == [str(left.summary), str(left.junit), str(left.report)]
    assert said == ""
    assert json.loads(left.summary.read_text())["run"]["verdict"] == "killed"
    assert "killed" in left.report.read_text()
    assert "<testsuites" in left.junit.read_text()
    again, _ = amoc("report", str(killed))
    assert str(left.report) in again


def test_a_report_can_be_written_elsewhere(killed, tmp_path):
    printed, _ = amoc("report", str(killed), "--output", str(tmp_path / "page.html"))
    assert str(tmp_path / "page.html") in printed
    assert not RunDirectory(killed).report.exists()


def test_for_a_running_run_only_the_report_is_written(killed):
    left = RunDirectory(killed)
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(left.control))
        control.listen()
        printed, said = amoc("report", str(killed))
    assert printed.splitlines() == [str(left.report)]
    assert said == f"amoc: run {killed} is still running; the report covers it so far\n"
    assert not left.summary.exists()


def test_an_existing_summary_is_left_alone(tmp_path):
    left = RunDirectory(runs.leave(tmp_path / "ended", runs.points(30), runs.journal(30)))
    summary_file.write(rebuild("", "", runs.journal(30), runs.points(30), False), left.summary)
    text = left.summary.read_text()
    printed, said = amoc("report", str(left.path))
    assert printed.splitlines() == [str(left.junit), str(left.report)]
    assert said == ""
    assert left.summary.read_text() == text


def test_missing_files_are_reported(killed):
    (killed / "series.amoc").unlink()
    _, said = amoc("report", str(killed))
    assert said.startswith(f"amoc: series {killed}/series.amoc cannot be read: No such file")
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["report", "export"])
def test_a_run_that_does_not_exist_is_rejected(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--csv"] if command == "export" else []
    with pytest.raises(UsageError, match=r"RUN_DIR must be .* the id of a run in amoc-runs, got"):
        amoc(command, "nowhere", *more)


def test_two_runs_are_compared_in_the_terminal_and_in_a_page(tmp_path, monkeypatch, killed):
    monkeypatch.chdir(tmp_path)
    runs.leave(tmp_path / "slow", runs.points(60, service_s=0.03, seed=4), runs.journal(60))
    printed, _ = amoc("compare", "killed", "slow")
    assert "slower" in printed
    assert printed.splitlines()[-1] == "compare-killed-slow.html"
    assert "slower" in (tmp_path / "compare-killed-slow.html").read_text()


def test_a_comparison_with_json_writes_no_page(tmp_path, monkeypatch, killed):
    monkeypatch.chdir(tmp_path)
    printed, _ = amoc("compare", "killed", "killed", "--json", "--warmup", "5s")
    found = json.loads(printed)
    assert [run["from_s"] for run in found["runs"]] == [5.0, 5.0]
    assert not any(one["significant"] for one in found["metrics"])
    assert not list(tmp_path.glob("*.html"))


def test_a_comparison_as_json_can_be_written_to_a_file(tmp_path, monkeypatch, killed):
    monkeypatch.chdir(tmp_path)
    printed, _ = amoc("compare", "killed", "killed", "--json", "--output", "both.json")
    assert printed == "both.json\n"
    assert len(json.loads((tmp_path / "both.json").read_text())["runs"]) == 2
    assert not list(tmp_path.glob("*.html"))
    printed, _ = amoc("compare", "killed", "killed", "--json", "--output", "-")
    assert len(json.loads(printed)["runs"]) == 2


def test_control_characters_from_a_run_do_not_reach_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = "\x1b]0;owned\x07\x1b[2J\r\n[red]"
    journal = runs.journal(5, comment=evil, scenario=evil, id=evil)
    journal[0]["settings"] = {evil: {"value": evil, "from": evil}}
    runs.leave(tmp_path / "evil", runs.points(5), journal)
    runs.leave(tmp_path / "good", runs.points(5), runs.journal(5))
    printed, _ = amoc("compare", "evil", "good")
    assert "\x1b" not in printed
    assert "]0;owned  [2J" in printed
    assert "[red]" in printed


def test_a_nearly_empty_summary_can_be_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs.leave(tmp_path / "bare", runs.points(20), summary={"run": {"verdict": "ok"}})
    printed, _ = amoc("compare", "bare", "bare")
    assert "metrics changed significantly" in printed


def test_a_page_that_cannot_be_written_is_an_error(killed):
    with pytest.raises(ResourceError, match="cannot be written: No such file or directory"):
        amoc("compare", str(killed), str(killed), "--output", "/nowhere/page.html")


def test_an_export_is_printed_or_written(killed, tmp_path):
    printed, _ = amoc("export", str(killed), "--csv")
    assert len(list(csv.DictReader(io.StringIO(printed)))) == 30
    file = tmp_path / "run.json"
    printed, _ = amoc("export", str(killed), "--json", "--output", str(file))
    assert printed == f"{file}\n"
    assert len(json.loads(file.read_text())["points"]) == 30
    printed, _ = amoc("export", str(killed), "--hlog")
    assert printed.count("Tag=message_ttd,") == 30


@pytest.mark.parametrize("flags", [[], ["--csv", "--hlog"]])
def test_an_export_takes_exactly_one_format(killed, flags):
    told = " and ".join(flags) or "none"
    with pytest.raises(UsageError, match=f"one of --csv, --json, --jsonl and --hlog, got {told}"):
        amoc("export", str(killed), *flags)


@pytest.mark.slow
def test_a_reader_may_close_the_pipe_of_an_export_early(killed):
    export = subprocess.Popen(
        [sys.executable, "-m", "amoc", "export", str(killed), "--hlog"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with export:
        export.stdout.readline()
        export.stdout.close()
        assert export.stderr.read() == b"amoc: the output cannot be written: Broken pipe\n"
        assert export.wait(30) == ExitCode.RESOURCE


def test_steps_and_failures_are_written_as_separate_tables_next_to_the_csv(tmp_path):
    run = runs.leave(tmp_path / "shop", RUN, KILLED)
    printed, _ = amoc("export", str(run), "--csv", "--output", str(tmp_path / "seconds.csv"))
    names = ("seconds.csv", "requests.csv", "failures.csv")
    assert printed.splitlines() == [str(tmp_path / name) for name in names]
    requests, failures = (
        list(csv.DictReader(io.StringIO((tmp_path / name).read_text()))) for name in names[1:]
    )
    assert [(one["name"], one["count"], one["failures"]) for one in requests] == [
        ("buy", "19", "7"),
        ("Aggregated", "19", "7"),
    ]
    assert float(requests[0]["p50_s"]) == pytest.approx(0.02, rel=0.004)
    assert [(one["cause"], one["count"], one["first_s"], one["last_s"]) for one in failures] == [
        ("late", "4", "3.0", "4.0"),
        ("refused", "3", "1.0", "4.0"),
    ]


def test_printing_csv_writes_both_tables_to_the_run_directory_silently(tmp_path):
    run = runs.leave(tmp_path / "shop", RUN, KILLED)
    printed, said = amoc("export", str(run), "--csv")
    assert len(printed.splitlines()) == 5
    assert said == ""
    assert (run / "requests.csv").read_text().startswith("name,count,failures,")


def test_runs_are_listed_as_a_table_and_as_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed, _ = amoc("runs")
    assert printed == "there are no runs in amoc-runs\n"
    for name in ("20260101T000000-shop", "20260102T000000-shop"):
        runs.leave(tmp_path / "amoc-runs" / name, RUN, KILLED)
    amoc("report", "last~1")
    printed, _ = amoc("runs")
    assert [line.split()[0] for line in printed.splitlines()[1:]] == [
        "20260102T000000-shop",
        "20260101T000000-shop",
    ]
    printed, _ = amoc("runs", "--limit", "1", "--json")
    assert [one["name"] for one in json.loads(printed)] == ["20260102T000000-shop"]
    printed, _ = amoc("runs", "--json", "list.json")
    assert printed == "list.json\n"
    found = json.loads((tmp_path / "list.json").read_text())
    assert [(one["verdict"], one["requests"]) for one in found] == [
        ("killed", None),
        ("killed", 19),
    ]


def test_json_works_the_same_in_every_command():
    options = {
        name: next((p for p in one.params if "--json" in p.opts), None)
        for name, one in cli.all_commands().items()
    }
    found = {name: one for name, one in options.items() if one is not None}
    assert {"run", "replay", "plan", "runs", "compare", "export", "status", "add"} <= found.keys()
    for one in found.values():
        assert (one.metavar, one.flag_value) == ("[FILE]", "-")
        assert one.help.endswith("without FILE, or with -, print it.")


def test_json_of_a_comparison_accepts_a_file_name(tmp_path, monkeypatch, killed):
    monkeypatch.chdir(tmp_path)
    printed, _ = amoc("compare", "killed", "killed", "--json", "both.json")
    assert printed == "both.json\n"
    assert len(json.loads((tmp_path / "both.json").read_text())["runs"]) == 2
