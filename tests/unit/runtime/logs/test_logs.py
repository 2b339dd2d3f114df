"""Logs: what is the same is folded, what is too much is counted, what is grave is shown."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import S_NS
from amoc.runtime import logs
from amoc.runtime.logs import file, folding, operator_feed, size_limit
from amoc.runtime.logs.folding import FIRST_NS, MAX_KINDS, MAX_NS, Folds, template_of
from amoc.runtime.logs.handler import Log
from amoc.runtime.logs.operator_feed import MAX_A_SECOND, OperatorFeed
from amoc.runtime.logs.shared_text import Common
from amoc.runtime.logs.size_limit import Allowance

LEVELS = st.sampled_from([logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.ns = 1_000 * S_NS

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("amoc.runtime.logs.handler.now_ns", clock)
    monkeypatch.setattr("amoc.runtime.logs.file.now_ns", clock)
    return clock


class Process:
    """A process with a log, apart from the one that the tests run in."""

    def __init__(self, directory: Path, level: int = logging.INFO, **fields: Any) -> None:
        self.directory = directory
        self.told: list[tuple[str, str]] = []
        self.log = Log("worker-3", level, fields)
        self.logger = logging.Logger("chat", level)  # noqa: LOG001 - not one of this process
        self.logger.addHandler(self.log)
        self.own = logging.Logger("amoc.runtime.worker.user_pool", level)  # noqa: LOG001 - the same
        self.own.addHandler(self.log)

    def open(self) -> Process:
        self.log.open(str(self.directory))
        return self

    def attach(self, user: int | None = None) -> Process:
        self.log.attach(lambda *note: self.told.append(note), lambda: user)
        return self

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def text(self) -> str:
        return (self.directory / "worker-3.jsonl").read_text()


@pytest.fixture
def process(tmp_path: Path, clock: Clock) -> Process:
    return Process(tmp_path / "logs", worker=3, incarnation=1)


# Folding


@given(st.lists(st.integers(0, 30 * S_NS), max_size=300), LEVELS)
def test_folding_loses_no_line_and_counts_none_twice(gaps: list[int], level: int) -> None:
    folds, now, written = Folds(), 0, 0
    for gap in gaps:
        now += gap
        written += folds.find("kind", level, now).take(now)
        written += sum(count for _, count in folds.due(now))
    written += sum(count for _, count in folds.end())
    assert written == len(gaps)


@given(st.integers(2, 5_000), st.integers(1, 600))
def test_a_storm_of_failures_costs_a_few_lines_however_many_there_are(
    each_second: int, seconds: int
) -> None:
    fold = Folds().find("kind", logging.ERROR, 0)
    step_ns = S_NS // min(each_second, 50)
    lines = sum(bool(fold.take(now)) for now in range(0, seconds * S_NS, step_ns))
    # One, then after 1, 2, 4, … 60 s.
    assert lines <= 8 + seconds * S_NS // MAX_NS


def test_the_first_is_written_at_once_and_the_rest_after_growing_times() -> None:
    fold = Folds().find("kind", logging.WARNING, 0)
    times = [now // S_NS for now in range(0, 300 * S_NS, S_NS // 10) if fold.take(now)]
    assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_a_kind_that_was_quiet_for_a_period_begins_anew() -> None:
    fold = Folds().find("kind", logging.WARNING, 0)
    assert [fold.take(0), fold.take(1), fold.due(FIRST_NS)] == [1, 0, 1]
    assert fold.take(10 * S_NS) == 1  # the period that then began has ended without any
    assert fold.take(10 * S_NS + 1) == 0
    assert fold.due(11 * S_NS) == 1


def test_what_only_informs_is_written_line_by_line_unless_it_storms() -> None:
    fold = Folds().find("kind", logging.INFO, 0)
    now = 0
    for _ in range(100):
        assert fold.take(now) == 1
        now += S_NS // 15
    counts = [fold.take(now + at) for at in range(1_000)]
    assert sum(counts) < 25


def test_kinds_beyond_the_limit_are_one_for_each_level() -> None:
    folds = Folds()
    for number in range(MAX_KINDS):
        assert not folds.find(number, logging.INFO, 0).others
    other = folds.find("one more", logging.INFO, 0)
    assert other.others
    assert folds.find("another", logging.INFO, 0) is other
    assert folds.find("another", logging.ERROR, 0) is not other
    assert folds.find(7, logging.INFO, 0).level == logging.INFO
    assert not folds.find(7, logging.INFO, 0).others
    assert len(folds) == MAX_KINDS + 2


def test_kinds_that_are_quiet_make_room_and_those_that_hold_lines_do_not() -> None:
    folds = Folds()
    for number in range(MAX_KINDS):
        folds.find(number, logging.ERROR, 0).take(0)
    held = folds.find(7, logging.ERROR, 0)
    assert held.take(1) == 0
    later = folding.FORGET_NS + 2 * S_NS
    assert not folds.find("one more", logging.ERROR, later).others
    assert folds.find(7, logging.ERROR, later) is held
    assert len(folds) == 2


@given(st.integers(0, 10**12), st.integers(0, 2**60))
def test_numbers_do_not_make_another_kind(number: int, address: int) -> None:
    assert template_of(f"user {number} at {address:#x}") == "user # at #"


# The allowance


@given(st.lists(st.tuples(st.integers(1, 1 << 18), st.integers(0, S_NS // 50), LEVELS)))
def test_a_log_takes_no_more_than_its_rate(lines: list[tuple[int, int, int]]) -> None:
    one, now, written = Allowance(), 0, 0
    for size, gap_ns, level in lines:
        now += gap_ns
        if one.admits(level, now):
            one.charge(size)
            written += size
    most = size_limit.BURST + now * size_limit.PER_S // S_NS + (1 << 18)
    assert written <= most


def test_lines_that_only_inform_leave_room_for_warnings() -> None:
    one = Allowance()
    while one.admits(logging.INFO, 0):
        one.charge(1_000)
    assert one.admits(logging.WARNING, 0)
    assert not one.admits(logging.INFO, 0)
    assert one.left_out() == 2
    assert one.left_out() == 0
    assert one.admits(logging.INFO, S_NS)


def test_a_full_file_takes_warnings_for_a_while_and_then_nothing() -> None:
    one, now = Allowance(size_limit.MOST - 1), 0
    assert not one.full
    assert one.admits(logging.INFO, 0)
    one.charge(1)
    assert one.full
    assert not one.admits(logging.INFO, now)
    while one.admits(logging.ERROR, now):
        one.charge(1 << 16)
        now += S_NS
    assert one._used == size_limit.MOST + size_limit.MOST // size_limit.SHARE


# Telling


def test_the_operator_is_told_a_few_a_second_and_how_many_more_there_are() -> None:
    one: OperatorFeed = OperatorFeed()
    told: list[tuple[str, str]] = []
    for number in range(MAX_A_SECOND + 5):
        one.put(logging.WARNING, f"no {number}", "", 0)
    one.flush(lambda *note: told.append(note), 1)
    assert told == [("warning", f"no {number}") for number in range(MAX_A_SECOND)]
    one.flush(lambda *note: told.append(note), S_NS)
    assert told[-1] == ("warning", "5 more warnings: see the logs in the run's directory")
    one.put(logging.ERROR, "again", "Traceback", 2 * S_NS)
    one.flush(lambda *note: told.append(note), 2 * S_NS)
    assert told[-2:] == [("error", "again"), ("trace", "Traceback")]


def test_what_nobody_can_be_told_yet_is_bounded() -> None:
    one = OperatorFeed()
    for second in range(1_000):
        one.put(logging.WARNING, str(second), "", second * S_NS)
    told: list[tuple[str, str]] = []
    one.flush(lambda *note: told.append(note), 1_000 * S_NS)
    assert len(told) == operator_feed.MAX_WAITING


# The handler


def test_a_line_says_when_what_who_and_where(process: Process) -> None:
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


def test_ten_thousand_users_that_fail_alike_are_one_line_and_one_with_the_count(
    process: Process, clock: Clock
) -> None:
    process.open().attach()
    for user in range(10_000):
        process.log._who = lambda user=user: user + 1
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


def test_what_was_held_is_written_with_the_next_one_where_nothing_ticks(
    process: Process, clock: Clock
) -> None:
    process.open().attach(user=7)
    for late in (False, False, False, False, True):
        clock.ns += 2 * S_NS if late else 0
        process.logger.error("no")
    first, rest = process.lines()
    assert (first["user"], "count" in first) == (7, False)
    assert (rest["count"], rest["message"], "user" in rest) == (4, "no", False)


def test_a_line_that_stands_for_itself_alone_is_written_as_it_is(
    process: Process, clock: Clock
) -> None:
    process.open().attach()
    for user in (7, 8):
        process.log._who = lambda user=user: user
        try:
            raise ConnectionError("refused")
        except ConnectionError:
            process.logger.exception("status %d for user %d", 503, user, extra={"turn": user})
    clock.ns += S_NS
    process.log.tick()
    _, second = process.lines()
    assert (second["message"], second["user"]) == ("status 503 for user 8", 8)
    assert second["extra"] == {"turn": 8}
    assert "ConnectionError: refused" in second["traceback"]
    assert "count" not in second
    # The operator has seen the traceback with the first one.
    assert [level for level, _ in process.told] == ["error", "trace", "error"]
    assert process.told[2][1] == "status 503 for user 8 (chat, user 8)"


def test_a_line_that_stands_for_many_says_what_is_true_of_all(
    process: Process, clock: Clock
) -> None:
    process.open().attach()
    for round_ in range(2):
        for user in range(5):
            process.logger.warning("status %d for user %d", 503 + round_ * user, user)
        clock.ns += S_NS
        process.log.tick()
    process.log.end()
    _, *held = process.lines()
    assert [(line["message"], line["count"]) for line in held] == [
        ("status 503 for user #", 4),
        ("status # for user #", 5),
    ]
    assert process.told[1] == ("warning", "status 503 for user # (chat, 4 more)")


@pytest.mark.parametrize(
    ("lines", "common"),
    [
        ([("port %d closed", 5222)] * 3, "port 5222 closed"),
        ([("port 5222 closed",)] * 3, "port 5222 closed"),
        ([("user 1 of 9",), ("user 2 of 9",)], "user # of #"),
        ([("%s: %s", "user_1", "no"), ("%s: %s", "user_2", "no")], "user_#: no"),
        ([("%s: %s", "alice", "no"), ("%s: %s", "bob", "no")], "#: no"),
        ([("%s", "user_1"), ("%s", "user_2"), ("%s", "bob")], "#"),
        ([("%s", "user_1"), ("%s", "bob"), ("%s", "user_2")], "#"),
        ([("%5.1f %% for %r", 0.5, 1), ("%5.1f %% for %r", 0.5, 2)], "  0.5 % for #"),
        ([("%s %d", OSError("user 1"), 8), ("%s %d", OSError("user 2"), 8)], "user # 8"),
        ([("%s %s", 1, "x"), ("%s %s", "1", "x")], "# x"),
        ([("%(a)d of %(b)d", {"a": 1, "b": 9}), ("%(a)d of %(b)d", {"a": 2, "b": 9})], "# of #"),
        ([("%*d %d", 3, 7, 1), ("%*d %d", 3, 7, 2)], "  # #"),
    ],
)
def test_what_lines_have_in_common(lines: list[tuple[Any, ...]], common: str) -> None:
    records = [logging.LogRecord("x", 30, "x.py", 1, one[0], one[1:], None) for one in lines]
    first, *others = records
    found = Common(first.msg, first.args)
    for record in others:
        found.add(record.msg, record.args)
    assert found.text(first.getMessage()) == common


@pytest.mark.parametrize(
    "lines",
    [[("%d and more", 1, 5), ("%d and more", 2, 5)], [("%d %s", "no", 1), ("%d %s", "no", 2)]],
)
def test_of_arguments_that_do_not_fit_nothing_is_said(lines: list[tuple[Any, ...]]) -> None:
    found = Common(lines[0][0], lines[0][1:])
    found.add(lines[1][0], lines[1][1:])
    assert found.text("as it is, of user 1") == "as it is, of user #"


class Odd:
    """An argument that must not be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("I am like nothing else")

    __hash__ = None  # type: ignore[assignment]


