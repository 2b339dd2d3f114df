"""Options of a run given by a program, as sent to a server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from amoc.client import run_fields
from amoc.client.run_fields import InstallOptions, RunOptions
from amoc.service.start_bodies import PlanBody, RepeatBody

OTHER_NAMES = {"settings": "set", "no_install": "install"}


def options_of(body: Any, *own: str) -> set[str]:
    return {OTHER_NAMES.get(name, name) for name in body.model_fields if name not in own}


def test_every_field_of_the_request_body_has_an_option() -> None:
    assert set(RunOptions.__annotations__) == options_of(PlanBody, "scenario")
    repeated = options_of(RepeatBody, "run", "settings", "comment")
    assert set(InstallOptions.__annotations__) == repeated - {"set", "comment"}


def test_options_become_the_fields_the_server_accepts() -> None:
    given: RunOptions = {
        "users": 0,
        "user_ids": range(5, 8),
        "stages": [("30s", 10), (timedelta(minutes=1), 0)],
        "duration": 1.5,
        "set": {"pause": timedelta(seconds=2), "names": ("a", "b")},
        "expect": "crashes == 0",
        "tags": ["slow", "all"],
        "on_nodes": "node1",
        "throttles": {"orders": "10/s"},
        "abort_on_fail": True,
        "install": False,
        "limited_ok": True,
    }
    made = run_fields.fields(given)
    assert made == {
        "users": 0,
        "user_ids": "5-7",
        "stages": "30s:10,60s:0",
        "duration": "1.5s",
        "settings": {"pause": 2.0, "names": ["a", "b"]},
        "expect": ["crashes == 0"],
        "tags": ["slow", "all"],
        "on_nodes": ["node1"],
        "throttles": {"orders": "10/s"},
        "abort_on_fail": "10s",
        "no_install": True,
        "limited_ok": True,
    }
    PlanBody(scenario="shop", **made)  # it does


def test_empty_options_are_not_sent() -> None:
    nothing: RunOptions = {
        "users": None,
        "expect": (),
        "comment": "",
        "set": {},
        "install": True,
        "locked": False,
        "abort_on_fail": False,
    }
    assert run_fields.fields(nothing) == {}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"throttles": "10/s"}, "throttles must be a dict"),
        ({"set": [1]}, "set must be a dict"),
        ({"duration": [1]}, "duration must be a duration"),
        ({"expect": [1]}, "expect must be a string or a list of strings"),
    ],
)
def test_a_wrong_type_is_rejected_by_its_name(given: dict[str, object], why: str) -> None:
    with pytest.raises(TypeError, match=f"^{why}"):
        run_fields.fields(given)
