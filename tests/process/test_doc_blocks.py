"""Each shell block of the documentation is run, or its mark says why not.

`<!-- runs -->` above a block makes it run here, with amoc's scenarios and those of its page.
In `<!-- runs: 5m -> 1s; given COMMAND; while COMMAND -->` the first part is a replacement in
the block's text; `given` is a command to run before, `while` one that runs at the same time.
`<!-- not run: REASON -->` says why a block is not run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.process.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.once]

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
DEADLINE_S = 120
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(
    r"<!-- (?:scenario|file): (\S+)[^>]*-->\n```(?:python|text)\n(.*?)```", re.DOTALL
)
_MARK = re.compile(r"<!-- (runs|not run|rest session)(?:: (.*))? -->")


class Block(NamedTuple):
    """A shell block and the mark above it."""

    page: str
    line: int
    mark: str
    options: str
    text: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in _BLOCK.finditer(text):
            before = text[: found.start()].rstrip("\n")
            mark = _MARK.fullmatch(before.rpartition("\n")[2])
            kind, options = (mark[1], mark[2] or "") if mark else ("", "")
            yield Block(page.name, before.count("\n") + 2, kind, options, found[1])


BLOCKS = list(blocks())
RUN = [one for one in BLOCKS if one.mark == "runs"]


def test_each_block_is_marked_as_run_or_says_why_not():
    assert [(one.page, one.line) for one in BLOCKS if not one.mark] == []
    assert [one for one in BLOCKS if one.mark == "not run" and not one.options] == []
    assert len(RUN) >= 12


@pytest.mark.parametrize("block", RUN, ids=lambda one: f"{one.page}-{one.line}")
def test_a_block_of_a_page_works(block, tmp_path):
    prepare(block.page, tmp_path)
    text, given, meanwhile = block.text, [], ""
    for option in filter(None, block.options.split("; ")):
        what, _, command = option.partition(" ")
        if what == "given":
            given.append(command)
        elif what == "while":
            meanwhile = command
        else:
            old, arrow, new = option.partition(" -> ")
            assert arrow, option
            assert old in text, f"{old!r} is not in the block"
            text = text.replace(old, new)
    for command in given:
        shell(command, tmp_path)
    if meanwhile:
        with running(meanwhile, tmp_path):
            shell(text, tmp_path)
    else:
        shell(text, tmp_path)


def prepare(page: str, place: Path) -> None:
    """Provide the scenarios of amoc and of a page, and the commands `amoc` and `pytest`."""
    (place / "scenarios").symlink_to(ROOT / "scenarios")
    [path] = [one for one in PAGES if one.name == page]
    for name, source in _FILE.findall(path.read_text()):
        (place / name).write_text(source)
    for name, arguments in (("amoc", "-m amoc"), ("pytest", "-m pytest -p no:cacheprovider")):
        program = place / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o700)


def environment(place: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("AMOC_")}
    own = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**known, **own, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}


def shell(text: str, place: Path) -> None:
    """Run commands, each of which must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-4000:]}"


@contextmanager
def running(command: str, place: Path) -> Iterator[None]:
    """Keep a run going during the block, which may stop it."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        try:
            eventually(lambda: answers(place), "the run takes commands")
            yield
        finally:
            run.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(DEADLINE_S)
            run.kill()


def answers(place: Path) -> bool:
    done = subprocess.run(
        [str(place / "bin/amoc"), "status"],
        cwd=place,
        env=environment(place),
        capture_output=True,
        timeout=DEADLINE_S,
    )
    return done.returncode == 0
