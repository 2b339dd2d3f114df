"""Logs of processes on other hosts arrive in the run's directory, once and in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.ipc.messages.keeper import Logged
from amoc.runtime.remote import log_shipping
from amoc.runtime.remote.log_shipping import LogReader, LogWriter, ship

NAMES = st.sampled_from(["node1.jsonl", "supervisor-1.jsonl", "worker-12.jsonl"])


@settings(max_examples=40)
@given(writes=st.lists(st.tuples(NAMES, st.binary(max_size=300), st.booleans()), max_size=20))
def test_appended_lines_arrive_once_and_in_order(
    writes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there, here = tmp_path_factory.mktemp("there"), tmp_path_factory.mktemp("here") / "logs"
    reader, writer = LogReader(there), LogWriter(here, print)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_shipping, "PART_BYTES", 100)
        for name, data, look in writes:
            with (there / name).open("ab") as file:
                file.write(data)
            for part in reader.new_parts() if look else ():
                writer.write(part)
        for part in reader.new_parts():
            writer.write(part)
    writer.close()
    for path in there.iterdir():
        arrived = here / path.name
        assert (arrived.read_bytes() if arrived.exists() else b"") == path.read_bytes()
    assert not list(reader.new_parts())


@pytest.mark.parametrize(
    "name",
    ["../x.jsonl", "/etc/x.jsonl", "x", ".jsonl", "a/b.jsonl", "A.jsonl", "controller.jsonl"],
)
def test_a_name_that_is_none_of_a_process_is_not_written(tmp_path: Path, name: str) -> None:
    writer = LogWriter(tmp_path / "logs", print)
    writer.write(Logged(name, b"x"))
    assert not list(tmp_path.rglob("*.jsonl"))
    assert not list(tmp_path.rglob("x"))


def test_an_unwritable_log_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    said: list[str] = []
    writer = LogWriter(tmp_path / "logs", said.append)
    for _ in range(3):
        writer.write(Logged("node1.jsonl", b"x"))
    assert len(said) == 1
    assert "the run continues without it" in said[0]


def test_no_more_than_a_window_is_in_transit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "PART_BYTES", 100)
    monkeypatch.setattr(log_shipping, "WINDOW_BYTES", 250)
    (tmp_path / "node1.jsonl").write_bytes(b"x" * 750)
    (tmp_path / "node2.jsonl").write_bytes(b"y" * 30)
    on_way, most, arrived = 0, 0, 0

    def report(part: Logged) -> None:
        nonlocal on_way, most
        on_way += len(part.data)
        most = max(most, on_way)

    def wait() -> None:
        nonlocal on_way, arrived
        arrived, on_way = arrived + on_way, 0

    ship(LogReader(tmp_path), report, wait)
    assert most <= 250
    assert arrived + on_way == 780


def test_where_nothing_was_logged_there_is_no_news(tmp_path: Path) -> None:
    assert not list(LogReader(tmp_path / "nowhere").new_parts())