def test_arguments_of_other_types_are_the_same_when_they_are_the_same_one() -> None:
    one = Odd()
    found = Common("%s and %s", (one, Odd()))
    found.add("%s and %s", (one, Odd()))
    assert found.text("") == f"{one} and #"


def test_the_end_writes_what_is_held(process: Process) -> None:
    process.open()
    for _ in range(3):
        process.logger.error("no")
    process.log.end()
    assert [line.get("count", 1) for line in process.lines()] == [1, 2]


@pytest.mark.parametrize("how", ["raised", "named"])
def test_another_error_is_another_line_though_the_message_is_the_same(
    process: Process, how: str
) -> None:
    process.open()
    for error in (ValueError("no such room"), OSError("no such host"), ValueError("no such room")):
        process.logger.error("failed: %s", error, exc_info=error if how == "raised" else None)
    assert [line["message"] for line in process.lines()] == [
        "failed: no such room",
        "failed: no such host",
    ]


def test_a_cause_that_the_caller_knows_is_taken(process: Process) -> None:
    process.open()
    for user in range(5):
        cause = "OSError: gone (chat.py:3 in start)"
        process.own.error("user %d crashed", user, extra={"cause": cause, "user": user})
    process.log.end()
    first, rest = process.lines()
    assert (first["user"], first["cause"]) == (0, "OSError: gone (chat.py:3 in start)")
    assert (rest["count"], rest["cause"]) == (4, first["cause"])


