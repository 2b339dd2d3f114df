"""Lines with numbers and checksums: every change to a file is found, without false alarms."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.line_check import LineCheck, sealed


def lines(count: int) -> list[bytes]:
    return [
        sealed(json.dumps({"t_s": n, "text": 'a,"line":7'}).encode(), n + 1) for n in range(count)
    ]


def read(some: list[bytes], written: int | None = None) -> tuple[list[int], list[str]]:
    """Return the numbers of the lines read, and the problems found."""
    check = LineCheck()
    taken = []
    for line in some:
        if check.take_line(line):
            try:
                taken.append(json.loads(line)["line"])
            except ValueError:
                check.damaged()  # as readers of a file do
    return taken, check.problems(written)


def test_a_sealed_line_is_json_with_its_number():
    found = json.loads(lines(3)[2])
    assert (found["t_s"], found["line"]) == (2, 3)
    assert set(found) == {"t_s", "text", "line", "crc"}


def test_an_unchanged_file_has_no_problems():
    assert read(lines(5), 5) == ([1, 2, 3, 4, 5], [])
    assert read([], 0) == ([], [])
    assert read([]) == ([], [])


@pytest.mark.parametrize(
    ("alter", "taken", "problems"),
    [
        (lambda a: a[:1] + a[2:], [1, 3, 4, 5], ["line 2 is missing"]),
        (lambda a: a[1:], [2, 3, 4, 5], ["line 1 is missing"]),
        (lambda a: a[:3], [1, 2, 3], ["2 lines are missing, the first is line 4"]),
        (lambda _: [], [], ["5 lines are missing, the first is line 1"]),
        (lambda a: a[:1] + a[3:4], [1, 4], ["3 lines are missing, the first is line 2"]),
        (lambda a: a[:2] + a[1:], [1, 2, 3, 4, 5], ["line 2 is repeated"]),
        (lambda a: a + a, [1, 2, 3, 4, 5], ["5 lines are repeated, the first is line 1"]),
        (lambda a: [a[0], a[2], a[1], *a[3:]], [1, 3, 4, 5], ["line 2 is out of order"]),
        (lambda a: a[::-1], [5], ["4 lines are out of order, the first is line 4"]),
        (lambda a: [a[0], a[1][:9] + b"\n", *a[2:]], [1, 3, 4, 5], ["line 2 is damaged"]),
        (lambda a: [a[0], b"\n", *a[1:]], [1, 2, 3, 4, 5], ["line 2 is damaged"]),
        (lambda a: [a[0][:-5] + b"\n", *a[1:]], [2, 3, 4, 5], ["line 1 is damaged"]),
        (lambda a: [*a[:4], a[4][:9]], [1, 2, 3, 4], ["line 5 is missing"]),
        (lambda a: [*a[:4], a[4][:-1]], [1, 2, 3, 4], ["line 5 is missing"]),
        (
            lambda a: [a[0], b"?\n", a[4]],
            [1, 5],
            ["line 2 is damaged", "2 lines are missing, the first is line 3"],
        ),
    ],
)
def test_changes_to_a_file_are_reported(alter, taken, problems):
    assert read(alter(lines(5)), 5) == (taken, problems)


def test_a_last_line_cut_by_a_killed_writer_is_not_a_problem():
    whole = lines(5)
    for cut in range(1, len(whole[4])):
        assert read([*whole[:4], whole[4][:-cut]]) == ([1, 2, 3, 4], [])


def test_lines_of_earlier_versions_are_accepted_unchecked():
    old = [b'{"t_s": 1}\n', b'{"t_s": 2}\n', b'{"t_']
    check = LineCheck()
    assert [check.take_line(line) for line in old] == [True, True, True]
    assert not check.sealed
    assert check.problems() == []


@given(st.integers(0, 4), st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_detected(which, where, by):
    whole = lines(5)
    line = bytearray(whole[which])
    line[where % len(line)] ^= by
    changed = b"".join([*whole[:which], bytes(line), *whole[which + 1 :]])
    taken, problems = read(re.findall(rb"[^\n]*\n|[^\n]+", changed), 5)
    assert problems
    assert set(range(1, 6)) - {which + 1, which + 2} <= set(taken)


@given(st.lists(st.integers(0, 7), max_size=12))
def test_only_an_unchanged_file_has_no_problems(chosen):
    whole = lines(8)
    taken, problems = read([whole[one] for one in chosen], 8)
    assert bool(problems) is (chosen != list(range(8)))
    assert taken == sorted(set(taken))
    assert set(taken) <= {one + 1 for one in chosen}
