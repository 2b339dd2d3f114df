"""Crashes by cause: equal ones share a line, and counting never fails itself."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base import text
from amoc.base.errors import ScenarioError
from amoc.base.tracebacks import (
    MAX_HEADLINE_BYTES,
    MAX_TEXT,
    MAX_TRACEBACK,
    cause_of,
    headline_of,
    trace_of,
)
from amoc.metrics.area import ENTRIES, MAX_CAUSES, NAME_BYTES, Area, Kind
from amoc.runtime.worker.crashes import OTHER, CrashCounter

DIRECTORY = "/srv/scenarios"


def crash(make_error, file="chat.py", function="start", line=7):
    """Return an error raised at that line of a scenario file."""
    code = "\n" * (line - 1) + f"def {function}(make_error): raise make_error()"
    namespace: dict[str, object] = {}
    exec(compile(code, f"{DIRECTORY}/{file}", "exec"), namespace)
    try:
        namespace[function](make_error)
    except BaseException as error:
        return error
    raise AssertionError("it must raise")


def cause(make_error, **place):
    return cause_of(crash(make_error, **place), DIRECTORY)


def new_area() -> Area:
    return Area(memoryview(bytearray(20 << 20)))


def counted(area: Area) -> dict[str, int]:
    return {metric.name: metric.value for metric in area.read() if metric.kind is Kind.CRASH}


def test_a_cause_has_the_error_its_text_and_the_line_of_the_scenario():
    assert cause(lambda: ValueError("no such room"), line=12) == (
        "ValueError: no such room (chat.py:12 in start)"
    )


def test_a_cause_names_the_innermost_scenario_line_not_a_library():
    assert cause(lambda: int("x")).endswith("(chat.py:7 in start)")


def test_an_error_without_text_is_named_by_its_class():
    assert cause(KeyError) == "KeyError (chat.py:7 in start)"


def test_an_error_that_was_never_raised_has_no_line():
    assert cause_of(ValueError("x"), DIRECTORY) == "ValueError: x"


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_do_not_split_causes(one, other):
    def error(number):
        return lambda: TimeoutError(f"user_{number} waited {number / 7} s for port {number}")

    assert cause(error(one)) == cause(error(other))


@given(st.integers(0, 2**48), st.integers(0, 2**48))
def test_addresses_of_objects_do_not_split_causes(one, other):
    def error(address):
        return lambda: ConnectionError(f"<socket object at {address:#014x}> is closed")

    assert cause(error(one)) == cause(error(other))


def test_a_different_line_class_or_text_is_a_different_cause():
    found = {
        cause(lambda: ValueError("x")),
        cause(lambda: ValueError("y")),
        cause(lambda: KeyError("x")),
        cause(lambda: ValueError("x"), line=8),
        cause(lambda: ValueError("x"), file="helper.py"),
    }
    assert len(found) == 5


def test_a_multi_line_text_becomes_one_line():
    assert cause(lambda: ValueError("a\n  b\tc")).startswith("ValueError: a b c (")


@given(st.text(max_size=400), st.integers(1, 250))
def test_every_cause_fits_on_the_board(text, length):
    found = cause(lambda: ValueError(text), file="é" * (length // 2) + ".py")
    assert len(found.encode()) <= NAME_BYTES
    assert "\n" not in found
    new_area().declare(Kind.CRASH, found)


def test_a_shortened_cause_still_names_the_line():
    assert re.fullmatch(
        r"ValueError: x+… \(chat\.py:7 in start\)", cause(lambda: ValueError("x" * 10_000))
    )


def test_a_huge_error_text_is_cut_before_it_is_processed(monkeypatch):
    seen = []

    class Watched:
        def sub(self, by, text):
            seen.append(len(text))
            return text

    monkeypatch.setattr(text, "NUMBER", Watched())
    error = crash(lambda: ValueError("x1 " * 700_000))
    found, trace = cause_of(error, DIRECTORY), trace_of(error)
    assert found.startswith("ValueError: x1 x1 ")
    assert found.endswith("… (chat.py:7 in start)")
    assert max(seen) <= MAX_TEXT + 1
    # The lines it passed through are still there.
    assert f'{DIRECTORY}/chat.py", line 7, in start' in trace
    assert trace.endswith("x1…")
    assert len(trace) < MAX_TRACEBACK


def test_an_overlong_traceback_keeps_its_end():
    def deeper(depth):
        if depth == 0:
            raise ValueError("at the bottom")
        if depth % 2:  # otherwise Python would omit repeated lines
            return deeper(depth - 1)
        return deeper(depth - 1)

    trace = trace_of(crash(lambda: deeper(400)))
    assert len(trace) == MAX_TRACEBACK + 1
    assert trace.startswith("…")
    assert trace.endswith("ValueError: at the bottom\n")


def test_an_error_with_lone_surrogates_is_counted():
    # As surrogateescape decodes bytes that are not UTF-8, such as in a file name.
    area = new_area()
    assert CrashCounter(area, DIRECTORY).count(crash(lambda: ValueError("\udcff\udcfe")))[1]
    assert list(counted(area).values()) == [1]


def test_an_error_whose_str_raises_is_counted():
    class Broken(Exception):
        def __str__(self):
            return self.missing

    area = new_area()
    CrashCounter(area, DIRECTORY).count(crash(Broken))
    ((name, count),) = counted(area).items()
    assert "Broken" in name
    assert count == 1


def test_a_cause_is_new_once_and_counted_every_time():
    area = new_area()
    causes = CrashCounter(area, DIRECTORY)
    errors = [crash(lambda: ValueError("a")), crash(lambda: ValueError("b"))]
    news = [causes.count(errors[n % 2]) for n in range(10)]
    assert [is_new for _, is_new in news] == [True, True] + [False] * 8
    assert len({cause for cause, _ in news}) == 2
    assert list(counted(area).values()) == [5, 5]


def word(number: int) -> str:
    """Return a word for each number: numbers themselves do not distinguish causes."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def test_causes_beyond_the_limit_share_one_that_is_new_once():
    area = new_area()
    causes = CrashCounter(area, DIRECTORY)
    extra = 50
    news = [causes.count(crash(lambda n=n: ValueError(word(n)))) for n in range(MAX_CAUSES + extra)]
    counts = counted(area)
    assert counts[OTHER] == extra
    assert len(counts) == MAX_CAUSES + 1
    assert sum(counts.values()) == MAX_CAUSES + extra
    assert news[MAX_CAUSES:] == [(OTHER, True)] + [(OTHER, False)] * (extra - 1)


def test_crashes_are_counted_on_a_full_board():
    area = new_area()
    with contextlib.suppress(ScenarioError):
        for number in range(ENTRIES):
            area.declare(Kind.COUNTER, f"c{number}")
    CrashCounter(area, DIRECTORY).count(crash(ValueError))
    assert list(counted(area).values()) == [1]


def test_a_replacement_continues_the_counts_of_its_predecessor():
    memory = memoryview(bytearray(20 << 20))
    for _ in range(3):
        CrashCounter(Area(memory), DIRECTORY).count(crash(lambda: ValueError("a")))
    assert list(counted(Area(memory)).values()) == [3]


def test_a_multi_line_message_becomes_one_headline():
    error = ValueError("balance is wrong:\n  expected 5\n  got 7")
    assert headline_of(error, DIRECTORY) == "ValueError: balance is wrong: expected 5 got 7"
    assert cause_of(error, DIRECTORY) == "ValueError: balance is wrong: expected # got #"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "user_17@localhost at 127.0.0.1:5222: 3 tries",
            "user_#@localhost at 127.0.0.1:5222: # tries",
        ),
        ("user_17@a.example at [::1]:5222: gone", "user_#@a.example at [::1]:5222: gone"),
        ("wss://xmpp-2.example:443/ws gave 500", "wss://xmpp-2.example:443/ws gave #"),
        ("no way to 10.1.2.3 from localhost:5222.", "no way to 10.1.2.3 from localhost:5222."),
        ("order:17 of version 1.2.3.4.5 at 12:30:45", "order:# of version #.#.#.#.# at #:#:#"),
    ],
)
def test_network_addresses_are_kept_in_causes(message: str, cause: str) -> None:
    assert cause_of(ValueError(message), DIRECTORY) == f"ValueError: {cause}"


def test_a_headline_is_of_limited_length_and_keeps_its_origin():
    try:
        raise ValueError("x" * 10_000)
    except ValueError as error:
        line = headline_of(error, "")
    assert len(line.encode()) <= MAX_HEADLINE_BYTES
    assert line.startswith("ValueError: xxx")
    assert re.search(r"… \(test_crashes\.py:\d+ in test_a_headline_is_", line)
