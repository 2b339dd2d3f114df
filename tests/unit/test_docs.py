"""The documentation is correct: scenarios load, commands parse, tables are complete.

A Python block below `<!-- scenario: NAME.py ARGUMENTS -->` is a complete scenario. It is written to
a directory and passed to `amoc check NAME.py ARGUMENTS`, which must succeed, or end with N if the
mark says `exits N`. A block below `<!-- file: NAME -->` is written next to it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from amoc.base.errors import ExitCode
from amoc.cli.main import cli
from amoc.results.exporters import settings as exporter_settings
from amoc.results.summary_types import Finding
from amoc.scenario import builtin_settings, settings
from tests.preloaded import amoc
from tests.rooms import MODULES

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
DEADLINE_S = 60

_MARKED = re.compile(
    r"<!-- (scenario|file): (\S+) ?(.*?) ?-->\n```(?:python|text)\n(.*?)```", re.DOTALL
)
_EXITS = re.compile(r"exits (\d+)$")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_NAMES = "|".join(sorted(cli.all_commands()))
_AMOC = re.compile(rf"(?:[\w./]*python3? -m |\.venv/bin/)?amoc (?=(?:{_NAMES})\b)(.*)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Marked(NamedTuple):
    """A complete scenario on a page, and the expected exit code of `amoc check`."""

    page: str
    name: str
    arguments: list[str]
    exit_code: int
    source: str
    beside: dict[str, str]


def scenarios() -> Iterator[Marked]:
    for page in PAGES:
        blocks = _MARKED.findall(page.read_text())
        beside = {name: source for kind, name, _, source in blocks if kind == "file"}
        for kind, name, rest, source in blocks:
            if kind == "scenario":
                found = _EXITS.search(rest)
                arguments = shlex.split(_EXITS.sub("", rest))
                code = int(found[1]) if found else 0
                yield Marked(page.name, name, arguments, code, source, beside)


def commands() -> Iterator[tuple[str, str]]:
    """Yield each `amoc …` command line in a block of a page, from its subcommand on."""
    for page in PAGES:
        text = page.read_text()
        blocks = [body for language, body in _FENCED.findall(text) if language in ("", "sh")]
        lines = [line for block in blocks for line in block.splitlines()]
        lines += _INDENTED.findall(_FENCED.sub("", text))
        for line in lines:
            if found := _AMOC.search(re.split(r"  #|\s*[|\\]$", line)[0]):
                yield page.name, found[1].strip()


SCENARIOS = list(scenarios())
COMMANDS = list(dict.fromkeys(commands()))


def environment() -> dict[str, str]:
    """Return our environment, without amoc's variables."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("AMOC_")}
    return {**known, "PYTHONPATH": str(ROOT)}


def said(*arguments: str, cwd: Path) -> tuple[int, str]:
    """Run a command; return its exit code and output."""
    done = amoc(*arguments, cwd=cwd, env=environment())
    return done.returncode, done.stdout + done.stderr


def test_the_pages_have_scenarios_and_commands() -> None:
    """The searches above find what they should."""
    assert {"README.md", "scenario.md", "settings.md"} <= {one.page for one in SCENARIOS}
    for page in ("README.md", "scenario.md", "settings.md", "scaling.md"):
        assert any(where == page for where, _ in COMMANDS), page
    assert ("README.md", "run scenarios/xmpp/one_to_one.py --users 200 --duration 30s") in COMMANDS


def test_every_block_that_defines_start_is_marked_as_a_scenario() -> None:
    marked = {one.source for one in SCENARIOS}
    for page in PAGES:
        for language, body in _FENCED.findall(page.read_text()):
            if language == "python" and re.search(r"^def start\(", body, re.MULTILINE):
                assert body in marked, f"{page.name}:\n{body}"


@pytest.mark.slow
@pytest.mark.parametrize("one", SCENARIOS, ids=lambda one: f"{one.page}-{one.name}")
def test_a_pages_scenario_passes_check_as_the_page_says(one: Marked, tmp_path: Path) -> None:
    for name, source in {**one.beside, one.name: one.source}.items():
        (tmp_path / name).write_text(source)
    code, output = said("check", one.name, *one.arguments, cwd=tmp_path)
    assert code == one.exit_code, output


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_pages_command_parses(page: str, command: str) -> None:
    # Brackets mark optional parts, whose words must be valid, too.
    name, *arguments = shlex.split(re.sub(r"[\[\]]", "", command))
    chosen = cli.all_commands()[name]
    try:
        # The group defines the names of the help options, which a command stores.
        chosen.make_context(name, arguments, parent=click.Context(cli, **cli.context_settings))
    except click.ClickException as error:
        pytest.fail(f"{page}: amoc {command}: {error.format_message()}")


def _shipped() -> list[tuple[str, str, list[str]]]:
    """Return scenario and settings of each command that names a shipped scenario."""
    found = []
    for page, command in COMMANDS:
        words = shlex.split(command)
        ours = [word for word in words if word.startswith("scenarios/")]
        if words[0] in ("run", "check", "plan") and ours:
            pairs = [f"--set={words[at + 1]}" for at, word in enumerate(words) if word == "--set"]
            found.append((page, ours[0], pairs))
    return [one for at, one in enumerate(found) if one not in found[:at]]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "scenario", "pairs"), _shipped())
