"""A damaged run directory never counts as ok, and every command that reads it says why.

One real run is made; each test alters a copy of its directory.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import textwrap
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from amoc.base.errors import ExitCode
from amoc.cli.main import cli
from amoc.results import saved_run
from amoc.results.run_directory import RunDirectory
from amoc.results.store.records import MARK
from tests.process.support import running

pytestmark = pytest.mark.once

SCENARIO = """
    from amoc import metrics, setting, user
    api_token = setting("sesame", "a secret")
    def start(user_id):
        while not user.wait_stopping(0.02):
            metrics.counter("n").inc()
            metrics.timer("t").record(1000 + user_id)
    """
SOURCES = ("journal.jsonl", "series.amoc", "summary.json")
MADE = ("report.html", "junit.xml", "logs/controller.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The complete directory of a run that has ended."""
    directory = tmp_path_factory.mktemp("whole")
    scenario = directory / "trial.py"
    scenario.write_text(textwrap.dedent(SCENARIO))
    with running(scenario, "--users", "5", "--duration", "6s", directory=directory) as run:
        assert run.end() == 0
    return run.directory


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run", symlinks=True))


def amoc(*arguments: str | Path) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    done = CliRunner().invoke(
        cli, [str(one) for one in arguments], catch_exceptions=False, standalone_mode=False
    )
    return int(done.return_value or 0), done.stdout, done.stderr


def verdicts(run: Path) -> dict[str, Any]:
    """Read a run with each command; return the exit codes, messages and the summary's run part."""
    page = run.parent / "page.html"
    code, printed, said = amoc("export", run, "--json")
    told = json.loads(printed)["summary"]["run"]
    codes = {
        "export --csv": amoc("export", run, "--csv")[0],
        "compare": amoc("compare", run, run, "--output", page)[0],
        "report": amoc("report", run, "--output", page)[0],
        "export --json": code,
    }
    return {"codes": set(codes.values()), "said": said, "page": page.read_text(), **told}


Alter = Callable[[list[bytes], random.Random], list[bytes]]


