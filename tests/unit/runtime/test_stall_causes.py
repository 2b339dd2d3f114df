from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS
from amoc.ipc.messages.users import Blocked
from amoc.runtime.stall_causes import (
    COLLECTOR,
    CROWDED,
    MAX_PLACES,
    OTHERS,
    Cause,
    Frame,
    Look,
    Stalls,
    causes_of,
    from_text,
    place_of,
    sentence_of,
    to_text,
    trace_of,
)

HERE = "/home/me/load"
MIN_NS = 100 * MS_NS
LOOP = [Frame("/usr/lib/gevent/hub.py", 600, "run")]


def at(line: int) -> list[Frame]:
    """Return the stack of a user inside a library called from that line of the scenario."""
    return [
        Frame("/usr/lib/re.py", 9, "match"),
        Frame(f"{HERE}/chat.py", line, "talk"),
        Frame(f"{HERE}/chat.py", 99, "start"),
        Frame("/usr/lib/amoc/user.py", 129, "run"),
    ]


def looks(*seen: tuple[int, object, Sequence[Frame]], since_ms: int | None = None) -> list[Look]:
    """Return samples at these times in ms, each due at `since_ms` or, by default, then."""
    return [
        Look(ms * MS_NS, (since_ms if since_ms is not None else ms) * MS_NS, greenlet, stack)
        for ms, greenlet, stack in seen
    ]


def causes(found: list[Look], began_ms: int, ended_ms: int) -> list[tuple[str, int]]:
    return [
        (cause.place, cause.ns // MS_NS)
        for cause in causes_of(found, began_ms * MS_NS, ended_ms * MS_NS, HERE, MIN_NS)
    ]


def test_the_innermost_line_of_the_scenario_is_the_place() -> None:
    assert place_of(at(12), HERE) == "chat.py:12 in talk"


def test_a_virtual_environment_next_to_the_scenario_is_not_part_of_it() -> None:
    library = Frame(f"{HERE}/.venv/lib/python3.11/site-packages/lib.py", 1, "call")
    assert place_of([library, *at(12)], HERE) == "chat.py:12 in talk"
    assert place_of([library], HERE) == "lib.py:1 in call"


@pytest.mark.parametrize("directory", [HERE, ""])
def test_outside_the_scenario_the_innermost_line_counts_but_never_the_loop(directory: str) -> None:
    assert place_of([Frame("/usr/lib/amoc/mail.py", 7, "hear"), *LOOP], directory) == (
        "mail.py:7 in hear"
    )
    assert place_of(LOOP, directory) == ""
    assert place_of([], directory) == ""


def test_a_greenlet_in_every_sample_blocked_for_the_whole_stall() -> None:
    user = object()
    found = looks((120, user, at(12)), (140, user, at(12)), (160, user, at(12)))
    assert causes(found, 50, 170) == [("chat.py:12 in talk", 120)]


def test_the_place_is_the_one_sampled_most_often() -> None:
    user = object()
    lines = [12, 13, 12, 14, 12]
    found = looks(*((120 + 20 * n, user, at(line)) for n, line in enumerate(lines)))
    assert causes(found, 0, 220) == [("chat.py:12 in talk", 220)]


def test_two_consecutive_blocking_greenlets_are_told_apart() -> None:
    one, two = object(), object()
    found = looks(
        *((ms, one, at(12)) for ms in range(120, 260, 20)),
        *((ms, two, at(20)) for ms in range(260, 420, 20)),
    )
    assert causes(found, 0, 410) == [("chat.py:12 in talk", 240), ("chat.py:20 in talk", 170)]


def test_a_different_greenlet_in_each_sample_means_too_many_greenlets() -> None:
    users = [object() for _ in range(10)]
    found = looks(*((120 + 20 * n, user, at(12)) for n, user in enumerate(users)))
    assert causes(found, 0, 320) == [(CROWDED, 320)]


def test_a_call_that_holds_the_interpreter_is_found_by_a_late_sample() -> None:
    # A single sample, long after it was due: whatever it finds ran all the time.
    found = looks((400, object(), at(12)), since_ms=120)
    assert causes(found, 100, 405) == [("chat.py:12 in talk", 305)]


def test_a_single_punctual_sample_blames_nobody() -> None:
    assert causes(looks((120, object(), at(12))), 0, 139) == []


def test_short_stalls_are_ignored() -> None:
    user = object()
    found = looks((120, user, at(12)), (140, user, at(12)))
    assert causes(found, 60, 159) == []


def test_an_idle_loop_is_not_blamed() -> None:
    hub = object()
    assert causes(looks((120, hub, LOOP), (320, hub, LOOP)), 0, 330) == []


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), min_size=1, max_size=40))
def test_causes_never_last_longer_than_the_stall(steps: list[tuple[int, int]]) -> None:
    users = [object() for _ in range(4)]
    now, found = 100, []
    for step, user in steps:
        now += step
        found.extend(looks((now, users[user], at(user))))
    spans = [ms for _, ms in causes(found, 100, now + 10)]
    assert sum(spans) <= now + 10 - 100
    assert all(ms >= 100 for ms in spans)


