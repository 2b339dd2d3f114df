"""The command table: what each command takes, and how invalid arguments are rejected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import UsageError
from amoc.base.redaction import hide
from amoc.control import commands
from amoc.control.commands import (
    COMMANDS,
    MAX_COUNT,
    MAX_VALUES,
    Argument,
    Command,
    CommandSpec,
    Flag,
    Handling,
    WholeNumber,
    checked,
    is_read,
)
from amoc.ipc.messages.codec import pack
from amoc.ipc.messages.orders import ORDERS, ApplySettings
from amoc.scenario.settings_sources import MAX_DEPTH


@pytest.mark.parametrize(
    ("given_", "command"),
    [
        (("status", {}), Command("status", {})),
        (("add", {"count": 100}), Command("add", {"count": 100})),
        (("add", {"count": 5}, "after  the\trestart"), ("add", {"count": 5}, "after the restart")),
        (("add", {"count": MAX_COUNT}), Command("add", {"count": MAX_COUNT})),
        (("remove", {"count": 10}), Command("remove", {"count": 10, "force": False})),
        (("remove", {"force": True, "count": 1}), ("remove", {"count": 1, "force": True}, "")),
        (("add", {"ids": [5, 9]}), ("add", {"ids": (5, 9)}, "")),
        (("remove", {"ids": (7, 7)}), ("remove", {"ids": (7, 7), "force": False}, "")),
        (("set", {"values": {"rate": "5"}}), Command("set", {"values": {"rate": "5"}})),
        (
            ("throttle", {"name": "messages", "rate": "5/s"}),
            Command("throttle", {"name": "messages", "rate": "5/s"}),
        ),
        (("note", {}, "it's -- odd # here"), Command("note", {}, "it's -- odd # here")),
    ],
)
def test_a_checked_command_has_all_its_arguments(given_, command):
    assert checked(*given_) == command


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        (
            *("explode", {}),
            "command must be one of status, users, add, remove, set, throttle, pause, resume,",
        ),
        (["add"], {}, "command must be one of"),
        (None, {}, "command must be one of"),
        ("add", [5], "arguments of add must be an object, got [5]"),
        ("add", {}, "add requires either count or ids"),
        ("add", {"count": 0}, f"count of add must be a whole number from 1 to {MAX_COUNT}, got 0"),
        ("add", {"count": MAX_COUNT + 1}, f"got {MAX_COUNT + 1}"),
        ("remove", {"count": -1}, "count of remove must be a whole number from 1 to"),
        ("add", {"count": "5"}, "got '5'"),
        ("add", {"count": True}, "got True"),
        ("add", {"count": None}, "got None"),
        ("add", {"count": 5, "x": 1}, "add takes only count, ids, on_nodes, got 'x'"),
        ("remove", {"count": 5, "x": 1}, "remove takes only count, ids, force, on_nodes, got 'x'"),
        ("remove", {"count": 5, "ids": [1, 2]}, "remove requires either count or ids"),
        ("add", {"ids": [9, 5]}, "ids of add must be the first and last user id, from 1 to"),
        ("add", {"ids": [0, 5]}, "got [0, 5]"),
        ("add", {"ids": [1, MAX_COUNT + 1]}, "got [1, "),
        ("add", {"ids": [1]}, "got [1]"),
        ("add", {"ids": ["1", "2"]}, "got ['1', '2']"),
        ("add", {"ids": [True, 2]}, "got [True, 2]"),
        ("add", {"ids": None}, "got None"),
        ("throttle", {"name": "messages"}, "throttle requires rate"),
        ("throttle", {"name": "", "rate": "5/s"}, "name of throttle must be text of 1 to"),
        ("throttle", {"name": "messages", "rate": 5}, "rate of throttle must be text of 1 to"),
        ("pause", {"x": 1}, "pause takes no arguments, got 'x'"),
        ("pause", {1: 1}, "pause takes no arguments, got 1"),
        (
            "remove",
            {"count": 1, "force": "yes"},
            "force of remove must be true or false, got 'yes'",
        ),
        ("set", {}, "set requires values"),
        ("set", {"values": {}}, "values of set must be an object of values by setting name"),
        ("set", {"values": {1: 2}}, f"values of set must be at most {MAX_VALUES} values by"),
        ("set", {"values": dict.fromkeys(map(str, range(MAX_VALUES + 1)), 1)}, "at most"),
        ("note", {}, "note requires a text"),
    ],
)
def test_invalid_arguments_are_rejected_in_one_short_line(name, arguments, complaint):
    with pytest.raises(UsageError) as caught:
        checked(name, arguments)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("comment", "complaint"),
    [
        ("x" * 1001, "comment of pause must have at most 1000 characters, got 1001"),
        (5, "comment of pause must be text, got 5"),
    ],
)
def test_a_comment_must_be_text_of_limited_length(comment, complaint):
    with pytest.raises(UsageError, match=complaint):
        checked("pause", {}, comment)


def test_values_may_have_any_json_type():
    values = {"rate": 5, "rooms": ["a"], "off": None}
    assert checked("set", {"values": values}).arguments == {"values": values}


def nested(depth: int, value: object = 5) -> object:
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"n": 1 << 64}, "n must fit into 64 bits, got 18446744073709551616"),
        ({"n": -(1 << 63) - 1}, "n must fit into 64 bits, got -9223372036854775809"),
        ({"n": [{"a": 10**400}]}, "n.a must fit into 64 bits, got 1000"),
        ({"a_token": 10**30}, "a_token must fit into 64 bits, got (hidden)"),
        ({"n": {"token": [10**30]}}, "n.token must fit into 64 bits, got (hidden)"),
        ({"n": nested(MAX_DEPTH + 1)}, "n must be nested at most 50 deep"),
        ({"n": nested(200_001)}, "n must be nested at most 50 deep"),
        ({"b\n" * 100: 1 << 64}, "'b\\nb"),
    ],
)
def test_values_that_cannot_be_sent_to_workers_are_rejected(values, complaint):
    with pytest.raises(UsageError) as caught:
        checked("set", {"values": values})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("value", [(1 << 64) - 1, -(1 << 63), nested(MAX_DEPTH), 1e300, "\ud800"])
def test_values_at_the_limits_can_be_sent_to_workers(value):
    values = {"n": value}
    assert checked("set", {"values": values}).arguments == {"values": values}
    order = ApplySettings(1, values)
    assert ORDERS.unpack(ORDERS.pack(order)) == order
    assert hide(value) is value


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=3))
def test_arbitrary_values_are_rejected_in_one_line_or_can_be_sent(values):
    try:
        found = checked("set", {"values": values})
    except UsageError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    pack(found.arguments)


@given(st.sampled_from(sorted(COMMANDS)), JSON | st.dictionaries(st.text(), JSON), JSON)
def test_an_arbitrary_request_is_rejected_in_one_line_or_checking_is_idempotent(
    name, arguments, comment
):
    try:
        found = checked(name, arguments, comment)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    assert checked(*found) == found


@pytest.mark.parametrize("depth", [100, 200_000])
def test_deeply_nested_arguments_are_rejected_in_one_short_line(depth):
    for name, arguments in (
        *(("add", {"count": nested(depth)}), ("add", nested(depth))),
        *((nested(depth), {}), ("remove", {"count": 1, "force": nested(depth)})),
    ):
        with pytest.raises(UsageError) as caught:
            checked(name, arguments)
        assert len(str(caught.value)) < 300


def test_only_status_and_users_are_read_only():
    assert [name for name in COMMANDS if is_read(name)] == ["status", "users"]
    assert not is_read("explode")
    assert not is_read(None)


def test_a_row_in_the_table_is_enough_for_a_new_command(monkeypatch):
    seed = Argument("seed", WholeNumber(0, 9), metavar="SEED", default=3)
    row = CommandSpec(
        "shuffle", "Shuffle the users.", (seed, Argument("hard", Flag())), Handling.READ
    )
    monkeypatch.setitem(commands.COMMANDS, "shuffle", row)
    assert checked("shuffle", {"hard": True}) == ("shuffle", {"seed": 3, "hard": True}, "")
    assert is_read("shuffle")
    with pytest.raises(UsageError, match="seed of shuffle must be a whole number from 0 to 9"):
        checked("shuffle", {"seed": 10, "hard": True})
    with pytest.raises(UsageError, match="shuffle requires hard"):
        checked("shuffle", {})
