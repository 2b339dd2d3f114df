"""Shells complete amoc's commands, options, files and runs: asked in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


def shell(name: str) -> str:
    """Where a shell is; skips the calling test if nowhere, or fails where it must be."""
    if path := shutil.which(name):
        return path
    if os.environ.get("AMOC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"AMOC_REQUIRE_SERVERS is 1, but {name} is not installed (apt install it)")
    pytest.skip(f"{name} is not installed")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a scenario, two runs, and a command `amoc` in bin."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/amoc"
    start = "import sys; from amoc.cli.main import main; sys.argv[0] = 'amoc'; main()"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n')
    command.chmod(0o755)
    (tmp_path / "shopping.py").write_text("def start(user_id): pass\n")
    for name in ("20261124T230334-shop", "20261125T003808-chat"):
        (tmp_path / "amoc-runs" / name).mkdir(parents=True)
        (tmp_path / "amoc-runs" / name / "journal.jsonl").touch()
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    known = {"PYTHONPATH": str(ROOT), "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}
    return {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", **known}


def said(home: Path, *command: str) -> list[str]:
    done = subprocess.run(
        command, cwd=home, env=environment(home), capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


TYPED = {
    "bash": (["--norc", "--noprofile", "-i"], "PS1="),
    "zsh": (["-f"], "PS1=; autoload -U compinit; compinit -u -D"),
}
"""How each is started without what a user has set up, and what it needs first."""
ASKED = (
    ("amoc rep", ["replay", "report"]),
    ("amoc run shop", ["shopping.py"]),
    ("amoc report 20261125", ["20261125T003808-chat"]),
    ("amoc report la", ["last"]),
    ("amoc run --stop", ["--stop-timeout"]),
)


@pytest.mark.slow
@pytest.mark.parametrize(("line", "offered"), ASKED)
def test_fish(home: Path, line: str, offered: list[str]) -> None:
    script = f"amoc completion fish | source; complete -C'{line}' | cut -f1"
    assert said(home, shell("fish"), "--no-config", "-c", script) == offered


@pytest.mark.slow
@pytest.mark.parametrize(("line", "offered"), [one for one in ASKED if len(one[1]) == 1])
@pytest.mark.parametrize("name", TYPED)
def test_bash_and_zsh(home: Path, name: str, line: str, offered: list[str]) -> None:
    """They complete only where somebody types: a word and a tab, on a terminal."""
    path, (options, setup) = shell(name), TYPED[name]
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        os.chdir(home)
        os.execve(path, [name, *options], environment(home))
    try:
        os.write(terminal, f"{setup}; eval \"$(amoc completion {name})\"; echo re''ady\n".encode())
        until(terminal, "ready")
        os.write(terminal, f"{line}\t".encode())
        until(terminal, offered[0])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def until(terminal: int, text: str) -> str:
    """What a terminal shows, up to `text`."""
    end = time.monotonic() + DEADLINE_S
    shown = ""
    while text not in shown:
        readable, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert readable, f"{text!r} was not shown, but {shown!r}"
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown
