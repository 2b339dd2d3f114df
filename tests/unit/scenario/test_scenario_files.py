"""Several scenarios in one run: their notation, and which users belong to which."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.scenario import scenario_files
from amoc.scenario.scenario_files import (
    Part,
    absolute,
    check,
    file_names,
    is_path,
    name_of,
    parts_of,
    text_of,
    with_rate,
)

NAMES = st.lists(
    st.text("ab c'\"=$", min_size=1, max_size=6).map(lambda text: f"{text}.py"),
    min_size=2,
    max_size=4,
    unique=True,
)


@given(NAMES, st.integers(1, 10**9))
def test_several_scenarios_survive_a_round_trip_through_text(names, users):
    loads = (str(users), "10/s", "30s:100,2m:0", "30s:2/s,0.5m:90.5/min")
    parts = tuple(Part(name, load) for name, load in zip(names, loads, strict=False))
    text = text_of(parts)
    assert parts_of(text) == parts
    assert shlex.split(text) == [f"{one.source}={one.load}" for one in parts]
    assert parts[0].users == users


@pytest.mark.parametrize(
    "text",
    ["shop.py", "shop", "my shop.py", "shop.py=5", "a=1.py b.py=2", "a.py=1 'b", "a.py=1s b=2"],
)
def test_a_single_scenario_has_no_parts(text):
    assert parts_of(text) == ()
    assert scenario_files.part_of("shop.py=5") == Part("shop.py", "5")


def test_the_name_combines_all_scenarios(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "shops/buy.py=10 browse.py=90"
    assert name_of(text) == "buy+browse"
    assert file_names(text) == "buy.py=10 browse.py=90"
    assert [file_names(one) for one in ("a/buy.py", "shops.buy")] == ["buy.py", "shops.buy"]
    assert not is_path(text)
    assert absolute(text) == f"{tmp_path}/shops/buy.py=10 {tmp_path}/browse.py=90"
    assert absolute("package.buy=1 browse.py=2").startswith("package.buy=1 /")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a.py=1", "b.py"], "or an arrival rate such as 10/s, got 'b.py'"),
        (["a.py=1", "b.py=0"], "must each have 1 to 4294967296 users, got 'b.py=0'"),
        (["a.py=1.5", "b.py=2"], "must have whole numbers of users, got 'a.py=1.5'"),
        (["a.py=1", "x/a.py=2"], "must have different names, got 'a' twice"),
    ],
)
def test_invalid_loads_are_reported_in_one_line(words, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        check(words)


@pytest.mark.parametrize(
    ("words", "weights", "rate"),
    [
        (["a.py=30/s", "b.py=10/s"], [3, 1], "40/s"),
        (["a.py=1/s", "b.py=10/min"], [6, 1], "70/min"),
        (["a.py=0.5/s", "b.py=1/h"], [1800, 1], "1801/h"),
        (["a.py=5/s"], [1], "5/s"),
    ],
)
def test_rates_add_up_and_are_weights(words, weights, rate):
    parts, total = with_rate(check(words))
    assert [one.users for one in parts] == weights
    assert total == rate


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["a.py=0/s", "b.py=5/s"],
            "must each have a rate such as 10/s or 600/min, above 0, got 'a.py=0/s'",
        ),
        (
            ["a.py=1/x", "b.py=5/s"],
            "must each have a rate such as 10/s or 600/min, above 0, got 'a.py=1/x'",
        ),
    ],
)
def test_invalid_rates_are_reported_in_one_line(words, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        with_rate(check(words))


@pytest.mark.parametrize(
    "words", [["a.py=1", "b.py=2"], ["a.py=1/s", "b.py=2"], ["a.py=1/s", "b.py=1s:2/s"]]
)
def test_only_constant_rates_add_up_to_one_rate(words):
    assert with_rate(check(words)) == ((), "")
