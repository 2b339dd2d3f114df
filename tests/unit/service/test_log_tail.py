"""The newest lines across many logs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from amoc.service.log_tail import TAIL_BYTES, LogTail


def entry(second: float, message: str = "") -> dict[str, Any]:
    return {"at": f"{second:012.6f}", "message": message}


def write(path: Path, *entries: dict[str, Any], end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(json.dumps(one) for one in entries) + end)


def found(tail: LogTail) -> list[Any]:
    tail.read_new()
    return [(one["process"], one["at"]) for one in tail.lines()]


def test_the_newest_lines_of_all_logs_are_found_incrementally(tmp_path: Path) -> None:
    chance = random.Random(1)
    written: list[tuple[str, str]] = []
    tail = LogTail(tmp_path, 50, lambda: None)
    begin = 0.0
    for _ in range(5):
        for name in ("controller", "worker-1", "worker-2"):
            count = chance.choice((0, 3, 300))
            times = sorted(round(chance.uniform(begin, begin + 100), 6) for _ in range(count))
            if times:
                entries = [entry(at, "x" * chance.choice((0, 100, 9000))) for at in times]
                write(tmp_path / f"{name}.jsonl", *entries)
                written += [(name, one["at"]) for one in entries]
        begin += 90  # a process may write late, with older times than another's lines
        expected = sorted(written, key=lambda one: one[1])[-50:]
        assert found(tail) == found(LogTail(tmp_path, 50, lambda: None)) == expected


def test_read_new_returns_whether_there_is_anything_new(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "logs", 10, lambda: None)
    assert not tail.read_new()  # no directory yet
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "node.jsonl"
    write(log, entry(1), entry(2))
    assert tail.read_new()
    assert not tail.read_new()
    write(log, entry(0.5))
    assert tail.read_new()
    assert found(tail) == [("node", entry(one)["at"]) for one in (0.5, 1, 2)]


def test_a_line_is_read_once_complete_and_a_damaged_one_is_skipped(tmp_path: Path) -> None:
    log = tmp_path / "node.jsonl"
    tail = LogTail(tmp_path, 10, lambda: None)
    write(log, entry(1), end="\n" + json.dumps(entry(2))[:7])
    assert [at for _, at in found(tail)] == [entry(1)["at"]]
    with log.open("a") as file:
        file.write(json.dumps(entry(2))[7:] + "\n{broken\n")
    write(log, entry(3))
    assert [at for _, at in found(tail)] == [entry(one)["at"] for one in (1, 2, 3)]
    log.write_text(json.dumps(entry(4)) + "\n")  # a new file of the same name
    assert found(tail)[-1] == ("node", entry(4)["at"])


def test_lines_with_equal_times_keep_the_order_of_their_log(tmp_path: Path) -> None:
    write(tmp_path / "node.jsonl", *(entry(1, str(number)) for number in range(20)))
    tail = LogTail(tmp_path, 5, lambda: None)
    tail.read_new()
    assert [one["message"] for one in tail.lines()] == ["15", "16", "17", "18", "19"]


def test_work_is_bounded_and_yields_to_the_event_loop(tmp_path: Path) -> None:
    logs, each, count = 60, 200, 100
    for number in range(logs):
        write(
            tmp_path / f"worker-{number}.jsonl", *(entry(at + number / 100) for at in range(each))
        )
    write(tmp_path / "long.jsonl", entry(0, "x" * 2 * TAIL_BYTES), entry(each))
    turns: list[None] = []
    tail = LogTail(tmp_path, count, lambda: turns.append(None))
    tail.read_new()
    assert len(tail.lines()) == count
    first = len(turns)  # once for each log, and for each line that is read
    assert logs < first < logs * each / 10
    tail.read_new()
    assert len(turns) - first == logs + 1  # nothing is read twice