def test_a_pages_command_names_an_existing_scenario_and_settings(
    page: str, scenario: str, pairs: list[str]
) -> None:
    code, output = said("check", scenario, *pairs, cwd=ROOT)
    assert code == 0, f"{page}: {output}"


def _slug(heading: str) -> str:
    """Return the anchor of a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_have_targets(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file) if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in map(_slug, _HEADING.findall(there.read_text())), target


def test_every_page_is_in_the_index_and_in_the_site() -> None:
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.stem != "index")
    index = (ROOT / "docs/index.md").read_text()
    assert sorted(re.findall(r"^\| \[[^\]]+\]\(([\w-]+\.md)\) \|", index, re.MULTILINE)) == pages
    site = (ROOT / "mkdocs.yml").read_text()
    assert sorted(re.findall(r"^      - ([\w-]+\.md)$", site, re.MULTILINE)) == pages


def test_the_table_lists_exactly_the_exit_codes() -> None:
    section = (ROOT / "docs/exit-codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE)
    assert rows == [(str(int(code)), code.name) for code in ExitCode]


def test_the_settings_page_lists_exactly_amocs_settings() -> None:
    section = (ROOT / "docs/settings.md").read_text().split("## amoc's own settings")[1]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    own = [
        name
        for module in (builtin_settings, exporter_settings)
        for name, one in vars(module).items()
        if isinstance(one, settings.Setting)
    ]
    assert rows == own


BY_NAME = ("counters", "counters_per_s", "gauges", "timers", "throttles", "steps", "checks")
"""Parts of a summary whose fields are named by the scenario."""
IN_WORDS = ("window.", "steps.NAME.times", "steps.NAME.response", "steps.NAME.causes[]")
"""Parts that the page describes in a sentence, by reference to another part."""


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield a summary's fields in the page's spelling: `timers.NAME.p50_s`, `workers[].worker`."""
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, f"{path}[]")
    elif isinstance(value, dict) and value and not path.startswith(IN_WORDS):
        for key, one in value.items():
            name = "NAME" if path in BY_NAME else key
            yield from _paths(one, f"{path}.{name}" if path else name)
    else:
        yield path


def _fields(page: str) -> Iterator[str]:
    """Yield the fields that tables describe; ``| `a.b`, `.c` | …`` means ``a.b`` and ``a.c``."""
    for cell in re.findall(r"^\| (`[a-z][^|]*`) \|", page, re.MULTILINE):
        first, *others = re.findall(r"`([\w.\[\]]+)`", cell)
        yield first
        yield from (first.rpartition(".")[0] + other for other in others)


EVERYTHING = """
from gevent.monkey import get_original
from amoc import check, metrics, setting, step, user
shop = setting("https://shop.example", "Where users shop")
block = get_original("time", "sleep")
def start(user_id):
    block(0.5)
    metrics.counter("rounds").inc()
    metrics.gauge("level").set(user_id)
    metrics.timer("turn").record(0.1)
    with step("pay"):
        check("paid", False)
    raise ValueError("that a crash is in the summary")
"""


@pytest.mark.slow
def test_the_page_lists_exactly_the_fields_of_the_summary(tmp_path: Path) -> None:
    (tmp_path / "everything.py").write_text(EVERYTHING)
    judged = ("--expect", "crashes == 9", "--warmup", "0.1s")
    once = ("--set", "repeat_num=2", "--set", "repeat_interval=1s", "--json", "summary.json")
    done = subprocess.run(
        [sys.executable, "-m", "amoc", "run", "everything.py", *once, *judged],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == ExitCode.THRESHOLD, done.stdout + done.stderr
    real = set(_paths(json.loads((tmp_path / "summary.json").read_text())))
    # A run with health findings would take too long.
    real.add("run.notes[]")  # this run has no notes
    real |= {f"health.findings[].{name}" for name in Finding.__annotations__}
    page = (ROOT / "docs/summary.md").read_text()
    documented = list(_fields(page))
    built_in = {"loop_lag", "user_start_lateness", "token_lateness", "coordinator_action_delay"}
    built_in.add("arrival_lateness")  # of runs with an arrival rate
    assert set(documented) - built_in == real
    assert built_in <= set(documented)


WALKS = (ROOT / "docs/architecture.md").read_text().split("\n## Eight walks\n")[1].split("\n## ")[0]
STOPS = sorted(set(re.findall(r"`([a-z_]+(?:\.\w+)+)`", WALKS)))


def test_the_walks_have_stops():
    assert len(STOPS) > 30


@pytest.mark.parametrize("stop", STOPS)
def test_each_stop_of_a_walk_is_an_existing_function(stop: str):
    parts, rest = ["amoc"], stop.split(".")
    while rest and f"{'.'.join(parts)}.{rest[0]}" in MODULES:
        parts = [*parts, rest.pop(0)]
    body = ast.parse(MODULES[".".join(parts)].read_text()).body
    for name in rest:
        found = [
            node
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        ]
        assert found, f"{stop}: there is no {name} in {'.'.join(parts)}"
        body = found[0].body
    assert isinstance(found[0], ast.FunctionDef)
