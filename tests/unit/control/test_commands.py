"""The words of commands: what is typed, what it means, and how it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import UsageError
from amoc.base.redaction import hide
from amoc.control.commands import COMMANDS, MAX_COUNT, Command, checked, parse
from amoc.ipc.messages import Order, pack, to_wire, unpack
from amoc.scenario.settings_sources import MAX_DEPTH


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("status", Command("status", {})),
        ("  users ", Command("users", {})),
        ("add 100", Command("add", {"count": 100})),
        ("add 5 -- after the restart", Command("add", {"count": 5}, "after the restart")),
        ("add 5 # after  the\trestart", Command("add", {"count": 5}, "after the restart")),
        ("add 5 #more", Command("add", {"count": 5}, "more")),
        ("remove 10", Command("remove", {"count": 10, "force": False})),
        ("remove 10 --force", Command("remove", {"count": 10, "force": True})),
        ("remove --force 10 -- out", Command("remove", {"count": 10, "force": True}, "out")),
        ("set rate=5 mode=chat", Command("set", {"values": {"rate": "5", "mode": "chat"}})),
        ("set rate=5 rate=6", Command("set", {"values": {"rate": "6"}})),
        ("set text='a # b' # why", Command("set", {"values": {"text": "a # b"}}, "why")),
        ('set rooms=\'["a", "b"]\'', Command("set", {"values": {"rooms": '["a", "b"]'}})),
        ('set a="x y"=z b=', Command("set", {"values": {"a": "x y=z", "b": ""}})),
        ("pause", Command("pause", {})),
        ("resume -- again", Command("resume", {}, "again")),
        ("stop", Command("stop", {})),
        ("note\ttext", Command("note", {}, "text")),
        ("note it's -- odd # here", Command("note", {}, "it's -- odd # here")),
    ],
)
def test_a_line_of_text_is_a_command(text, command):
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a command must be one of status, users, add, remove, set, pause, resume, stop, note"),
        ("# only", "but there is none"),
        ("ad 5", "but is 'ad'"),
        ("add", "add must be followed by a whole number, but is by ''"),
        ("add many", "add must be followed by a whole number, but is by 'many'"),
        ("add 1 2", "add must be followed by a whole number, but is by '1 2'"),
        ("add -3", "but is by '-3'"),
        ("add 0", f"add must have a count from 1 to {MAX_COUNT}, but has 0"),
        ("add 99999999999", "but has 99999999999"),
        ("add " + "9" * 5000, "add must be followed by a whole number"),
        ("add ²", "add must be followed by a whole number"),
        ("remove --force", "remove must be followed by a whole number, but is by ''"),
        ("set", "set must have values by name, NAME=VALUE, but has none"),
        ("set rate", "set must be followed by NAME=VALUE, but is by 'rate'"),
        ("set =5", "set must be followed by NAME=VALUE, but is by '=5'"),
        ("set a='x", 'quotes must be closed, but "\'x" are not'),
        ("pause now", "pause must be alone, but is followed by 'now'"),
        ("note", "note must be followed by a text, but is not"),
        ("pause -- " + "x" * 1001, "a comment must have at most 1000 characters, but has 1001"),
    ],
)
def test_what_is_no_command_is_refused_in_one_line(text, complaint):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("explode", {}, "a command must be one of"),
        (["add"], {}, "a command must be one of"),
        (None, {}, "a command must be one of"),
        ("add", [5], "the arguments of add must be an object, but are [5]"),
        ("add", {"count": "5"}, "add must have a count from 1"),
        ("add", {"count": True}, "add must have a count from 1"),
        ("add", {"count": 5, "x": 1}, "the arguments of add are only count, but one is 'x'"),
        ("pause", {"x": 1}, "the arguments of pause are none, but one is 'x'"),
        ("remove", {"count": 1, "force": "yes"}, "force of remove must be true or false"),
        ("set", {"values": {}}, "set must have values by name"),
        ("set", {"values": {1: 2}}, "set must have at most"),
        ("note", {}, "note must be followed by a text"),
    ],
)
def test_arguments_from_who_knows_where_are_checked(name, arguments, complaint):
    with pytest.raises(UsageError) as caught:
        checked(name, arguments)
    assert complaint in str(caught.value)


def test_values_over_the_socket_may_have_any_type():
    values = {"rate": 5, "rooms": ["a"], "off": None}
    assert checked("set", {"values": values}).arguments == {"values": values}


def nested(depth: int, value: object = 5) -> object:
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"n": 1 << 64}, "n must fit into 64 bits, but is 18446744073709551616"),
        ({"n": -(1 << 63) - 1}, "n must fit into 64 bits, but is -9223372036854775809"),
        ({"n": [{"a": 10**400}]}, "n.a must fit into 64 bits, but is 1000"),
        ({"a_token": 10**30}, "a_token must fit into 64 bits, but is (hidden)"),
        ({"n": {"token": [10**30]}}, "n.token must fit into 64 bits, but is (hidden)"),
        ({"n": nested(MAX_DEPTH + 1)}, "n must be nested at most 50 deep, but is deeper"),
        ({"n": nested(200_001)}, "n must be nested at most 50 deep, but is deeper"),
        ({"b\n" * 100: 1 << 64}, "'b\\nb"),
    ],
)
def test_values_that_cannot_be_sent_to_workers_are_refused(values, complaint):
    with pytest.raises(UsageError) as caught:
        checked("set", {"values": values})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("value", [(1 << 64) - 1, -(1 << 63), nested(MAX_DEPTH), 1e300, "\ud800"])
def test_values_at_the_limits_reach_workers(value):
    values = {"n": value}
    assert checked("set", {"values": values}).arguments == {"values": values}
    order = to_wire(Order(1, "apply", {"values": values}))
    assert unpack(pack(order)) == order
    assert hide(value) is value


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=3))
def test_any_values_are_refused_in_one_line_or_can_be_sent(values):
    try:
        found = checked("set", {"values": values})
    except UsageError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    pack(found.arguments)


@pytest.mark.parametrize("depth", [100, 200_000])
def test_arguments_that_are_nested_deep_are_refused_in_one_short_line(depth):
    for name, arguments in (
        *(("add", {"count": nested(depth)}), ("add", nested(depth))),
        *((nested(depth), {}), ("remove", {"count": 1, "force": nested(depth)})),
    ):
        with pytest.raises(UsageError) as caught:
            checked(name, arguments)
        assert len(str(caught.value)) < 300


@given(st.text())
def test_any_text_is_a_command_or_a_refusal(text):
    try:
        found = parse(text)
    except UsageError:
        return
    assert found.name in COMMANDS
    assert checked(*found) == found


@given(st.sampled_from(sorted(COMMANDS)), st.text(alphabet="0123456789ab='\"\\ -#\n", max_size=20))
def test_any_rest_of_a_command_is_taken_or_refused_in_one_line(name, rest):
    try:
        found = parse(f"{name} {rest}")
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert found.name == name
