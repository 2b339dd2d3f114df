"""`amoc.users`: functions and classes as kinds of users."""

from __future__ import annotations

import sys

import pytest
from greenlet import greenlet

from amoc import metrics
from amoc.base.errors import ScenarioError
from amoc.metrics import registry
from amoc.scenario import settings
from amoc.scenario.loader import load

HEAD = "import amoc\n"
KINDS = """
class Buyer:
    def __init__(self):
        self.turns = 0

    def start(self, user_id, state):
        self.turns += 1
        return "buyer", user_id, state, self.turns

class Idler:
    def start(self):
        return "idler"

def browser(user_id):
    return "browser", user_id
"""


class User(greenlet):
    """The part of a user that its kind uses."""

    iteration = 0

    def turn(self):
        self.iteration += 1
        return self.switch()


@pytest.fixture(autouse=True)
def _imports_leave_no_trace(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    with settings.separate(), registry.Registry().activated():
        yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def scenario(tmp_path):
    def write(text: str):
        file = tmp_path / "shop.py"
        file.write_text(HEAD + text)
        return load(str(file))

    return write


def user(start, user_id: int) -> User:
    def live():
        while True:
            one.parent.switch(start(user_id))

    one = User(live)
    return one


def test_each_user_is_of_one_kind_and_a_class_has_an_instance_for_each(scenario):
    start = scenario(KINDS + "amoc.users({Buyer: 1, browser: 1})").start_with("state")
    users = {user_id: user(start, user_id) for user_id in range(1, 5)}
    kinds = {user_id: start.name_of(user_id) for user_id in users}
    assert sorted(kinds.values()) == ["Buyer", "Buyer", "browser", "browser"]
    for turn in (1, 2):
        for user_id, one in users.items():
            expected = ("browser", user_id)
            if kinds[user_id] == "Buyer":
                expected = ("buyer", user_id, "state", turn)
            assert one.turn() == expected
    counted = {one.name: one.value for one in metrics.read()}
    assert counted["kind.Buyer.users"] == counted["kind.browser.users"] == 2
    assert counted["kind.Buyer.iterations"] == counted["kind.browser.iterations"] == 4


def test_a_kinds_start_may_take_no_arguments(scenario):
    start = scenario(KINDS + "amoc.users({Idler: 1})").start_with(None)
    assert user(start, 7).turn() == "idler"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("amoc.users({Buyer: 1, browser: 0})", "weights must be numbers above 0, got 0"),
        ("amoc.users([Buyer])", "takes kinds with their weights"),
        ("amoc.users({})", "must have 1 to 100 kinds, got 0"),
        ("amoc.users({7: 1})", "a kind must be a function or a class, got 7"),
        ("class A: ...\namoc.users({A: 1})", "class A has no start()"),
        (
            "class A:\n def __init__(self, x): ...\n def start(self): ...\namoc.users({A: 1})",
            "no arguments",
        ),
        ("def a(x, y, z): ...\namoc.users({a: 1})", "a takes (x, y, z)"),
        ("async def a(x): ...\namoc.users({a: 1})", "must be a plain function"),
        ("amoc.users({Buyer: 1})\namoc.users({browser: 1})", "must be called once"),
        (
            "def a(): ...\nb, a = a, lambda: 1\na.__name__ = 'a'\namoc.users({a: 1, b: 2})",
            "must have one kind named a, got two",
        ),
        ("def f(): amoc.users({Buyer: 1})\nf()", "must be called at a scenario's top level"),
        ("amoc.users({Buyer: 1})\ndef start(user_id): ...", "has both start() and amoc.users"),
    ],
)
def test_invalid_kinds_are_refused_in_one_line(scenario, text, why):
    with pytest.raises(ScenarioError) as caught:
        scenario(KINDS + text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
