"""Secrets within settings, in real runs: shown nowhere, and requested again by a replay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from amoc.results.journal import read
from tests.process.support import DEADLINE_S, eventually, lines
from tests.process.test_control import FAST, amoc, controlled

pytestmark = pytest.mark.slow

ACCOUNTS = """
    import os
    from amoc import setting, user

    def known(accounts):
        assert len({"a", "b"} & {one["user"] for one in accounts}), accounts

    accounts = setting([], "Who may enter", type=list[dict[str, str]], verify=known, update="free")

    def start(user_id):
        with open(os.path.join(HERE, "passwords"), "a") as file:
            file.write(accounts.get()[0]["password"] + "\\n")
        while not user.stopping:
            user.wait_stopping(0.02)
"""
FIRST = 'accounts = [{user = "a", password = "s3cret-one"}]\n'


def account(user: str, password: str) -> str:
    return f"accounts={json.dumps([{'user': user, 'password': password}])}"


@pytest.fixture
def accounts(scenario: Callable[[str], Path], tmp_path: Path) -> Path:
    (tmp_path / "amoc.toml").write_text(FIRST)
    return scenario(ACCOUNTS)


def texts(directory: Path) -> list[str]:
    """Return the contents of all files of a run."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.read_text(errors="replace") for path in files]


def test_secrets_within_a_list_appear_in_no_file_or_output_of_a_run(accounts, tmp_path):
    told = []
    config = ("--config", str(tmp_path / "amoc.toml"))
    with controlled(accounts, "--users", "2", *config, *FAST, directory=tmp_path) as it:
        it.wait_for_users(2)
        told.append(it.say("set", account("b", "s3cret-two")))
        told.append(it.say("set", account("c", "s3cret-three"), code=ExitCode.SETTING))
        told.append(it.say("status", "--json"))
        it.say("add", "1")
        it.wait_for_users(3)
        it.say("stop")
        assert it.run.end() == ExitCode.OK
        told.append(it.run.output)
    assert lines(tmp_path / "passwords") == ["s3cret-one", "s3cret-one", "s3cret-two"]
    told += texts(it.directory)
    told.append(amoc("export", str(it.directory), "--jsonl", cwd=tmp_path).stdout)
    for command in ("check", "plan"):
        done = amoc(command, str(accounts), cwd=tmp_path)
        assert '[{"user": "a", "password": "(hidden)"}]' in "".join(done.stdout.split("\n"))
        told.append(done.stdout + done.stderr)
    assert not [text for text in told if "s3cret" in text]
    assert "accounts fails its check with AssertionError" in told[1]


def test_a_replay_asks_for_settings_that_contain_secrets(accounts, tmp_path):
    config = ("--config", str(tmp_path / "amoc.toml"))
    with controlled(accounts, "--users", "1", *config, *FAST, directory=tmp_path) as it:
        it.wait_for_users(1)
        it.say("stop")
        assert it.run.end() == ExitCode.OK
    (tmp_path / "passwords").unlink()
    done = amoc("replay", "run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (ExitCode.USAGE, 1)
    assert "must be given again: AMOC_ACCOUNTS or --set-from-file accounts=FILE" in done.stderr
    again = ("replay", "run", "--set", account("a", "s3cret-one"))
    planned = amoc(*again, "--plan", cwd=tmp_path)
    assert planned.returncode == ExitCode.OK, planned.stderr
    done = amoc(*again, "--run-dir", "again", cwd=tmp_path)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert lines(tmp_path / "passwords") == ["s3cret-one"]
    assert "s3cret" not in planned.stdout + done.stdout
    assert "s3cret" not in (tmp_path / "again" / "journal.jsonl").read_text()
    journal = read(tmp_path / "again" / "journal.jsonl")
    assert [one["name"] for one in journal if one["kind"] == "command"] == ["stop"]


def test_a_secret_from_a_file_or_stdin_is_in_no_command_line(scenario, tmp_path):
    (tmp_path / "token").write_text("s3cret-one\n")
    file = scenario("""
        import os
        from amoc import setting, user
        api_token = setting("", "What opens the door", update="free")

        def start(user_id):
            while not user.stopping:
                with open(os.path.join(HERE, "tokens"), "a") as file:
                    file.write(api_token.get() + "\\n")
                user.wait_stopping(0.02)
    """)
    options = ("--set-from-file", f"api_token={tmp_path}/token", *FAST)
    with controlled(file, *options, directory=tmp_path) as it:
        it.wait_for_users(1)
        for pid in it.run.tree():
            assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        done = subprocess.run(
            [sys.executable, "-m", "amoc", "set", "api_token=@-", "--run", str(it.directory)],
            input="s3cret-two\n",
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == ExitCode.OK
        eventually(lambda: lines(tmp_path / "tokens")[-1:] == ["s3cret-two"], "the new token")
        it.say("stop")
        assert it.run.end() == ExitCode.OK
        output = it.run.output + done.stdout + done.stderr
    assert lines(tmp_path / "tokens")[0] == "s3cret-one"
    left = texts(it.directory)
    assert "s3cret" not in output + "".join(left)
