"""Reading a journal while it is written: each entry once, and only when complete."""

from __future__ import annotations

from amoc.base import json_lines
from amoc.results import journal
from amoc.results.journal import Journal, JournalTail


def test_each_entry_is_returned_once_and_equals_a_later_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    tail = JournalTail(path)
    assert tail.new() == []
    there = Journal(path)
    there.write("run", id="x")
    there.write("state", state="running")
    first = tail.new()
    assert [one["kind"] for one in first] == ["run", "state"]
    assert tail.new() == []
    there.write("end", verdict="ok")
    there.close()
    assert first + tail.new() == journal.read(path)


def test_a_line_being_written_is_returned_once_complete(tmp_path):
    path = tmp_path / "journal.jsonl"
    file = json_lines.LineFile(path, "journal")
    file.write({"kind": "run", "id": "x"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    tail = JournalTail(path)
    assert tail.new() == []
    path.write_bytes(whole)
    assert [one["id"] for one in tail.new()] == ["x"]


def test_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind": "run"}\n{"kind": \n[1]\n{"no": "kind"}\n{"kind": "end"}\n')
    assert [one["kind"] for one in JournalTail(path).new()] == ["run", "end"]
