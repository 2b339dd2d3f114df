"""Output that cannot be written: one line and exit code 7, whatever the command and the reason."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode

pytestmark = pytest.mark.once

# A busy host may make it limited, which is not what is tested here.
RUN = ("run", "calm.py", "--users", "1", "--set", "repeat_num=1", "--workers", "1", "--limited-ok")
COMMANDS = [
    ("--help",),
    ("--version",),
    ("run", "--help"),
    ("check", "calm.py"),
    ("check", "calm.py", "--run"),
    ("plan", "calm.py", "--users", "9"),
    ("plan", "calm.py", "--users", "9", "--json"),
    ("export", "made", "--csv"),
    ("export", "made", "--json"),
    ("export", "made", "--hlog"),
    ("report", "made"),
    ("compare", "made", "made"),
    ("compare", "made", "made", "--json"),
    ("replay", "made", "--plan"),
    (*RUN, "--run-dir", "other"),
]


def amoc(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amoc", *arguments],
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        **more,
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A directory with a scenario and a finished run of it."""
    directory = tmp_path_factory.mktemp("here")
    (directory / "calm.py").write_text("def start(user_id): print('calm')\n")
    made = amoc(*RUN, "--run-dir", "made", cwd=directory, stdout=subprocess.DEVNULL)
    assert made.returncode == 0, made.stderr
    return directory


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def closed() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("stream", [full, closed])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unwritable_output_gives_one_line_and_exit_code_7(here, command, stream: Callable[[], int]):
    if "other" in command:
        command = (*command[:-1], f"other-{stream.__name__}")
    why = "No space left on device" if stream is full else "Broken pipe"
    fd = stream()
    try:
        done = amoc(*command, cwd=here, stdout=fd)
    finally:
        os.close(fd)
    assert done.stderr == f"amoc: the output cannot be written: {why}\n"
    assert done.returncode == ExitCode.RESOURCE


def test_unwritable_messages_do_not_change_the_exit_code(here):
    with Path("/dev/full").open("w") as stderr:
        done = subprocess.run(
            [sys.executable, "-m", "amoc", "export", "nowhere", "--csv"],
            cwd=here,
            stderr=stderr,
            stdout=subprocess.PIPE,
            timeout=120,
        )
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, b"")


FAILING = """
import errno, os, sys
from pathlib import Path
kind = int(sys.argv.pop(1))
def refuse(*_args, **_named):
    raise OSError(kind, os.strerror(kind))
Path.write_text = Path.write_bytes = refuse
from amoc.cli.main import main
sys.argv[0] = "amoc"
main()
"""


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EIO])
@pytest.mark.parametrize(
    "command",
    [
        ("report", "made", "--output", "page.html"),
        ("export", "made", "--csv", "--output", "run.csv"),
        ("compare", "made", "made", "--output", "page.html"),
        ("compare", "made", "made", "--json", "--output", "both.json"),
    ],
    ids=" ".join,
)
def test_an_unwritable_file_gives_one_line_and_exit_code_7(here, command, kind):
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(kind), *command],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == ExitCode.RESOURCE, done.stderr
    assert re.fullmatch(f"amoc: .* cannot be written: {os.strerror(kind)}\n", done.stderr)


@pytest.mark.parametrize("option", ["--json", "--run-dir"])
def test_a_run_refuses_unwritable_paths_before_it_starts(here, option):
    done = amoc(*RUN, option, "/proc/nowhere/x", cwd=here, stdout=subprocess.PIPE)
    assert done.returncode == ExitCode.RESOURCE
    assert re.fullmatch(rf"amoc: {option} /proc/nowhere/x cannot be \w+: .*\n", done.stderr)
    assert "users" not in done.stdout
