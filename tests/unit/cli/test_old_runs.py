"""Run directories of an earlier amoc, without checksums on lines, are read like current ones.

The directory was left by a real run of it: 6 s with a warm-up, crashes and a command.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from amoc.base.errors import ExitCode
from amoc.cli.main import cli
from tests.rooms import ROOT
from tests.unit.cli import test_main

OLD = ROOT / "tests/unit/results/run_without_checksums"
WRITTEN = json.loads((OLD / "summary.json").read_text())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def amoc(*arguments: str | Path) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr."""
    done = CliRunner().invoke(
        cli, [str(one) for one in arguments], catch_exceptions=False, standalone_mode=False
    )
    return int(done.return_value or 0), done.stdout, done.stderr


def exported(run: Path) -> dict:
    """The JSON export of a complete run."""
    code, printed, said = amoc("export", run, "--json")
    assert (code, said) == (0, "")
    return json.loads(printed)


def test_every_command_reads_an_old_run_as_complete(run: Path) -> None:
    assert exported(run)["summary"]["run"]["verdict"] == "ok"
    code, printed, said = amoc("export", run, "--csv")
    assert (code, said) == (0, "")
    rows = list(csv.DictReader(io.StringIO(printed)))
    sent = sum(int(row["counters.sent.count"] or 0) for row in rows)
    assert sent == WRITTEN["counters"]["sent"]
    for command in (["report", run], ["compare", run, run], ["export", run, "--hlog"]):
        assert amoc(*command)[::2] == (0, "")
    page = (run / "report.html").read_text()
    assert "half the rate" in page, "the comment of a command"
    assert "no luck" in page, "the cause of crashes"
    assert 'name="turn.p99 &lt; 1s"' in (run / "junit.xml").read_text()


SCENARIO = """
from amoc import setting
rate = setting(600, "Turns a minute", update="free")
def start(user_id): pass
"""


def test_an_old_run_can_be_replayed_with_its_plan_and_settings(run: Path) -> None:
    (run.parent / "s.py").write_text(SCENARIO)
    journal = (run / "journal.jsonl").read_text()
    (run / "journal.jsonl").write_text(journal.replace("/home/tester/load", str(run.parent)))
    # In a separate process, because the standard library gets patched.
    printed = test_main.amoc("replay", str(run), "--plan").stdout
    assert re.search(r"\nrate +1200 +--set", printed)
    assert re.search(r"\nuser_rate +inf", printed)
    assert "seed 1" in printed
    assert "6 s" in printed


def test_a_rebuilt_summary_equals_the_lost_one(run: Path) -> None:
    (run / "summary.json").unlink()
    code, printed, said = amoc("export", run, "--json")
    assert code == ExitCode.INCOMPLETE
    assert said == "amoc: summary.json is missing, so it was rebuilt\n"
    rebuilt = json.loads(printed)["summary"]
    assert rebuilt["run"]["verdict"] == "incomplete"
    assert rebuilt["run"]["reasons"] == [
        "summary.json is missing, so it was rebuilt",
        "without that, the verdict would be: ok",
    ]
    for part in ("counters", "gauges", "timers", "crashes", "settings"):
        assert rebuilt[part] == exported(OLD)["summary"][part], part
    assert rebuilt["window"]["counters"] == WRITTEN["window"]["counters"]
    users = {name: n for name, n in WRITTEN["users"].items() if name != "starts_per_s_peak"}
    assert rebuilt["users"].items() >= users.items(), "a short second counts less since"


def test_a_second_written_twice_counts_once(run: Path) -> None:
    lines = (run / "series.jsonl").read_text().splitlines(keepends=True)
    (run / "series.jsonl").write_text("".join([*lines[:3], *lines[1:]]))
    code, printed, said = amoc("export", run, "--csv")
    assert code == ExitCode.INCOMPLETE
    assert said == "amoc: series.jsonl: 2 lines repeated or out of order\n"
    rows = list(csv.DictReader(io.StringIO(printed)))
    sent = sum(int(row["counters.sent.count"] or 0) for row in rows)
    assert sent == WRITTEN["counters"]["sent"]


def edited(edit: Callable[[list[str]], None]) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        edit(lines)
        return "".join(lines)

    return change


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        ("series.jsonl", lambda text: text.replace('"span_s"', '"span', 1), "line 1 is damaged"),
        ("series.jsonl", lambda text: text.replace("}\n{", "}\n\0{", 2), "2 lines are damaged"),
        ("series.jsonl", edited(lambda lines: lines.pop(2)), "1 s are missing between its lines"),
        ("series.jsonl", edited(lambda lines: lines.pop(0)), "s are missing between its lines"),
        ("series.jsonl", edited(lambda lines: lines.insert(3, lines[2])), "1 line repeated or out"),
        ("series.jsonl", edited(lambda lines: lines.insert(2, lines.pop(3))), "1 line repeated or"),
        ("journal.jsonl", lambda text: text.replace('{"at"', "{at", 1), "line 1 is damaged"),
        ("journal.jsonl", lambda text: text.rpartition('{"at"')[0], "journal.jsonl has no end"),
        ("summary.json", lambda text: text[: len(text) // 2], "summary.json is damaged"),
        ("summary.json", lambda text: "[]", "summary.json is damaged"),
    ],
)
def test_every_command_reports_what_it_could_not_read(run: Path, file, damage, told) -> None:
    text = (run / file).read_text()
    (run / file).write_text(damage(text))
    assert (run / file).read_text() != text
    for command in (
        ["export", run, "--json"],
        ["compare", run, run, "--output", run.parent / "both.html"],
        ["report", run, "--output", run.parent / "page.html"],  # rebuilds a summary
    ):
        code, _, said = amoc(*command)
        assert code == ExitCode.INCOMPLETE, command
        assert told in said, command
    assert "incomplete" in (run.parent / "page.html").read_text()
