"""Plans and the groups they form."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import ScenarioError
from amoc.coordinator.plan import KINDS, Batches, Event, Group, Shape, arguments, form_of, parse


def one(event: Any) -> None: ...
def two(event: Any, users: Any) -> None: ...
def three(event: Any, a: Any, b: Any) -> None: ...


def batches(*sizes: Any, timeout_ns: int | None = 100, seed: str = "7/x") -> Batches[int]:
    shapes = [item.shape for item in parse("x", [(size, two) for size in sizes])]
    return Batches(shapes, seed, timeout_ns)


def found(groups: list[Group[int]]) -> list[tuple[int, str, list[int]]]:
    return [(group.item, group.kind, list(group.entries)) for group in groups]


def test_a_plan_is_one_item_or_a_list_with_one_or_more_actions_each() -> None:
    (pair,) = parse("x", (2, one))
    assert pair.shape == Shape(2, 2, users=False)
    assert [action.form for action in pair.actions] == [1]
    some, everyone = parse("x", [((3, 7), [one, three]), ("all", two)])
    assert some.shape == Shape(3, 7, users=True)
    assert [action.form for action in some.actions] == [1, 3]
    assert everyone.shape == Shape(0, 0, users=True)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ([], r"coordinator x must be \(size, actions\) or a list of these pairs, got \[\]"),
        (None, "got None"),
        ((2, one, two), r"item 0 of coordinator x must be \(size, actions\), got"),
        ([(2, one), 5], r"item 1 of coordinator x must be \(size, actions\), got 5"),
        ((0, one), r'must be for n users, \(min, max\) users or "all", from 1 to .*, got 0'),
        ((2.0, one), "got 2.0"),
        ((True, one), "got True"),
        (((3, 2), one), r"got \(3, 2\)"),
        (("some", one), "got 'some'"),
        ((2, []), "must have an action, got none"),
        ((2, "introduce"), "must be a function, got 'introduce'"),
        ((2, lambda: None), r"must take \(event\), \(event, users\) or \(event, user_a, user_b\)"),
        ((2, lambda a, b, c, d: None), "does not"),
        ((2, lambda *, event: None), "does not"),
        (("all", three), r'is for "all" users, so its actions must take .* but three takes'),
    ],
)
def test_an_invalid_plan_is_refused_with_a_one_line_reason(plan: object, says: str) -> None:
    with pytest.raises(ScenarioError, match=says) as caught:
        parse("x", plan)
    assert "\n" not in str(caught.value)


class Methods:
    def act(self, event: Any, users: Any) -> None: ...
    def __call__(self, event: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "form"),
    [
        (one, 1),
        (two, 2),
        (three, 3),
        (Methods().act, 2),
        (Methods(), 1),
        (functools.partial(three, "event"), 2),
        (lambda event, users, depth=3: None, 2),
        (lambda event=None, users=(): None, 2),
        (lambda event, *rest: None, 1),
        (lambda event, users, *, loud=False: None, 2),
        (lambda *everything: None, None),
    ],
)
def test_the_form_of_an_action_follows_from_its_required_parameters(
    function: Callable[..., object], form: int | None
) -> None:
    assert form_of(function) == form


def test_the_sixth_add_completes_a_group_of_two_and_one_of_three() -> None:
    groups = batches(2, 3)
    assert found(groups.add([1, 2, 3, 4, 5], 0)) == [
        (0, "coordinate", [1, 2]),
        (1, "coordinate", [1, 2, 3]),
        (0, "coordinate", [3, 4]),
    ]
    assert found(groups.add([6], 0)) == [(0, "coordinate", [5, 6]), (1, "coordinate", [4, 5, 6])]


def test_the_timeout_counts_from_the_last_add_and_fires_once() -> None:
    groups = batches(2)
    assert groups.due_ns is None
    groups.add([1], 0)
    groups.add([2, 3], 60)
    assert groups.due_ns == 160
    assert groups.expire(159) == []
    assert found(groups.expire(160)) == [(0, "timeout", [3])]
    assert groups.due_ns is None
    assert groups.expire(1000) == []


def test_without_a_timeout_groups_wait_forever() -> None:
    groups = batches(2, timeout_ns=None)
    groups.add([1], 0)
    assert groups.due_ns is None
    assert groups.expire(10**18) == []


@pytest.mark.parametrize("kind", ["timeout", "reset", "stop"])
def test_items_for_all_users_come_after_sized_ones(kind: str) -> None:
    groups = batches("all", 2, "all", 4)
    groups.add([1, 2, 3], 0)
    assert groups.pending == [3, 1, 3, 3]
    assert found(groups.end(kind)) == [
        (1, kind, [3]),
        (3, kind, [1, 2, 3]),
        (0, kind, [1, 2, 3]),
        (2, kind, [1, 2, 3]),
    ]
    assert found(groups.end(kind)) == [(1, kind, []), (3, kind, []), (0, kind, []), (2, kind, [])]


def test_random_sizes_are_drawn_per_group_and_reproducible_by_seed() -> None:
    def sizes(seed: str) -> list[int]:
        return [len(group.entries) for group in batches((1, 6), seed=seed).add(range(1000), 0)]

    assert sizes("7/x") == sizes("7/x")
    assert sizes("7/x") != sizes("8/x")
    assert set(sizes("7/x")) == {1, 2, 3, 4, 5, 6}


def test_arguments_for_groups_of_none_one_and_three() -> None:
    event = Event("timeout", 0)
    assert list(arguments(3, event, [])) == [(event, None, None)]
    assert list(arguments(3, event, ["a"])) == [(event, "a", None)]
    assert list(arguments(3, event, ["a", "b", "c"])) == [
        (event, "a", "b"),
        (event, "a", "c"),
        (event, "b", "c"),
    ]
    assert list(arguments(1, event, ["a"])) == [(event,)]
    assert list(arguments(2, event, ["a"])) == [(event, ["a"])]


def test_an_event_is_a_kind_and_a_count() -> None:
    assert Event("reset", 3) == ("reset", 3)
    kind, count = Event("reset", 3)
    assert (kind, count) == ("reset", 3)


@given(st.integers(0, 40))
def test_each_unordered_pair_occurs_once(count: int) -> None:
    calls = [call[1:] for call in arguments(3, Event("coordinate", count), range(count))]
    if count > 1:
        assert calls == list(combinations(range(count), 2))
        assert len(set(calls)) == count * (count - 1) // 2


SIZES = st.lists(
    st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 5), st.integers(5, 9)), st.just("all")),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.integers(0, 200)),
        st.tuples(st.just("end"), st.sampled_from(["reset", "stop"])),
        st.tuples(st.just("drop"), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(SIZES, STEPS)
def test_every_add_is_in_exactly_one_group_of_every_item(
    sizes: list[Any], steps: list[tuple[str, Any]]
) -> None:
    groups = batches(*sizes)
    seen: list[Counter[int]] = [Counter() for _ in sizes]
    order: list[list[int]] = [[] for _ in sizes]
    dropped: list[set[int]] = [set() for _ in sizes]
    added = at_ns = 0
    due_ns: int | None = None

    def note(made: list[Group[int]]) -> None:
        for item, kind, entries in made:
            assert kind in KINDS
            seen[item].update(entries)
            order[item].extend(entries)
            size = sizes[item]
            if size == "all":
                assert kind != "coordinate"
            else:
                least, most = size if isinstance(size, tuple) else (size, size)
                assert len(entries) <= most
                assert kind != "coordinate" or len(entries) >= least

    for what, value in steps:
        if what == "add":
            new = range(added, added + value)
            added += value
            note(groups.add(new, at_ns))
            if value:
                due_ns = at_ns + 100
        elif what == "wait":
            at_ns += value
            made = groups.expire(at_ns)
            assert bool(made) == (due_ns is not None and due_ns <= at_ns)
            due_ns = None if made else due_ns
            note(made)
        elif what == "drop":
            before = [set(range(added)) - counter.keys() for counter in seen]
            groups.drop(lambda entry, worker=value: entry % 4 == worker)
            for item, pending in enumerate(before):
                dropped[item] |= {entry for entry in pending if entry % 4 == value}
        else:
            note(groups.end(value))
            due_ns = None
    note(groups.end("stop"))
    for item in range(len(sizes)):
        assert set(seen[item]) | dropped[item] == set(range(added))
        assert not set(seen[item]) & dropped[item]
        assert all(count == 1 for count in seen[item].values())
        assert order[item] == sorted(order[item])


@given(SIZES, st.lists(st.integers(0, 20), max_size=20))
def test_batching_of_adds_does_not_change_groups(sizes: list[Any], parts: list[int]) -> None:
    total = sum(parts)
    at_once = found(batches(*sizes).add(range(total), 0))
    groups, done, in_parts = batches(*sizes), 0, []
    for part in parts:
        in_parts += found(groups.add(range(done, done + part), 0))
        done += part
    assert in_parts == at_once
