from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import parse_duration
from amoc.client import options


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"users": 100, "duration": "1m30s"}, ["--users=100", "--duration=1m30s"]),
        ({"duration": 90, "warmup": 0.5}, ["--duration=90s", "--warmup=0.5s"]),
        ({"stop_timeout": timedelta(minutes=2)}, ["--stop-timeout=120s"]),
        ({"duration": float("inf")}, ["--duration=inf"]),
        ({"user_ids": range(501, 601)}, ["--user-ids=501-600"]),
        ({"user_ids": "1-3"}, ["--user-ids=1-3"]),
        ({"stages": "30s:100"}, ["--stages=30s:100"]),
        ({"stages": [("30s", 100), (60, 0)]}, ["--stages=30s:100,60s:0"]),
        ({"expect": "crashes == 0"}, ["--expect=crashes == 0"]),
        ({"expect": ["a.p95 < 1s", "b == 0"]}, ["--expect=a.p95 < 1s", "--expect=b == 0"]),
        ({"throttles": {"orders": "10/s"}}, ["--throttle=orders=10/s"]),
        ({"abort_on_fail": True}, ["--abort-on-fail=10s"]),
        ({"abort_on_fail": 5}, ["--abort-on-fail=5s"]),
        ({"abort_on_fail": False, "limited_ok": False}, []),
        ({"limited_ok": True, "failures_ok": True}, ["--limited-ok", "--failures-ok"]),
        ({"config": Path("own.toml"), "comment": "a b"}, ["--config=own.toml", "--comment=a b"]),
        ({"options": ["--log-level", "debug"]}, ["--log-level", "debug"]),
        ({"install": False, "locked": True}, ["--no-install", "--locked"]),
        ({"install": True, "locked": False, "arrival_rate": "5/s"}, ["--arrival-rate=5/s"]),
        ({"users": None, "config": None}, []),
    ],
)
def test_options_become_arguments_of_the_command(given, arguments):
    assert options.arguments(given) == arguments


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"users": 1.5}, "users must be a string or a whole number, got 1.5"),
        ({"users": True}, "users must be a string or a whole number, got True"),
        ({"duration": object}, "duration must be a duration such as '30s'"),
        ({"expect": [1]}, "expect must be a string or a list of strings, got 1 in it"),
        ({"expect": 1}, "expect must be a string or a list of strings, got 1"),
        ({"throttles": "a=1/s"}, "throttles must be a dict of values by name"),
        ({"stages": 7}, "stages must be a string or pairs"),
        ({"stages": [("30s",)]}, "number of users, got .*'30s'.* in it"),
        ({"stages": [30]}, "number of users, got 30 in it"),
        ({"user_ids": range(1, 9, 2)}, "user_ids must be a string such as '1-100', or a range"),
    ],
)
def test_a_wrong_type_is_rejected_by_name(given, message):
    with pytest.raises(TypeError, match=message):
        options.arguments(given)


def test_several_scenarios_are_given_with_their_users():
    assert options.source({"buy.py": 10, "b c.py": 90}) == "buy.py=10 'b c.py=90'"
    assert options.source({"buy.py": "10/s", "see.py": 5}) == "buy.py=10/s see.py=5"
    assert options.source(Path("buy.py")) == "buy.py"


@given(st.floats(min_value=0, max_value=1e8))
def test_seconds_are_read_back_to_the_nanosecond(seconds):
    assert parse_duration(options.duration("duration", seconds)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ("plain", "plain"),
        (True, True),
        (7, 7),
        (0.5, 0.5),
        (float("inf"), "inf"),
        ((1, "b"), [1, "b"]),
        ({"a": [Path("x")]}, {"a": ["x"]}),
        (timedelta(seconds=2), 2.0),
    ],
)
def test_setting_values_are_converted_to_json_types(value, json):
    assert options.settings({"mine": value}) == {"mine": json}


@pytest.mark.parametrize("value", [None, object(), {"a": object()}])
def test_a_value_of_an_unsupported_type_is_rejected_with_the_name_of_its_setting(value):
    with pytest.raises(TypeError, match=r"^setting mine "):
        options.settings({"mine": value})
