"""The journal: complete lines after a kill, no secrets; a full disk costs lines, not the run."""

from __future__ import annotations

import errno
import json
import os
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base import append_file
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ResourceError
from amoc.base.json_plain import plain
from amoc.base.line_check import LineCheck
from amoc.results.journal import Journal, read, run_id


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_each_entry_is_a_line_with_its_kind_and_times(path):
    journal = Journal(path)
    journal.write("run", id="a")
    begun_ns = now_ns()
    journal.begin(begun_ns)
    journal.write("command", when_ns=begun_ns + 3 * S_NS // 2, name="pause")
    first, second = read(path)
    assert (first["kind"], first["id"], first["t_s"]) == ("run", "a", None)
    assert first["at"].endswith("Z")
    assert second["t_s"] == 1.5
    assert path.stat().st_mode & 0o777 == 0o600


def test_entries_are_written_to_the_file_immediately(path):
    journal = Journal(path)
    journal.write("event", text="one")
    assert len(path.read_text().splitlines()) == 1
    journal.write("event", text="two")
    assert len(path.read_text().splitlines()) == 2


def test_a_line_torn_by_a_killed_writer_is_left_out(path):
    journal = Journal(path)
    journal.write("run", id="a")
    journal.write("event", text="x" * 100)
    whole = path.read_bytes()
    for cut in range(1, 100):
        path.write_bytes(whole[:-cut])
        check = LineCheck()
        assert [one["kind"] for one in read(path, check)] == ["run"]
        assert check.problems() == []
    assert run_id(path) == "a"


def test_torn_lines_in_the_middle_are_reported(path):
    path.write_bytes(
        b'{"kind": "run", "id": "a"}\n{"kind": "ev\n[1]\n{"no": "kind"}\n{"kind": "end"}\n'
    )
    check = LineCheck()
    assert [one["kind"] for one in read(path, check)] == ["run", "end"]
    assert check.problems() == ["3 lines are damaged, the first is line 2"]


def test_a_missing_journal_is_one_clear_error(path):
    with pytest.raises(ResourceError, match=r"journal .* cannot be read: No such file"):
        read(path)
    assert run_id(path) is None
    with pytest.raises(ResourceError, match=r"journal .* cannot be created: No such file"):
        Journal(path / "no" / "where")


def test_a_full_disk_is_reported_once_and_lost_lines_are_counted(path, monkeypatch):
    told = []
    journal = Journal(path, told.append)
    journal.write("event", text="before")
    full = [True]
    write = os.write

    def writing(fd, data):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(append_file.os, "write", writing)
    journal.write("event", text="lost")
    journal.write("event", text="lost, too")
    assert journal.missing == "2 lines could not be written: No space left on device"
    assert len(told) == 1
    assert "cannot be written: No space left on device; the run continues" in told[0]
    assert journal.lost == 2
    full[0] = False
    journal.write("event", text="after")
    assert [one["text"] for one in read(path)] == [
        *("before", "2 lines could not be written here", "after")
    ]
    assert journal.lost == 0


def test_a_disk_full_from_the_start_does_not_stop_the_run():
    told = []
    journal = Journal(Path("/dev/full"), told.append)
    for _ in range(3):
        journal.write("event", text="lost")
    journal.close()
    assert journal.lost == 3
    assert len(told) == 1
    assert "No space left on device" in told[0]


def test_a_partially_written_line_does_not_corrupt_the_next(path, monkeypatch):
    journal = Journal(path)
    write = os.write
    room = [10]

    def writing(fd, data):
        return write(fd, data[: room[0]]) if room else write(fd, data)

    monkeypatch.setattr(append_file.os, "write", writing)
    journal.write("event", text="lost")
    room.clear()
    journal.write("event", text="after")
    assert [one["text"] for one in read(path)] == ["1 line could not be written here", "after"]


def test_writing_after_close_has_no_effect(path):
    journal = Journal(path)
    journal.close()
    journal.close()
    journal.write("event", text="late")
    assert read(path) == []


def test_secret_settings_are_never_written(path):
    journal = Journal(path)
    sources = [["--set", {"xmpp_password": "s3cret", "rate": 5}, True]]
    sources.append(["amoc.toml", {"chat": {"api_key": "s3cret"}}, True])
    journal.write(
        "command",
        arguments={"values": {"auth_token": "s3cret", "rate": "7"}},
        sources=sources,
        throttles=[{"tokens_waiting": 3}],
    )
    (entry,) = read(path)
    assert "s3cret" not in path.read_text()
    assert entry["arguments"]["values"] == {"auth_token": "(hidden)", "rate": "7"}
    assert entry["sources"][0][1]["rate"] == 5
    assert entry["throttles"] == [{"tokens_waiting": 3}]


def test_secrets_nested_in_a_setting_are_never_written(path):
    journal = Journal(path)
    accounts = [{"user": "a", "Password": "s3cret"}]
    values = {"accounts": accounts, "as_text": json.dumps(accounts), "rooms": ["a"]}
    journal.write("command", arguments={"values": values})
    journal.write("run", plan={"sources": [["amoc.toml", {"chat": values}, True]]})
    command, run = read(path)
    assert "s3cret" not in path.read_text()
    hidden = [{"user": "a", "Password": "(hidden)"}]
    assert command["arguments"]["values"] == {
        "accounts": hidden,
        "as_text": json.dumps(hidden),
        "rooms": ["a"],
    }
    assert run["plan"]["sources"][0][1]["chat"]["accounts"] == hidden


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner), st.tuples(inner)),
    max_leaves=10,
)


@given(ANYTHING)
def test_any_value_is_written_as_json(value):
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == plain(value)
    assert plain(plain(value)) == plain(value)


def test_non_finite_numbers_become_text():
    assert plain([inf, -inf, nan, 1.5]) == ["inf", "-inf", "nan", 1.5]