def test_a_stack_survives_conversion_to_text() -> None:
    text = to_text(at(12), 0x7F01) + "\n" + to_text(LOOP, 0x17F01)
    assert from_text(text, 0x7F01) == at(12)
    assert from_text(text, 0x17F01) == LOOP
    assert from_text(text, 0xF01) == []


def test_output_of_faulthandler_is_parsed() -> None:
    with TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        text = file.read().decode()
    stack = from_text(text, threading.get_ident())
    name = test_output_of_faulthandler_is_parsed.__name__
    assert place_of(stack, os.fspath(Path(__file__).parent)).endswith(f" in {name}")


def test_a_trace_has_the_most_recent_call_last() -> None:
    assert trace_of([Frame(__file__, 1, "inner"), Frame(__file__, 3, "outer")]) == (
        f'  File "{__file__}", line 3, in outer\n    import faulthandler\n'
        f'  File "{__file__}", line 1, in inner\n    from __future__ import annotations\n'
    )


def test_a_sentence_blames_a_line_only_if_there_is_one() -> None:
    at_a_line = Blocked(1, "chat.py:12 in talk", 3, 900 * MS_NS, 400 * MS_NS, "")
    assert sentence_of(at_a_line) == (
        "worker 1 was blocked for 400 ms, 3 times at chat.py:12 in talk: a blocking user holds"
        " up all others of its worker, and delays their measurements by as much"
    )
    for place in (CROWDED, COLLECTOR):
        said = sentence_of(at_a_line._replace(place=place, times=1, longest_ns=2500 * MS_NS))
        assert said.startswith(f"worker 1 was blocked for 2.5 s: {place}")
        assert "a blocking user" not in said


def test_stalls_are_summed_by_place_and_the_stack_is_reported_once() -> None:
    stalls = Stalls(3)
    for ns in (200, 300):
        stalls.note(Cause("chat.py:12 in talk", ns, at(12)))
    (told,) = stalls.take()
    assert (told.worker, told.place) == (3, "chat.py:12 in talk")
    assert (told.times, told.total_ns, told.longest_ns) == (2, 500, 300)
    assert told.trace == trace_of(at(12))
    assert stalls.take() == []
    stalls.note(Cause("chat.py:12 in talk", 50, at(12)))
    (told,) = stalls.take()
    assert (told.times, told.total_ns, told.longest_ns, told.trace) == (1, 50, 50, "")


def test_places_are_limited_and_no_stall_is_lost() -> None:
    stalls = Stalls(0)
    for line in range(MAX_PLACES + 50):
        stalls.note(Cause(f"chat.py:{line} in talk", 1, ()))
    told = {one.place: one.times for one in stalls.take()}
    assert len(told) == MAX_PLACES + 1
    assert told[OTHERS] == 50
    assert sum(told.values()) == MAX_PLACES + 50
