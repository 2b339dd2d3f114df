"""--set, --set-from-file and standard input: where values come from, and the warnings."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from amoc.base.errors import UsageError
from amoc.cli.setting_values import MAX_BYTES, options

PRINTING = "from amoc.cli.setting_values import read; print(read('--set', ['password=@-']))"


@click.command()
@options
def shows(pairs: tuple[str, ...]) -> None:
    """Print what a command gets."""
    for pair in pairs:
        click.echo(repr(pair))


def ran(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(shows, arguments, input=given, catch_exceptions=True)


def test_a_value_is_given_literally_or_read_from_a_file(tmp_path: Path):
    (tmp_path / "key").write_text("hunter2\n")
    (tmp_path / "lines").write_bytes("ä\r\n\r\n".encode())
    files = (f"api_key={tmp_path / 'key'}", f"text={tmp_path / 'lines'}")
    found = ran("--set", "rate=5", *(word for one in files for word in ("--set-from-file", one)))
    assert found.output.splitlines() == ["'api_key=hunter2'", r"'text=ä\r\n'", "'rate=5'"]
    assert not found.stderr


def test_the_command_line_overrides_a_file_and_the_last_value_wins(tmp_path: Path):
    (tmp_path / "rate").write_text("1")
    file = f"rate={tmp_path / 'rate'}"
    found = ran("--set", "rate=2", "--set-from-file", file, "--set", "rate=3")
    assert found.output.splitlines() == ["'rate=1'", "'rate=3'"]


def test_one_value_may_come_from_standard_input():
    assert ran("--set", "password=@-", given=b"hunter2\n").output == "'password=hunter2'\n"
    refused = ran("--set", "password=@-", "--set", "token=@-", given=b"x")
    assert str(refused.exception) == "--set: at most one value can be @-, got password and token"


def test_a_value_prompted_on_a_terminal_is_not_echoed():
    own, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PRINTING],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ):
        os.close(theirs)
        said = b""
        while not said.endswith(b"password: "):
            said += os.read(own, 100)
        os.write(own, b"hunter2\n")
        rest = b""
        while b"}" not in rest:
            rest += os.read(own, 100)
    os.close(own)
    assert rest.strip() == b"{'password': 'hunter2'}"  # once: it was not echoed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["password=hunter2"], ["password"]),
        (['db={"password": "hunter2"}'], ["db"]),
        (["url=http://me:hunter2@host", "rate=5"], ["url"]),
        (["password=", "rate=5", "nothing={}"], []),
    ],
)
def test_a_secret_on_the_command_line_causes_a_warning_that_does_not_reveal_it(arguments, said):
    found = ran(*(word for one in arguments for word in ("--set", one)))
    assert found.exit_code == 0
    assert [line.split()[4] for line in found.stderr.splitlines()] == said
    for line in found.stderr.splitlines():
        assert line.startswith("amoc: warning: the secret ")
        assert "hunter2" not in line


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("key", "--set-from-file: expected NAME=PATH, got 'key'"),
        ("key=no/such", "--set-from-file key=no/such cannot be read: No such file or directory"),
        ("key=.", "--set-from-file key=. cannot be read: Is a directory"),
        ("key=large", f"--set-from-file key=large must hold at most {MAX_BYTES:,} bytes, got more"),
        ("key=binary", "--set-from-file key=binary must hold UTF-8 text, got something else"),
    ],
)
def test_an_unusable_file_is_rejected_in_one_line(
    text, clause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("large").write_bytes(b"x" * (MAX_BYTES + 1))
    Path("binary").write_bytes(b"\xff\xfe")
    refused = ran("--set-from-file", text).exception
    assert isinstance(refused, UsageError)
    assert str(refused) == clause


def test_every_command_with_settings_accepts_set_from_file():
    from amoc.cli import check, replay, run
    from amoc.cli.control import COMMANDS

    for command in (check.check, replay.replay, run.run):
        assert "--set-from-file" in {word for one in command.params for word in one.opts}
    (live,) = [one for one in COMMANDS if one.name == "set"]
    assert live.params[0].callback is not None
