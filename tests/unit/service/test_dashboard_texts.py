"""Texts of the dashboard's forms and tables, derived from scenarios and runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from amoc.results.run_list import ListedRun
from amoc.results.series import ThrottlePoint
from amoc.results.summary_types import SettingPart
from amoc.service.answers import SettingBody
from amoc.service.dashboard import forms, parts, runs_table
from amoc.service.start_bodies import StartBody


def setting(**given: Any) -> SettingBody:
    """A setting as described by `amoc.service.describe`."""
    described = {
        "name": "pause",
        "description": "How long to wait",
        "module": "shop",
        "own": True,
        "type": {"type": "number"},
        "choices": None,
        "required": False,
        "default": 0.5,
        "secret": False,
        "update": "free",
        **given,
    }
    return SettingBody.model_validate(described)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("number", "number", "0.5")),
        ({"type": {"type": "integer"}, "default": 3}, ("number", "number", "3")),
        ({"default": "Infinity"}, ("text", "json", "Infinity")),
        ({"type": {"type": "string"}, "default": "calm"}, ("text", "text", "calm")),
        ({"type": {}, "default": [1, 2]}, ("text", "json", "[1,2]")),
        ({"type": {"type": "string"}, "default": None}, ("text", "text", "")),
        (
            {"type": {"type": "string"}, "default": "s3cret", "secret": True},
            ("password", "text", ""),
        ),
    ],
)
def test_a_setting_becomes_a_field_of_its_type(given, expected):
    field = forms.field(setting(**given))
    assert (field.input, field.kind, field.default) == expected
    assert field.help == "How long to wait"
    assert not field.choices


def test_a_setting_with_choices_becomes_a_select():
    field = forms.field(setting(choices=["calm", "wild"], default="wild"))
    assert field.choices == [('"calm"', "calm"), ('"wild"', "wild")]
    assert field.default == '"wild"'
    switch = forms.field(setting(type={"type": "boolean"}, default=False))
    assert switch.choices == [("true", "True"), ("false", "False")]
    assert switch.default == "false"


def test_a_required_choice_has_no_preselected_value():
    field = forms.field(setting(choices=[1, 2], required=True, default=None))
    assert field.choices[0] == ("", "choose one…")
    assert field.default == ""
    assert field.required


def test_settings_of_the_scenario_come_first():
    own, other = setting(), setting(name="repeat_num", own=False)
    assert [
        (title, [one.name for one in fields]) for title, fields in forms.groups([other, own])
    ] == [("Settings of the scenario", ["pause"]), ("Other settings", ["repeat_num"])]
    assert forms.groups([]) == []


def in_force(name: str, value: str, module: str = "shop") -> SettingPart:
    return {
        "name": name,
        "value": value,
        "source": "default",
        "description": "How long to wait",
        "module": module,
    }


def test_a_setting_is_changed_with_the_same_field_as_at_the_start():
    limits = {"type": "integer", "minimum": 1, "maximum": 9}
    described = [
        setting(name="goods", type=limits, default=3),
        setting(name="mood", choices=["calm", "wild"], default="calm"),
        setting(name="fixed", update="read-only"),
        setting(name="repeat_num", own=False, type={"type": "integer"}),
    ]
    now = [in_force("goods", "4"), in_force("mood", "wild"), in_force("fixed", "1")]
    now.append(in_force("repeat_num", "7", "amoc.scenario.builtin_settings"))
    (title, own), (other_title, others) = forms.changeable(described, now)
    assert (title, other_title) == ("Settings", "Other settings")
    (goods, goods_now), (mood, mood_now) = own
    assert (goods.input, goods.low, goods.high, goods.default) == ("number", 1, 9, "")
    assert goods.placeholder == "1 to 9"
    assert (goods_now, mood_now) == ("4", "wild")
    assert goods.required
    assert mood.choices == [('"calm"', "calm"), ('"wild"', "wild")]
    assert mood.default == '"wild"', "the current value is selected"
    assert [(one.name, value) for one, value in others] == [("repeat_num", "7")]


def test_settings_of_an_unknown_scenario_are_changed_as_text():
    now = [in_force("pause", "0.5"), in_force("repeat_num", "7", "amoc.scenario.builtin_settings")]
    [(_, [(field, value)])] = forms.changeable(None, now)
    assert (field.name, field.kind, field.help, value) == (
        "pause",
        "json",
        "How long to wait",
        "0.5",
    )
    assert forms.changeable([], now) == []


def test_field_ids_are_unique():
    settings = [setting(name="seed"), setting(name="workers", own=False)]
    fields = [*forms.load(), *(one for _, found in forms.groups(settings) for one in found)]
    assert len({one.id for one in fields}) == len(fields)
    assert [(one.name, one.of) for one in fields if one.name in ("seed", "workers")] == [
        ("workers", "start"),
        ("seed", "start"),
        ("seed", "settings"),
    ]


def test_start_options_match_the_rest_body():
    fields = {one.name: one for one in forms.load()}
    assert fields.keys() <= StartBody.model_fields.keys()
    assert fields["users"].kind == fields["max_users"].kind == fields["seed"].kind == "number"
    assert fields["duration"].kind == fields["arrival_rate"].kind == "text"
    assert fields["expect"].label == "thresholds"


@pytest.mark.parametrize(
    ("rate", "interval_s", "text"),
    [
        (None, 60.0, "inf"),
        (600.0, 60.0, "10/s"),
        (30.0, 60.0, "30/min"),
        (0.0, 1.0, "0/s"),
        (5.0, 0.0, "5"),
    ],
)
def test_a_rate_is_shown_in_the_form_it_is_entered(rate, interval_s, text):
    assert parts.rate_text(ThrottlePoint(rate, interval_s, "run")) == text


def test_stopped_throttles_are_left_out_of_the_rates():
    there = {"b": ThrottlePoint(1.0, 1.0, "run", executions=1200, waiting=3), "a": ThrottlePoint()}
    assert parts.rates(there) == [("b", "1/s", "1,200/s", 3)]


def run(verdict: str = "ok", **given: Any) -> ListedRun:
    return ListedRun(
        "20261129T100000-shop", "there", "a/shop.py", "", verdict, "cache off", **given
    )


def test_a_finished_run_has_results_and_can_be_compared():
    row = runs_table.row(
        run(
            "failed thresholds", duration_s=61.0, users=1500, requests=1000, failures=10, p95_s=0.02
        )
    )
    assert (row.scenario, row.tone, row.users, row.requests) == ("shop.py", "bad", "1,500", "1,000")
    assert (row.p95, row.took) == ("20 ms", "61 s")
    assert row.failures.startswith("10")
    assert (row.over, row.end, row.failed, row.shown) == (True, "Stop", False, True)


@pytest.mark.parametrize(
    ("verdict", "over", "end", "failed", "shown"),
    [
        ("running", False, "Stop", False, True),
        ("queued", False, "Remove", False, False),
        ("starting", False, "Stop", False, False),
        ("failed", False, "Stop", True, False),
        ("killed", True, "Stop", False, True),
    ],
)
def test_actions_on_a_run_depend_on_its_state(verdict, over, end, failed, shown):
    row = runs_table.row(run(verdict), "no such file")
    assert (row.over, row.end, row.failed, row.shown) == (over, end, failed, shown)
    assert row.error == "no such file"


def test_a_run_of_several_scenarios_names_them_all():
    several = replace(run(), scenario="/srv/buy.py=10/s /srv/browse.py=100")
    assert runs_table.row(several).scenario == "buy.py=10/s browse.py=100"


def test_a_search_matches_runs_that_contain_all_its_words():
    found = [run(), run("killed")]
    assert runs_table.matching(found, "SHOP killed") == [found[1]]
    assert runs_table.matching(found, " ") == found
    assert runs_table.matching(found, "shop nothing") == []
