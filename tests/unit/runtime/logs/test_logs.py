"""Logs: repeats become a count, dropped lines are counted, warnings are shown."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import logging.config
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base import append_file
from amoc.base.clock import S_NS
from amoc.base.operator_log import OperatorLog
from amoc.runtime import logs
from amoc.runtime.logs import file
from amoc.runtime.logs.handler import Log
from amoc.runtime.logs.operator_feed import MAX_PER_S, OperatorFeed
from amoc.runtime.logs.repeats import (
    FIRST_NS,
    FORGET_NS,
    FREE,
    MAX_KINDS,
    MAX_NS,
    OTHERS,
    Key,
    Kind,
    RepeatFilter,
    template_of,
)

LEVELS = st.sampled_from([logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.ns = 1_000 * S_NS

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("amoc.runtime.logs.handler.now_ns", clock)
    return clock


class Process:
    """A simulated process with its own log."""

    def __init__(self, directory: Path, level: int = logging.INFO, **fields: Any) -> None:
        self.directory = directory
        self.told: list[tuple[str, str]] = []
        self.user: int | None = None
        self.log = Log("worker-3", level, fields)
        self.logger = logging.Logger("chat", level)  # noqa: LOG001 - not one of this process
        self.logger.addHandler(self.log)
        self.own = logging.Logger("amoc.runtime.worker.user_pool", level)  # noqa: LOG001 - the same
        self.own.addHandler(self.log)

    def open(self) -> Process:
        self.log.open(str(self.directory))
        return self

    def attach(self, user: int | None = None) -> Process:
        self.user = user
        self.log.attach(OperatorLog(lambda *note: self.told.append(note)), lambda: self.user)
        return self

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def text(self) -> str:
        return (self.directory / "worker-3.jsonl").read_text()


@pytest.fixture
def process(tmp_path: Path, clock: Clock) -> Process:
    return Process(tmp_path / "logs", worker=3, incarnation=1)


# The repeat filter


def key(template: str, level: int = logging.INFO) -> Key:
    return Key("chat", level, template, ("chat.py", 7), None)


def kind(level: int) -> Kind:
    return RepeatFilter().find(key("kind", level), False, 0)


@given(st.lists(st.integers(0, 30 * S_NS), max_size=300), LEVELS)
def test_the_filter_counts_each_line_exactly_once(gaps: list[int], level: int) -> None:
    repeats, now, written = RepeatFilter(), 0, 0
    for gap in gaps:
        now += gap
        written += repeats.find(key("kind", level), False, now).take(now)
        written += sum(count for _, count in repeats.due(now))
    written += sum(count for _, count in repeats.due(now, ending=True))
    assert written == len(gaps)


@given(st.integers(2, 5_000), st.integers(1, 600))
def test_a_storm_of_failures_writes_few_lines(each_second: int, seconds: int) -> None:
    one = kind(logging.ERROR)
    step_ns = S_NS // min(each_second, 50)
    lines = sum(bool(one.take(now)) for now in range(0, seconds * S_NS, step_ns))
    # One, then after 1, 2, 4, … 60 s.
    assert lines <= 8 + seconds * S_NS // MAX_NS


def test_the_first_repeat_is_written_at_once_and_the_rest_at_growing_intervals() -> None:
    one = kind(logging.WARNING)
    times = [now // S_NS for now in range(0, 300 * S_NS, S_NS // 10) if one.take(now)]
    assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_a_quiet_period_resets_the_interval() -> None:
    one = kind(logging.WARNING)
    assert [one.take(0), one.take(1), one.due(FIRST_NS)] == [1, 0, 1]
    assert one.take(10 * S_NS) == 1  # the following period passed without a line
    assert one.take(10 * S_NS + 1) == 0
    assert one.due(11 * S_NS) == 1


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_info_lines_are_written_singly_up_to_a_rate(level: int) -> None:
    one = kind(level)
    now = 0
    for _ in range(5 * FREE):
        assert one.take(now) == 1
        now += S_NS // (FREE - 5)
    counts = [one.take(now + at) for at in range(1_000)]
    assert sum(counts) <= FREE


def test_kinds_beyond_the_limit_share_one_per_level() -> None:
    repeats = RepeatFilter()
    for number in range(MAX_KINDS):
        assert repeats.find(key(f"{number}"), False, 0).message == f"{number}"
    other = repeats.find(key("one more"), False, 0)
    assert other.message == OTHERS
    assert repeats.find(key("another"), False, 0) is other
    assert repeats.find(key("another", logging.ERROR), False, 0) is not other
    assert repeats.find(key("7"), False, 0).message == "7"
    assert len(repeats) == MAX_KINDS + 2


def test_quiet_kinds_are_evicted_but_not_those_holding_lines() -> None:
    repeats = RepeatFilter()
    for number in range(MAX_KINDS):
        repeats.find(key(f"{number}", logging.ERROR), False, 0).take(0)
    held = repeats.find(key("7", logging.ERROR), False, 0)
    assert held.take(1) == 0
    later = FORGET_NS + 2 * S_NS
    new = repeats.find(key("one more", logging.ERROR), False, later)
    assert new.message == "one more"
    assert repeats.find(key("7", logging.ERROR), False, later) is held
    assert len(repeats) == 2


@given(st.integers(0, 10**12), st.integers(0, 2**60))
def test_numbers_do_not_make_a_new_kind(number: int, address: int) -> None:
    assert template_of(f"user {number} at {address:#x}") == "user # at #"


# The operator


def test_the_operator_sees_a_few_warnings_per_second_and_a_count_of_the_rest() -> None:
    feed, told = OperatorFeed(), []
    feed.operator = OperatorLog(lambda *note: told.append(note))
    for number in range(MAX_PER_S + 4):
        feed.show(logging.WARNING, f"no {number}", "", 1, 0)
    feed.show(logging.WARNING, "no # (6 more)", "", 6, 0)
    feed.tick(S_NS - 1)
    assert told == [("warning", f"no {number}") for number in range(MAX_PER_S)]
    feed.tick(S_NS)
    assert told[-1] == ("warning", "10 more warnings: see the logs in the run's directory")
    feed.show(logging.ERROR, "again", "Traceback", 1, 2 * S_NS)
    assert told[-2:] == [("error", "again"), ("trace", "Traceback")]


def test_warnings_before_an_operator_is_attached_are_counted() -> None:
    feed, told = OperatorFeed(), []
    for second in range(5):
        feed.show(logging.WARNING, str(second), "", 1, second * S_NS)
    feed.operator = OperatorLog(lambda *note: told.append(note))
    feed.tick(5 * S_NS)
    assert told == [("warning", "5 more warnings: see the logs in the run's directory")]


# The handler


def test_a_line_has_time_level_message_user_and_worker(process: Process) -> None:
    process.open().attach(user=7)
    process.logger.info("joined %s", "lobby", extra={"room": 12, "password": "hush"})
    (line,) = process.lines()
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "chat",
        "message": "joined lobby",
        "user": 7,
        "worker": 3,
        "incarnation": 1,
        "extra": {"room": 12, "password": "(hidden)"},
    }


def test_ten_thousand_equal_failures_write_one_line_and_one_count(
    process: Process, clock: Clock
) -> None:
    process.open().attach()
    for user in range(10_000):
        process.user = user + 1
        try:
            raise TimeoutError(f"user {user} waited {user / 7} s")
        except TimeoutError:
            process.logger.exception("user %d gives up", user)
    clock.ns += S_NS
    process.log.tick()
    first, rest = process.lines()
    assert (first["user"], "count" in first) == (1, False)
    assert first["traceback"].endswith("TimeoutError: user 0 waited 0.0 s\n")
    assert rest["count"] == 9_999
    assert (first["message"], rest["message"]) == ("user 0 gives up", "user # gives up")
    assert "user" not in rest
    assert [level for level, _ in process.told] == ["error", "trace", "error"]
    assert process.told[2][1] == "user # gives up (chat, 9,999 more)"


def test_without_ticks_held_lines_are_written_with_the_next_one(
    process: Process, clock: Clock
) -> None:
    process.open().attach(user=7)
    for late in (False, False, False, False, True):
        clock.ns += 2 * S_NS if late else 0
        process.logger.error("no")
    first, rest = process.lines()
    assert (first["user"], "count" in first) == (7, False)
    assert (rest["count"], rest["message"], "user" in rest) == (4, "no", False)


@pytest.mark.parametrize("failures", [2, 5])
def test_a_counted_line_names_the_cause_but_no_single_user(
    process: Process, clock: Clock, failures: int
) -> None:
    process.open().attach(user=7)
    for user in range(failures):
        process.logger.warning("status %d for user %d: %s", 503, user, OSError(f"gone {user}"))
    clock.ns += S_NS
    process.log.tick()
    _, rest = process.lines()
    assert rest.pop("at").endswith("Z")
    assert rest == {
        "level": "warning",
        "logger": "chat",
        "message": "status # for user #: gone #",
        "cause": "OSError: gone #",
        "worker": 3,
        "incarnation": 1,
        "count": failures - 1,
    }
    assert process.told[1] == (
        "warning",
        f"status # for user #: gone # (chat, {failures - 1} more)",
    )


def test_concurrent_threads_lose_and_duplicate_no_lines(process: Process, clock: Clock) -> None:
    process.open().attach()
    each, threads = 2_000, 4

    def work() -> None:
        for number in range(each):
            process.logger.warning("no answer for user %d", number)
            if number % 100 == 0:
                clock.ns += S_NS

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        working = [threading.Thread(target=work) for _ in range(threads)]
        for thread in working:
            thread.start()
        while any(thread.is_alive() for thread in working):
            process.log.tick()
        for thread in working:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    process.log.end()
    assert sum(line.get("count", 1) for line in process.lines()) == each * threads


def test_end_writes_held_lines(process: Process) -> None:
    process.open()
    for _ in range(3):
        process.logger.error("no")
    process.log.end()
    assert [line.get("count", 1) for line in process.lines()] == [1, 2]


@pytest.mark.parametrize("how", ["raised", "named"])
def test_different_errors_with_the_same_message_are_separate_lines(
    process: Process, how: str
) -> None:
    process.open()
    for error in (ValueError("no such room"), OSError("no such host"), ValueError("no such room")):
        process.logger.error("failed: %s", error, exc_info=error if how == "raised" else None)
    assert [line["message"] for line in process.lines()] == [
        "failed: no such room",
        "failed: no such host",
    ]


def test_a_cause_given_by_the_caller_is_used(process: Process) -> None:
    process.open()
    for user in range(5):
        cause = "OSError: gone (chat.py:3 in start)"
        process.own.error("user %d crashed", user, extra={"cause": cause, "user": user})
    process.log.end()
    first, rest = process.lines()
    assert (first["user"], first["cause"]) == (0, "OSError: gone (chat.py:3 in start)")
    assert (rest["count"], rest["cause"]) == (4, first["cause"])


def test_lines_logged_before_the_file_is_open_are_written_later(process: Process) -> None:
    process.logger.info("early")
    process.open()
    process.logger.info("late")
    assert [line["message"] for line in process.lines()] == ["early", "late"]


def test_lines_kept_before_the_file_is_open_are_limited_and_counted(
    process: Process, clock: Clock
) -> None:
    for _ in range(file.MAX_KEPT + 7):
        process.logger.info("early")
        clock.ns += S_NS
    process.open()
    lines = process.lines()
    assert len(lines) == file.MAX_KEPT + 1
    assert lines[-1]["message"] == "7 lines left out: too many before the log file was open"


def test_a_log_without_a_directory_still_warns_the_operator(process: Process) -> None:
    process.log.open("")
    process.attach()
    process.logger.warning("careful")
    process.log.end()
    assert not process.directory.exists()
    assert process.told == [("warning", "careful (chat)")]


def test_a_second_process_appends_to_the_file(process: Process, clock: Clock) -> None:
    process.open()
    process.logger.info("the first")
    process.log.end()
    second = Process(process.directory, worker=3, incarnation=2).open()
    second.logger.info("the second")
    assert [line["incarnation"] for line in second.lines()] == [1, 2]


def test_a_directory_that_cannot_be_created_only_warns(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    process = Process(tmp_path / "file" / "logs").open().attach()
    process.logger.info("nowhere")
    process.log.end()
    ((level, text),) = process.told
    assert level == "warning"
    assert text.endswith("the run continues without it")


def test_a_full_log_is_reported_and_still_takes_warnings(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(file, "MAX_WARNING_BYTES", (1 << 20) + 100_000)
    process.open().attach()
    for _ in range(200):
        process.logger.info("%s", "x" * 9_000)
    process.logger.warning("seen all the same")
    for number in range(100):
        new_each_time = "x" * number + "y" * 9_000
        process.logger.warning(new_each_time)
    process.log.end()
    assert "seen all the same" in process.text()
    assert (1 << 20) + 100_000 <= len(process.text()) < (1 << 20) + 120_000
    missing = process.lines()[-1]["message"]
    assert missing.endswith(" lines left out: a log has at most 1 MiB")
    counts = sum(line.get("count", 1) for line in process.lines()[:-1])
    assert counts + int(missing.split()[0]) == 301
    assert any(
        "has 1 MiB; only warnings and errors are added to it from now on" in text
        for _, text in process.told
    )


def test_lines_that_cannot_be_written_to_disk_are_counted(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.open().attach()
    with monkeypatch.context() as full:

        def write(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(append_file.os, "write", write)
        process.logger.info("lost")
        process.logger.warning("lost too")
        process.log.tick()
    process.logger.info("back")
    process.log.end()
    assert [line["message"] for line in process.lines()] == [
        "back",
        "2 lines left out: they could not be written to the disk",
    ]
    assert "No space left on device; the run continues without it" in process.told[-1][1]


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("I do not speak")


@pytest.mark.parametrize(
    ("message", "arguments", "written"),
    [
        ("%d users", ("many",), "%d users (its arguments do not fit: TypeError)"),
        ("%s", (Mute(),), "%s (its arguments do not fit: RuntimeError)"),
        (Mute(), (), "a Mute that cannot be converted to text: RuntimeError"),
        ("%s \udcff", ("\x00",), "\x00 \udcff"),
        ({"a": 1}, (), "{'a': 1}"),
        ("y" * 20_000, (), "y" * 10_000 + "…"),
    ],
)
def test_any_message_and_arguments_become_a_line(
    process: Process, message: Any, arguments: tuple[Any, ...], written: str
) -> None:
    process.open()
    process.logger.info(message, *arguments, extra={"odd": Mute(), "nan": float("nan")})
    process.logger.info("and after it")
    first, second = process.lines()
    assert (first["message"], second["message"]) == (written, "and after it")


def fails(*_: object) -> int:
    raise KeyError("a defect")


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_a_line_that_cannot_be_formatted_is_counted_and_never_raises(
    process: Process, capfd: pytest.CaptureFixture[str], level: int
) -> None:
    process.open().attach()
    process.log.addFilter(fails)  # a scenario may do that
    process.logger.log(level, "lost")
    process.log.removeFilter(fails)
    process.log.attach(OperatorLog(fails), fails)
    process.logger.log(level, "lost too")
    process.log.end()
    assert [line["message"] for line in process.lines()] == [
        "2 lines left out: they could not be formatted (KeyError)"
    ]
    assert capfd.readouterr().err == ""


def test_a_failing_operator_log_loses_no_line_and_never_raises(process: Process) -> None:
    process.open()
    process.log.attach(OperatorLog(fails))
    process.logger.warning("written all the same")
    process.log.end()
    assert [line["message"] for line in process.lines()] == ["written all the same"]


def test_a_log_call_at_the_recursion_limit_raises_only_recursion_error(process: Process) -> None:
    process.open()

    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        else:
            process.log.handle(record)

    record = logging.LogRecord("chat", logging.INFO, "chat.py", 1, "here %s", ("x",), None)
    limit = sys.getrecursionlimit()
    # From too little stack for the first call of the handler to enough for all of them.
    for left in range(limit - 200, limit):
        with contextlib.suppress(RecursionError):
            deep(left)
    process.log.end()
    assert process.lines()


def test_secrets_in_a_message_or_a_traceback_are_hidden(process: Process) -> None:
    process.open().attach()
    address = "http://me:hunter2@host"
    try:
        raise ConnectionError(f"no answer from {address}")
    except ConnectionError as error:
        process.logger.exception("failed: %s", error)
    process.logger.warning('{"password": "hunter2"}')
    process.log.end()
    assert len(process.lines()) == 2
    assert "hunter2" not in process.text()
    assert not any("hunter2" in text for _, text in process.told)


def test_what_is_given_with_a_line_takes_no_more_room_than_a_message(process: Process) -> None:
    process.open().attach()
    body = '{"password": "hunter2", "text": "' + "y" * 1_000_000 + '"}'
    process.logger.error("no", extra={"body": body, "status": 500})
    process.logger.error("where", stack_info=True)
    given = {"name": "chat", "levelno": 40, "levelname": "ERROR", "stack_info": "y" * 1_000_000}
    process.log.emit(logging.makeLogRecord(given))
    no, where, deep = process.lines()
    assert (no["extra"]["body"], no["extra"]["…"]) == ("(hidden)", "1 more")
    assert "in test_what_is_given_with_a_line" in where["traceback"]
    assert len(process.text()) < 50_000
    assert deep["traceback"].startswith("…y")


def test_the_level_applies_even_if_a_logger_is_set_lower(process: Process) -> None:
    process.open()
    process.logger.setLevel(logging.DEBUG)
    process.logger.debug("not this")
    process.logger.info("this")
    assert [line["message"] for line in process.lines()] == ["this"]


def test_extra_fields_of_a_scenario_do_not_override_amocs(process: Process) -> None:
    process.open().attach(user=7)
    given = {"user": "alice", "worker": "b", "cause": "none", "tell": False}
    process.logger.warning("hello", extra=given)
    (line,) = process.lines()
    assert (line["user"], line["worker"], line["extra"]) == (7, 3, given)
    assert "cause" not in line
    assert process.told


def test_amocs_own_warnings_are_shown_only_on_request(process: Process) -> None:
    process.open().attach()
    process.own.warning("for the file")
    process.own.warning("for the operator", extra={"tell": True})
    assert process.told == [("warning", "for the operator (amoc.runtime.worker.user_pool)")]
    assert [line["message"] for line in process.lines()] == ["for the file", "for the operator"]
    assert not any("extra" in line for line in process.lines())


def test_warnings_of_a_thread_are_written_and_counted_for_the_operator(process: Process) -> None:
    process.open().attach()
    thread = threading.Thread(target=process.logger.warning, args=("from elsewhere",))
    thread.start()
    thread.join()
    assert process.told == []
    process.log.tick()
    assert process.told == [("warning", "1 more warning: see the logs in the run's directory")]
    assert [line["message"] for line in process.lines()] == ["from elsewhere"]


# The log of the process


@pytest.fixture
def log() -> Iterator[logs.ProcessLog]:
    """A process log; the state of all loggers is restored afterwards."""
    root, log = logging.getLogger(), logs.ProcessLog()
    level, threads = root.level, logging.logThreads
    known = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    disabled = [one for one in known if one.disabled]
    yield log
    log.end()
    for one in known:
        one.disabled = one in disabled
    logging.logThreads = threads
    root.setLevel(level)


def read(directory: Path, process: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{process}.jsonl").read_text().splitlines()]


def test_a_process_logs_to_its_own_file(log: logs.ProcessLog, tmp_path: Path) -> None:
    log.begin("supervisor", "debug")
    logging.getLogger("anybody").debug("early")
    log.open_directory(tmp_path / "logs")
    logging.getLogger("anybody").info("hello")
    log.end()
    logging.getLogger("anybody").info("too late")
    lines = read(tmp_path / "logs", "supervisor")
    assert [line["message"] for line in lines] == ["early", "hello"]


def test_a_forked_process_does_not_write_lines_held_by_its_parent(
    log: logs.ProcessLog, tmp_path: Path
) -> None:
    log.begin("supervisor", "info")
    log.open_directory(tmp_path / "logs")
    for _ in range(5):
        logging.getLogger("chat").error("no")
    log.begin("worker-0", worker=0, incarnation=1)  # as in the child
    logging.getLogger("chat").error("no")
    log.end()
    assert [line.get("count", 1) for line in read(tmp_path / "logs", "supervisor")] == [1]
    (line,) = read(tmp_path / "logs", "worker-0")
    assert (line["message"], line["worker"]) == ("no", 0)


@pytest.mark.parametrize("force", [False, True])
def test_basic_config_of_a_scenario_neither_doubles_nor_breaks_the_log(
    log: logs.ProcessLog, tmp_path: Path, force: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, str]] = []
    log.begin("supervisor", "info")
    log.open_directory(tmp_path / "logs")
    log.attach(OperatorLog(lambda *note: told.append(note)))
    logging.basicConfig(level=logging.ERROR, force=force)
    log.keep()
    logging.getLogger("chat").info("hello")
    logging.getLogger("chat").warning("careful")
    log.end()
    lines = read(tmp_path / "logs", "supervisor")
    assert [line["message"] for line in lines] == ["hello", "careful"]
    # Shown once: by amoc, or by the handler that the scenario insists on.
    assert [bool(told), "careful" in capsys.readouterr().err] == [not force, force]


@pytest.mark.parametrize("put_right", ["keep", "tick"])
def test_a_logging_configuration_of_a_scenario_does_not_silence_amoc(
    log: logs.ProcessLog, tmp_path: Path, put_right: str
) -> None:
    own = logging.getLogger("amoc.runtime.supervisor.supervisor")
    log.begin("supervisor", "info")
    log.open_directory(tmp_path / "logs")
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR", "handlers": []}})
    getattr(log, put_right)()
    own.info("worker is forked")
    logging.getLogger(f"made after {put_right}").info("hello")
    log.end()
    lines = read(tmp_path / "logs", "supervisor")
    assert [line["message"] for line in lines] == ["worker is forked", "hello"]