def cut_a_line(lines: list[bytes], draw: random.Random) -> list[bytes]:
    place = draw.randrange(len(lines))
    lines[place] = lines[place][: len(lines[place]) // 2] + b"\n"
    return lines


def delete_a_line(lines: list[bytes], draw: random.Random) -> list[bytes]:
    del lines[draw.randrange(1, len(lines) - 1)]
    return lines


def double_a_line(lines: list[bytes], draw: random.Random) -> list[bytes]:
    place = draw.randrange(len(lines))
    return [*lines[: place + 1], *lines[place:]]


def swap(lines: list[bytes], draw: random.Random) -> list[bytes]:
    place = draw.randrange(len(lines) - 1)
    lines[place : place + 2] = lines[place + 1], lines[place]
    return lines


def garble(lines: list[bytes], draw: random.Random) -> list[bytes]:
    data = bytearray(b"".join(lines))
    for _ in range(draw.randint(1, 3)):
        data[draw.randrange(len(data))] ^= draw.randint(1, 255)
    return [bytes(data)]


def change_a_digit(lines: list[bytes], draw: random.Random) -> list[bytes]:
    data = bytearray(b"".join(lines))
    place = draw.choice([at for at, byte in enumerate(data) if byte in b"12345678"])
    data[place] += 1
    return [bytes(data)]


ALTERATIONS: dict[str, Alter] = {
    "empty": lambda _lines, _draw: [],
    "truncate": lambda lines, draw: [b"".join(lines)[: -draw.randint(2, 400)]],
    "cut in half": lambda lines, _draw: [b"".join(lines)[: len(b"".join(lines)) // 2]],
    "cut a line": cut_a_line,
    "delete a line": delete_a_line,
    "delete the first line": lambda lines, _draw: lines[1:],
    "delete the last line": lambda lines, _draw: lines[:-1],
    "double a line": double_a_line,
    "swap lines": swap,
    "garble": garble,
    "change a digit": change_a_digit,
    "append": lambda lines, _draw: [*lines, b'{"t_s":1}\n'],
}


def split(data: bytes) -> list[bytes]:
    """Split a file into its lines or its records."""
    if data.startswith(MARK):
        return [MARK + one for one in data.split(MARK)[1:]]
    return data.splitlines(keepends=True)


def altered(how: str, data: bytes, seed: int) -> bytes:
    return b"".join(ALTERATIONS[how](split(data), random.Random(f"{how} {seed}")))


def leave(file: Path, data: bytes | None) -> None:
    if data is None:
        file.unlink()
    else:
        file.write_bytes(data)


def says_the_same(data: bytes, other: bytes) -> bool:
    """Return whether both are the same JSON object."""
    try:
        return bool(json.loads(data) == json.loads(other))
    except ValueError:
        return False


def test_an_undamaged_run_is_complete(copy):
    found = verdicts(copy)
    assert (found["verdict"], found["exit_code"], found["reasons"]) == ("no criteria", 0, [])
    assert (found["codes"], found["said"]) == ({0}, "")


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("how", ["remove", *ALTERATIONS])
def test_a_run_with_an_altered_file_is_incomplete(copy, name, how):
    file = copy / name
    data = file.read_bytes()
    versions: list[bytes | None] = [None]
    if how != "remove":
        # A duplicated line may only repeat a key with the same value.
        every = (altered(how, data, seed) for seed in range(100))
        versions = list(islice((one for one in every if not says_the_same(one, data)), 5))
    assert versions
    for version in versions:
        leave(file, version)
        saved = saved_run.load(RunDirectory(copy))
        run = saved.summary["run"]
        assert saved.missing, version
        assert (run["verdict"], run["exit_code"]) == ("incomplete", ExitCode.INCOMPLETE)
        assert all(name in text for text in saved.missing), saved.missing
        assert set(saved.missing) <= set(run["reasons"])
    seen = verdicts(copy)
    assert (seen["verdict"], seen["codes"]) == ("incomplete", {ExitCode.INCOMPLETE})
    assert seen["said"].splitlines() == [f"amoc: {text}" for text in saved.missing]
    assert "incomplete" in seen["page"]


def test_a_summary_without_its_checksum_is_not_trusted(copy):
    file = copy / "summary.json"
    altered_summary = json.loads(file.read_bytes())
    del altered_summary["checksum"]
    altered_summary["users"]["crashed"] += 1
    file.write_text(json.dumps(altered_summary))
    found = verdicts(copy)
    assert found["verdict"] == "incomplete"
    assert "summary.json is damaged, so it was rebuilt" in found["said"]


def test_a_run_stays_incomplete_after_its_summary_was_rebuilt(copy):
    (copy / "summary.json").unlink()
    series = copy / "series.amoc"
    series.write_bytes(b"".join(split(series.read_bytes())[:3]))
    assert amoc("report", copy)[0] == ExitCode.INCOMPLETE
    code, _, said = amoc("report", copy)
    assert code == ExitCode.INCOMPLETE
    assert "series.amoc: " in said
    assert "are missing, the first is record 4" in said
    run = json.loads((copy / "summary.json").read_text())["run"]
    assert (run["verdict"], run["exit_code"]) == ("incomplete", ExitCode.INCOMPLETE)
    assert "summary.json is missing, so it was rebuilt" in run["reasons"]
    assert "without that, the verdict would be: no criteria" in run["reasons"]


def test_all_missing_files_are_named(copy):
    for name in ("summary.json", "series.amoc"):
        (copy / name).unlink()
    found = verdicts(copy)
    assert found["codes"] == {ExitCode.INCOMPLETE}
    assert [text.split()[0] for text in found["reasons"][:2]] == ["series", "summary.json"]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("how", ["remove", "empty", "cut in half", "garble"])
def test_damaged_derived_files_are_made_again(copy, name, how):
    file = copy / name
    leave(file, None if how == "remove" else altered(how, file.read_bytes(), 0))
    found = verdicts(copy)
    assert (found["verdict"], found["codes"]) == ("no criteria", {0})
    assert amoc("report", copy)[0] == 0
    assert "<html" in (copy / "report.html").read_text()
    assert (copy / "junit.xml").read_text().endswith("</testsuites>\n")


@pytest.mark.parametrize("verdict", ["killed", "running"])
def test_a_run_can_be_read_at_any_moment(copy, verdict):
    """Whatever it has written by then; the value of a secret-like setting is hidden."""
    lines = {name: split((copy / name).read_bytes()) for name in SOURCES[:2]}
    (copy / "summary.json").unlink()
    with contextlib.ExitStack() as stack:
        if verdict == "running":
            control = stack.enter_context(socket.socket(socket.AF_UNIX))
            control.bind(str(copy / "control"))
            control.listen()
        for count in range(1, len(lines["journal.jsonl"])):
            (copy / "journal.jsonl").write_bytes(b"".join(lines["journal.jsonl"][:count]))
            (copy / "series.amoc").write_bytes(b"".join(lines["series.amoc"][: count - 2]))
            found = verdicts(copy)
            assert (found["verdict"], found["codes"]) == (verdict, {0}), found["reasons"]
            assert "sesame" not in found["page"]
            assert "api_token" in found["page"]
            (copy / "summary.json").unlink(missing_ok=True)