def test_what_is_logged_before_there_is_a_file_is_written_then(process: Process) -> None:
    process.logger.info("early")
    process.open()
    process.logger.info("late")
    assert [line["message"] for line in process.lines()] == ["early", "late"]


def test_what_is_kept_before_there_is_a_file_is_bounded_and_the_rest_counted(
    process: Process, clock: Clock
) -> None:
    for _ in range(file.MAX_KEPT + 7):
        process.logger.info("early")
        clock.ns += S_NS
    process.open()
    lines = process.lines()
    assert len(lines) == file.MAX_KEPT + 1
    assert lines[-1]["message"] == "7 lines left out: too many before there was a file"


def test_a_log_without_a_directory_goes_nowhere_but_still_warns(process: Process) -> None:
    process.log.open("")
    process.attach()
    process.logger.warning("careful")
    process.log.end()
    assert not process.directory.exists()
    assert process.told == [("warning", "careful (chat)")]


def test_a_second_process_goes_on_with_the_file(process: Process, clock: Clock) -> None:
    process.open()
    process.logger.info("the first")
    process.log.end()
    second = Process(process.directory, worker=3, incarnation=2).open()
    second.logger.info("the second")
    assert [line["incarnation"] for line in second.lines()] == [1, 2]


def test_a_directory_that_cannot_be_made_is_told_and_the_run_goes_on(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_text("")
    process = Process(tmp_path / "file" / "logs").open().attach()
    process.logger.info("nowhere")
    process.log.end()
    ((level, text),) = process.told
    assert level == "warning"
    assert text.endswith("the run goes on without it")


def test_a_log_that_is_too_fast_says_how_much_is_missing(process: Process, clock: Clock) -> None:
    process.logger.setLevel(logging.DEBUG)
    process.log.setLevel(logging.DEBUG)
    process.open()
    for _ in range(600):
        process.logger.debug("x" * 9_000)
    process.logger.warning("seen all the same")
    process.log.tick()
    *_, warning, remark = process.lines()
    assert warning["message"] == "seen all the same"
    written = len(process.lines()) - 2
    assert remark["message"] == (
        f"{600 - written} lines left out: a log has at most 1 MiB a second"
    )


def test_a_full_log_is_told_and_goes_on_with_warnings(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in (size_limit, file):
        monkeypatch.setattr(where, "MOST", 1 << 20)
    process.logger.setLevel(logging.DEBUG)
    process.log.setLevel(logging.DEBUG)
    process.open().attach()
    for _ in range(200):
        process.logger.debug("x" * 9_000)
    process.logger.warning("seen all the same")
    process.log.end()
    assert "seen all the same" in process.text()
    assert len(process.text()) < (1 << 20) + 20_000
    assert process.lines()[-1]["message"].endswith("lines left out: a log has at most 1 MiB")
    assert "has 1 MiB; only warnings and errors are added to it from now on" in process.told[0][1]


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("I do not speak")


@pytest.mark.parametrize(
    ("message", "arguments", "written"),
    [
        ("%d users", ("many",), "%d users (its arguments do not fit: TypeError)"),
        ("%s", (Mute(),), "%s (its arguments do not fit: RuntimeError)"),
        (Mute(), (), "a Mute that cannot say what it is: RuntimeError"),
        ("%s \udcff", ("\x00",), "\x00 \udcff"),
        ({"a": 1}, (), "{'a': 1}"),
        ("y" * 20_000, (), "y" * 10_000 + "…"),
    ],
)
def test_whatever_is_logged_becomes_a_line(
    process: Process, message: Any, arguments: tuple[Any, ...], written: str
) -> None:
    process.open()
    process.logger.info(message, *arguments, extra={"odd": Mute(), "nan": float("nan")})
    process.logger.info("and after it")
    first, second = process.lines()
    assert (first["message"], second["message"]) == (written, "and after it")


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


def test_levels_below_the_chosen_one_are_not_written_whatever_a_logger_is_set_to(
    process: Process,
) -> None:
    process.open()
    process.logger.setLevel(logging.DEBUG)
    process.logger.debug("not this")
    process.logger.info("this")
    assert [line["message"] for line in process.lines()] == ["this"]


def test_what_a_scenario_gives_with_a_line_stays_its_own(process: Process) -> None:
    process.open().attach(user=7)
    given = {"user": "alice", "worker": "b", "cause": "none", "tell": False}
    process.logger.warning("hello", extra=given)
    (line,) = process.lines()
    assert (line["user"], line["worker"], line["extra"]) == (7, 3, given)
    assert "cause" not in line
    assert process.told


def test_amocs_own_warnings_are_shown_only_where_they_say_so(process: Process) -> None:
    process.open().attach()
    process.own.warning("for the file")
    process.own.warning("for the operator", extra={"tell": True})
    assert process.told == [("warning", "for the operator (amoc.runtime.worker.user_pool)")]
    assert [line["message"] for line in process.lines()] == ["for the file", "for the operator"]
    assert not any("extra" in line for line in process.lines())


def test_what_a_thread_logs_is_shown_by_the_processs_own_thread(process: Process) -> None:
    process.open().attach()
    process.log._thread += 1  # as if this were another one
    process.logger.warning("from elsewhere")
    assert process.told == []
    process.log.tick()
    assert process.told == [("warning", "from elsewhere (chat)")]


# The process's own


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The root logger, as before when the test is over."""
    root = logging.getLogger()
    level, threads = root.level, logging.logThreads
    known = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    disabled = [one for one in known if one.disabled]
    yield root
    logs.end()
    for one in known:
        one.disabled = one in disabled
    logging.logThreads = threads
    root.setLevel(level)


def read(directory: Path, process: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{process}.jsonl").read_text().splitlines()]


def test_a_process_logs_to_its_own_file(root: logging.Logger, tmp_path: Path) -> None:
    logs.begin("supervisor", "debug")
    logging.getLogger("anybody").debug("early")
    logs.open_directory(tmp_path / "logs")
    logging.getLogger("anybody").info("hello")
    logs.end()
    logging.getLogger("anybody").info("too late")
    lines = read(tmp_path / "logs", "supervisor")
    assert [line["message"] for line in lines] == ["early", "hello"]


def test_a_forked_process_begins_anew_and_leaves_what_its_parent_holds(
    root: logging.Logger, tmp_path: Path
) -> None:
    logs.begin("supervisor", "info")
    logs.open_directory(tmp_path / "logs")
    for _ in range(5):
        logging.getLogger("chat").error("no")
    logs.begin("worker-0", worker=0, incarnation=1)  # as in the child
    logging.getLogger("chat").error("no")
    logs.end()
    assert [line.get("count", 1) for line in read(tmp_path / "logs", "supervisor")] == [1]
    (line,) = read(tmp_path / "logs", "worker-0")
    assert (line["message"], line["worker"]) == ("no", 0)


@pytest.mark.parametrize("force", [False, True])
def test_basic_config_of_a_scenario_neither_doubles_nor_breaks_it(
    root: logging.Logger, tmp_path: Path, force: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, str]] = []
    logs.begin("supervisor", "info")
    logs.open_directory(tmp_path / "logs")
    logs.attach(lambda *note: told.append(note))
    logging.basicConfig(level=logging.ERROR, force=force)
    logs.keep()
    logging.getLogger("chat").info("hello")
    logging.getLogger("chat").warning("careful")
    logs.end()
    lines = read(tmp_path / "logs", "supervisor")
    assert [line["message"] for line in lines] == ["hello", "careful"]
    # Shown once: by amoc, or by the handler that the scenario insists on.
    assert [bool(told), "careful" in capsys.readouterr().err] == [not force, force]


@pytest.mark.parametrize("put_right", [logs.keep, logs.tick])
def test_a_configuration_of_a_scenario_does_not_silence_amoc(
    root: logging.Logger, tmp_path: Path, put_right: Callable[[], None]
) -> None:
    own = logging.getLogger("amoc.runtime.supervisor.supervisor")
    logs.begin("supervisor", "info")
    logs.open_directory(tmp_path / "logs")
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR", "handlers": []}})
    put_right()
    own.info("worker is forked")
    logging.getLogger(f"made after {put_right.__name__}").info("hello")
    logs.end()
    lines = read(tmp_path / "logs", "supervisor")
    assert [line["message"] for line in lines] == ["worker is forked", "hello"]
