"""Error messages for invalid fields of a request."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from amoc.service.field_errors import field_errors
from amoc.service.requests import command_routes
from amoc.service.rest_runs import ListQuery, RunPath
from amoc.service.rest_scenarios import SourceBody
from amoc.service.start_bodies import StartBody

ADD = next(one.body for one in command_routes() if one.path == "add_users")


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (StartBody, {}, "scenario is required"),
        (StartBody, {"scenario": "a", "user": 3}, "user is not a field of this request"),
        (StartBody, {"scenario": 3}, "scenario must be a string, got 3"),
        (
            StartBody,
            {"scenario": "../a"},
            "scenario must be a name that GET /scenarios lists, or several with loads, got '../a'",
        ),
        (StartBody, {"scenario": "a", "users": "5"}, "users must be a whole number, got '5'"),
        (StartBody, {"scenario": "a", "users": 1.5}, "users must be a whole number, got 1.5"),
        (StartBody, {"scenario": "a", "users": True}, "users must be a whole number"),
        (StartBody, {"scenario": "a", "workers": 0}, "workers must be at least 1, got 0"),
        (
            StartBody,
            {"scenario": "a", "comment": "a\nb"},
            "comment must be one line of printable characters, got 'a\\nb'",
        ),
        (
            StartBody,
            {"scenario": "a", "limited_ok": "hm"},
            "limited_ok must be true or false, got 'hm'",
        ),
        (StartBody, {"scenario": "a", "settings": []}, "settings must be an object"),
        (StartBody, {"scenario": "a", "expect": [1]}, "expect.0 must be a string, got 1"),
        (
            StartBody,
            {"scenario": "a", "log_level": "all"},
            "log_level must be 'debug', 'info', 'warning' or 'error', got 'all'",
        ),
        (
            StartBody,
            {"scenario": "a", "at": "2030-01-01T00:00"},
            "at must have a time zone, such as 2026-12-01T02:00:00+01:00, got '2030-01-01T00:00'",
        ),
        (
            StartBody,
            {"scenario": "a", "comment": "x" * 2000},
            "comment must have at most 1000 characters",
        ),
        (ADD, {"users": 0}, "users must be at least 1, got 0"),
        (ListQuery, {"limit": 0}, "limit must be at least 1, got 0"),
        (RunPath, {"id": "-"}, "id must be the name of a run, or last, last~1 and so on, got '-'"),
        (SourceBody, {"scenario": "a", "module_source": 7}, "module_source must be a string"),
    ],
)
def test_an_error_names_the_field_the_rule_and_the_value(
    kind: type[BaseModel], given: object, told: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        kind.model_validate(given)
    [found] = field_errors(refusal.value.errors())
    assert " ".join(found).partition(", got 'xx")[0] == told


def test_an_error_does_not_reveal_a_secret() -> None:
    with pytest.raises(ValidationError) as refusal:
        StartBody.model_validate({"scenario": "a", "settings": {"password": b"hush"}})
    assert "hush" not in str(field_errors(refusal.value.errors()))
