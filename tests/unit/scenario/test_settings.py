"""Settings: declared with a description, resolved together, refused with name, value, source."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import ExitCode, ScenarioError, SettingError
from amoc.scenario import builtin_settings, live_settings, settings
from amoc.scenario.resolving import resolve
from amoc.scenario.settings import Source, Value


@pytest.fixture(autouse=True)
def _settings_of_its_own():
    with settings.separate():
        yield


def module(source: str, name: str = "chat", **names: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__dict__.update(names)
    exec("from amoc import Error, override, setting\n" + source, made.__dict__)
    return made


def declared(source: str) -> list[settings.Setting[Any]]:
    with settings.separate():
        return settings.declared({"chat": module(source)})


def one(source: str) -> settings.Setting[Any]:
    (found,) = declared(source)
    return found


def refusal(found: settings.Setting[Any], raw: object, label: str = "--set") -> str:
    with pytest.raises(SettingError) as caught:
        resolve([found], [Source(label, {found.name: raw}, True)])
    (problem,) = caught.value.problems
    return problem


def value(found: settings.Setting[Any], raw: object) -> Any:
    return resolve([found], [Source("--set", {found.name: raw}, True)])[found.name].value


# Declaring


def test_a_setting_takes_the_name_of_its_variable():
    found = declared('rate = setting(600, "Messages a minute")\nmode = setting("chat", "Kind")')
    assert [(each.name, each.module, each.description) for each in found] == [
        ("rate", "chat", "Messages a minute"),
        ("mode", "chat", "Kind"),
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = setting(600)", "needs a description"),
        ("x = setting(600, 5)", "needs a description"),
        ('x = setting(description="what")', "without a default needs type="),
        ('x = setting(None, "what")', "without a default needs type="),
        (
            'x = setting(1, "what", update="often")',
            "update= must be 'read-only', 'free' or a function",
        ),
    ],
)
def test_the_error_of_an_invalid_declaration_names_its_line(source, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        module(source)
    assert "<string>:2" in str(caught.value)


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("update=lambda new: None", r"update= must take \(old, new\), got <lambda>\(new\)"),
        ("verify=lambda: True", r"verify= must take \(value\), got <lambda>\(\)"),
        ("parse=lambda text, unit: 1", r"parse= must take \(text\), got <lambda>\(text, unit\)"),
        ("parse='json'", "parse= must be a function of the text, got 'json'"),
    ],
)
def test_functions_of_a_setting_must_accept_their_arguments(declaration, message):
    with pytest.raises(ScenarioError, match=message):
        module(f'x = setting(1, "what", {declaration})')


def test_functions_with_extra_defaults_or_no_signature_are_accepted():
    found = declared(
        'a = setting(1, "a", update=lambda old, new, why="": None, verify=lambda *values: True)\n'
        'b = setting(1, "b", parse=int, update=max)'
    )
    assert [each.name for each in found] == ["a", "b"]


def test_all_invalid_declarations_of_an_import_are_collected():
    settings.importing(True)
    chat = module(
        "a = setting(1)\n"
        'b = setting(1, "b", update="often")\n'
        'setting(1, "lost")\n'
        'c = setting(1, "c")\n'
        'override("no_such", 2)'
    )
    settings.importing(False)
    helper = module('c = setting(1, "c")', "helper")
    with pytest.raises(ScenarioError) as caught:
        settings.declared({"chat": chat, "helper": helper})
    problems = str(caught.value).splitlines()
    assert [one.split(",")[0] for one in problems] == [
        "a setting needs a description as its second argument (<string>:2)",
        "update= must be 'read-only'",
        "a setting must be assigned to a variable of its module chat",
        "setting c is declared twice: in chat and in helper",
        "override() in <string>:6: 'no_such' is not a setting; known: a",
    ]


def test_invalid_declarations_of_a_module_no_longer_imported_are_ignored():
    settings.importing(True)
    module("a = setting(1)", "gone")
    settings.importing(False)
    assert settings.declared({}) == []


def test_a_setting_without_a_variable_is_refused():
    with pytest.raises(ScenarioError, match="variable of its module chat") as caught:
        declared('setting(1, "lost")')
    assert "'lost'" in str(caught.value)


def test_the_error_for_two_settings_of_one_name_names_both_modules():
    modules = {name: module('rate = setting(1, "r")', name) for name in ("chat", "helper")}
    with pytest.raises(ScenarioError, match="rate is declared twice: in chat and in helper"):
        settings.declared(modules)


def test_a_setting_imported_by_another_module_counts_once():
    helper = module('rate = setting(1, "r")', "helper")
    chat = types.ModuleType("chat")
    chat.rate = helper.rate
    assert [each.module for each in settings.declared({"helper": helper, "chat": chat})] == [
        "helper"
    ]


# A scenario's own defaults


def overridden(scenario: str, helper: str = 'rate = setting(600, "Rate", verify=[1, 600])'):
    made = {"helper": module(helper, "helper")}
    settings.importing(True)
    made["chat"] = module(scenario)
    settings.importing(False)
    return settings.declared(made)


def test_an_override_replaces_the_default_but_any_source_wins_over_it():
    found = overridden('override("rate", 1)')
    assert resolve(found, []) == {"rate": Value(1, "override() in <string>:2")}
    given = [Source("amoc.toml", {"rate": 600}, True)]
    assert resolve(found, given) == {"rate": Value(600, "amoc.toml")}


def test_an_override_gives_a_required_setting_its_value():
    found = overridden('override("host", "a")', 'host = setting(description="H", type=str)')
    assert resolve(found, [])["host"].value == "a"


def test_an_override_is_checked_like_any_other_value():
    with pytest.raises(SettingError, match="rate must be one of 1, 600, got 2") as caught:
        resolve(overridden('override("rate", 2)'), [])
    assert str(caught.value).endswith("(from override() in <string>:2)")


def test_the_last_override_wins():
    found = overridden('override("rate", 600)\noverride("rate", 1)')
    assert resolve(found, [])["rate"] == Value(1, "override() in <string>:3")


def test_an_override_of_a_module_no_longer_imported_is_ignored():
    (found,) = overridden('override("rate", 1)')
    settings.declared({"helper": types.SimpleNamespace(rate=found)})
    assert resolve([found], [])["rate"] == Value(600, "default")


def test_overriding_a_setting_needed_before_the_import_is_refused():
    with settings.separate(builtin_settings.workers):
        settings.importing(True)
        chat = module('override("workers", 2)')
        settings.importing(False)
        modules = {builtin_settings.__name__: builtin_settings, "chat": chat}
        with pytest.raises(
            ScenarioError, match="workers is needed before the scenario is imported"
        ):
            settings.declared(modules)


def test_an_override_after_the_import_is_refused():
    settings.apply({})
    with pytest.raises(ScenarioError, match="must be called at the top level of a module, got 'a'"):
        module('override("a", 1)')


def test_outside_a_run_a_setting_has_its_overridden_default():
    (found,) = overridden('override("rate", 1)')
    assert found.get() == 1


# Resolving


def test_parse_is_called_only_for_text_from_a_source():
    found = one(
        'x = setting((1, 2), "x", parse=lambda text: text.split("-"), type=tuple[int, int])'
    )
    assert value(found, "3-4") == (3, 4)
    assert value(found, [5, 6]) == (5, 6)
    assert resolve([found], [])["x"].value == (1, 2)
    assert refusal(found, "3-a").startswith("x must be a valid integer")
    text = one('t = setting("a-b", "t", parse=str.upper)')
    assert resolve([text], [])["t"].value == "a-b"
    assert value(text, "c") == "C"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('must be even')", "x must be even"),
        ("return Error('must be odd')", "x must be odd"),
        ("raise KeyError('k')", "x fails its check with KeyError('k')"),
        ("raise SystemExit(3)", "x fails its check with SystemExit(3)"),
    ],
)
def test_errors_of_parse_name_the_setting(body, reason):
    found = one(f'def read(text):\n    {body}\nx = setting(1, "x", parse=read)')
    assert refusal(found, "5") == f"{reason}, got '5' (from --set)"


def test_undeclared_names_can_be_read_when_no_source_is_strict():
    found = declared('rate = setting(1, "r")')
    sources = [
        Source("--set", {"colour": "red"}, False),
        Source("AMOC_{name}", {"colour": "blue", "size": "2", "rate": "3"}, False),
    ]
    values = resolve(found, sources)
    assert values == {
        "colour": Value("red", "--set"),
        "size": Value("2", "AMOC_SIZE"),
        "rate": Value(3, "AMOC_RATE"),
    }
    settings.apply(values)
    assert settings.get("colour") == "red"


def test_an_undeclared_name_is_refused_with_the_option_that_allows_it():
    with pytest.raises(SettingError, match=r"not a setting of.*; --allow-undeclared allows others"):
        resolve([], [Source("--set", {"colour": "red"}, True)])
    settings.apply({})
    with pytest.raises(SettingError, match="use --allow-undeclared with --set colour="):
        settings.get("colour")


@given(st.lists(st.booleans(), min_size=3, max_size=3))
def test_the_strongest_source_that_has_a_value_wins(given_by):
    found = one('rate = setting(0, "r")')
    labels = ["--set", "AMOC_{name}", "amoc.toml"]
    sources = [
        Source(label, {"rate": str(number)} if has else {}, True)
        for number, (label, has) in enumerate(zip(labels, given_by, strict=True), start=1)
    ]
    expected = Value(0, "default")
    for number, (label, has) in reversed(list(enumerate(zip(labels, given_by, strict=True), 1))):
        if has:
            expected = Value(number, label.format(name="RATE"))
    assert resolve([found], sources) == {"rate": expected}


def test_all_problems_are_reported_at_once_each_in_one_line():
    found = declared(
        'rate = setting(1, "r")\nmode = setting("a", "m", verify=["a", "b"])\n'
        'host = setting(description="The host", type=str)'
    )
    sources = [
        Source("--set", {"rate": "many", "speed": "9"}, True),
        Source("AMOC_{name}", {"mode": "c", "path": "/"}, False),
        Source("amoc.toml", {"colour": "red"}, True),
    ]
    with pytest.raises(SettingError) as caught:
        resolve(found, sources)
    problems = caught.value.problems
    assert len(problems) == 5
    assert not [problem for problem in problems if "\n" in problem or problem.endswith(".")]
    text = str(caught.value)
    assert "rate must be a valid integer, got 'many' (from --set)" in text
    assert "mode must be one of 'a', 'b', got 'c' (from AMOC_MODE)" in text
    assert "speed is not a setting of this scenario, got '9' (from --set)" in text
    assert "colour is not a setting of this scenario, got 'red' (from amoc.toml)" in text
    assert "known: host, mode, rate" in text
    assert "host must be set (The host); use --set host=…, AMOC_HOST" in text
    assert caught.value.exit_code is ExitCode.SETTING


def test_an_unknown_name_in_the_environment_is_ignored():
    environment = Source("AMOC_{name}", {"whatever": "1"}, False)
    assert resolve([], [Source("--set", {}, True), environment]) == {}


def test_no_value_is_applied_if_one_is_refused():
    found = declared('rate = setting(1, "r")\nmode = setting(2, "m")')
    with pytest.raises(SettingError):
        resolve(found, [Source("--set", {"rate": "5", "mode": "x"}, True)])
    assert found[0].get() == 1


@pytest.mark.parametrize(
    ("declaration", "raw", "expected"),
    [
        ('setting(1, "x")', "7", 7),
        ('setting(1.5, "x")', "2", 2.0),
        ('setting(1.5, "x")', "infinity", float("inf")),
        ('setting(True, "x")', "no", False),
        ('setting("a", "x")', "7", "7"),
        ('setting("a", "x")', "[1", "[1"),
        ('setting([1], "x", type=list[int])', "[1, 2]", [1, 2]),
        ('setting({}, "x", type=dict[str, int])', '{"a": 1}', {"a": 1}),
        ('setting(None, "x", type=int | None)', "5", 5),
        ('setting(["a"], "x")', ["b"], ["b"]),
    ],
)
def test_text_becomes_a_value_of_the_settings_type(declaration, raw, expected):
    found = value(one(f"x = {declaration}"), raw)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("declaration", "raw"),
    [
        ('setting(1, "x")', "1.5"),
        ('setting(1, "x")', ""),
        ('setting(1.0, "x")', "fast"),
        ('setting(True, "x")', "maybe"),
        ('setting([1], "x", type=list[int])', "[1, a"),
        ('setting([1], "x", type=list[int])', '["a"]'),
        ('setting(1, "x", verify=lambda n: n > 5)', "3"),
        ('setting(1, "x", verify=lambda n: Error("must be odd"))', "4"),
        ('setting(1, "x", verify=lambda n: 1 / 0)', "4"),
    ],
)
def test_a_refusal_names_setting_value_and_source_in_one_line(declaration, raw):
    problem = refusal(one(f"x = {declaration}"), raw)
    assert problem.startswith("x ")
    assert problem.endswith(f"got {raw!r} (from --set)")
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ('lambda n: Error("must be odd")', "x must be odd, got 4"),
        ("lambda n: False", "<string>:3"),
        ("by_raising", "x must be prime, got 4"),
        ("lambda n: 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_check_may_refuse_in_several_ways_with_its_reason(check, said):
    by_raising = "def by_raising(n): raise ValueError('must be prime')"
    found = one(f'{by_raising}\nx = setting(1, "x", verify={check})')
    assert said in refusal(found, 4)


def test_a_reason_of_several_lines_is_shown_in_one():
    found = one('x = setting(1, "x", verify=lambda n: Error("must be odd\\nand small"))')
    assert "\n" not in refusal(found, 2)


@pytest.mark.parametrize(("check", "expected"), [("None", 3), ("True", 3), ("n * 2", 6), ("n", 3)])
def test_a_check_may_accept_or_replace_the_value(check, expected):
    assert value(one(f'x = setting(1, "x", verify=lambda n: {check})'), "3") == expected


def test_a_default_is_checked_like_any_other_value():
    with pytest.raises(SettingError, match=r"x must be one of 2, 3, got 1 \(from default\)"):
        resolve([one('x = setting(1, "x", verify=[2, 3])')], [])


# Secrets


@pytest.mark.parametrize(
    ("name", "check", "raw"),
    [
        ("x_password", "lambda v: v['a']", "s3cret"),
        ("x_password", "lambda v: int(v)", "s3cret"),
        ("x_password", "lambda v: Error('must not be ' + v)", "s3cret"),
        ("x_password", "lambda v: {}[v]", "s3cret"),
        ("x_password", "lambda v: False", "s3cret"),
        ("x", "lambda v: {}[v[0]['token']]", [{"token": "s3cret"}]),
        ("x", "lambda v: {}[v[0]['token']]", '[{"token": "s3cret"}]'),
    ],
)
def test_a_refusal_does_not_show_a_secret(name, check, raw):
    kind = "str" if name == "x_password" else "list[dict[str, str]]"
    found = one(f"{name} = setting(description='x', type={kind}, verify={check})")
    problem = refusal(found, raw)
    assert "s3cret" not in problem
    assert "(hidden)" in problem
    assert problem.startswith((f"{name} must", f"{name} fails its check with "))
    assert "s3cret" not in refusal(found, [{"token": "s3cret"}, 5])


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "gevent.Timeout"])
def test_any_exception_in_a_check_refuses_the_value(kind):
    found = one(
        f"import gevent\ndef check(value):\n    raise {kind}(7)\nx = setting(1, 'x', verify=check)"
    )
    name = kind.rpartition(".")[2]
    problem = refusal(found, 2)
    assert problem.startswith("x fails its check with ")
    assert name in problem


def test_a_check_may_raise_error_instead_of_returning_it():
    found = one(
        "from amoc import Error\n"
        "def check(value):\n    raise Error('is for Sundays')\n"
        "x = setting(1, 'x', verify=check)"
    )
    assert refusal(found, 2) == "x is for Sundays, got 2 (from --set)"


def test_the_error_for_an_unknown_setting_does_not_show_a_secret():
    with pytest.raises(SettingError) as caught:
        resolve([], [Source("amoc.toml", {"accounts": [{"password": "s3cret"}]}, True)])
    assert "s3cret" not in str(caught.value)


def test_the_error_of_an_update_function_does_not_show_a_secret(monkeypatch):
    made = module(
        "x_token = setting('', 'x', update=lambda old, new: {}[new])\n"
        "accounts = setting([{}], 'x', update=lambda old, new: {}[new[0]['password']])"
    )
    monkeypatch.setitem(sys.modules, "chat", made)
    for values in ({"x_token": "s3cret"}, {"accounts": [{"password": "s3cret"}]}):
        problem = live_settings.apply(values).problem
        assert problem == f"the update function of {next(iter(values))} failed: KeyError"
        assert "s3cret" not in problem


def test_an_update_is_applied_passed_to_its_function_and_can_be_reverted(monkeypatch):
    told = []
    made = module(
        "rate = setting(1, 'x', update=told)\n"
        "mode = setting('a', 'x', verify=['a', 'b'], update='free')\n"
        "fixed = setting(1, 'x')",
        told=lambda old, new: told.append((old, new)),
    )
    monkeypatch.setitem(sys.modules, "chat", made)
    settings.apply(resolve(settings.declared(), []))
    applied = live_settings.apply({"rate": "2", "mode": "a"})
    assert applied == live_settings.Applied({"rate": (1, 2)}, "")
    live_settings.apply({"rate": "3", "mode": "b"})
    assert (made.rate.get(), made.mode.get()) == (3, "b")
    live_settings.revert({"rate": "2"}, ["mode"])
    assert (made.rate.get(), made.mode.get()) == (2, "a")
    assert told == [(1, 2), (2, 3), (3, 2)]
    with pytest.raises(SettingError) as caught:
        live_settings.verify({"fixed": 2, "mode": "c", "nobody": 1})
    assert len(caught.value.problems) == 3
    assert (made.rate.get(), made.mode.get(), made.fixed.get()) == (2, "a", 1)


def test_no_update_function_is_called_after_one_that_fails(monkeypatch):
    told = []
    made = module(
        "first = setting(1, 'x', update=lambda old, new: {}[new])\n"
        "second = setting(1, 'x', update=told)",
        told=lambda old, new: told.append((old, new)),
    )
    monkeypatch.setitem(sys.modules, "chat", made)
    settings.apply(resolve(settings.declared(), []))
    applied = live_settings.apply({"first": 2, "second": 2})
    assert applied.problem == "the update function of first failed: KeyError(2)"
    assert told == []


@pytest.mark.parametrize(
    ("name", "resolved", "text"),
    [
        ("rate", Value(5.0, "--set"), "5"),
        ("x_password", Value("s3cret", "--set"), "(hidden)"),
        ("x_password", Value("guest", "default"), "guest"),
        ("accounts", Value([{"password": "s3cret"}], "--set"), '[{"password": "(hidden)"}]'),
        ("accounts", Value([{"password": "s3cret"}], "default"), '[{"password": "(hidden)"}]'),
        ("accounts", Value([{"user": "a"}], "--set"), "[{'user': 'a'}]"),
    ],
)
def test_a_value_is_shown_without_its_secrets(name, resolved, text):
    assert settings.as_text(name, resolved) == text


# Reading


def test_a_value_can_be_read_once_it_is_applied():
    found = one('rate = setting(1, "r")')
    settings.apply({"rate": Value(5, "--set")})
    assert found.get() == settings.get("rate") == 5


def test_outside_a_run_a_setting_has_its_checked_default():
    assert one('rate = setting(1, "r", verify=lambda n: n * 2)').get() == 2


def test_reading_a_setting_during_the_import_is_an_error():
    settings.importing(True)
    with pytest.raises(ScenarioError, match=r"'r' is read while .* known from init\(\) on"):
        module('rate = setting(1, "r")\nrate.get()')
    settings.importing(False)


def test_get_returns_the_given_default_for_a_missing_value_or_raises():
    assert settings.get("nowhere", 7) == 7
    assert settings.get("nowhere", None) is None
    with pytest.raises(SettingError, match="nowhere has no value"):
        settings.get("nowhere")


# amoc's own

OWN = {
    name: each
    for name, each in vars(builtin_settings).items()
    if isinstance(each, settings.Setting)
}
for _name, _each in OWN.items():
    _each.name = _name


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("interarrival", "0", 0.0),
        ("interarrival", 12, 12.0),
        ("user_rate", "infinity", float("inf")),
        ("interarrival", "0.001", 0.001),
        ("interarrival", "1us", 0.001),
        ("user_rate", "600", 600.0),
        ("user_rate", "0", 0.0),
        ("user_rate", "60000000", 6e7),
        ("interarrival", "50ms", 50.0),
        ("interarrival", "1s", 1000.0),
        ("repeat_interval", "60s", 60_000.0),
        ("repeat_interval", "500", 500.0),
        ("repeat_interval", "1m30s", 90_000.0),
        ("repeat_interval", 500, 500.0),
        ("repeat_interval", 0, 0.0),
        ("repeat_interval", "inf", float("inf")),
        ("repeat_num", "3", 3),
        ("repeat_num", "infinity", float("inf")),
        ("workers", "4", 4),
    ],
)
def test_amocs_own_settings_accept_valid_values(name, raw, expected):
    assert value(OWN[name], raw) == expected


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("interarrival", "-1"),
        ("interarrival", "nan"),
        ("user_rate", "0.5"),
        ("interarrival", "1e9"),
        ("user_rate", "-5"),
        ("user_rate", "nan"),
        ("user_rate", "60000001"),
        ("user_rate", "1e300"),
        ("interarrival", "0.0009"),
        ("interarrival", 5e-324),
        ("repeat_interval", "-1s"),
        ("repeat_interval", "soon"),
        ("repeat_interval", -5),
        ("repeat_interval", True),
        ("repeat_interval", [1]),
        ("repeat_num", "0"),
        ("repeat_num", "nan"),
        ("repeat_num", "1.5"),
        ("workers", "0"),
        ("workers", "513"),
        ("workers", "1.5"),
    ],
)
def test_amocs_own_settings_refuse_invalid_values(name, raw):
    problem = refusal(OWN[name], raw)
    assert problem.startswith((f"{name} must be ", f"{name} must not be "))
    assert problem.count("got ") == 1
    assert problem.endswith(f"got {raw!r} (from --set)")


@pytest.mark.parametrize("name", sorted(OWN))
def test_amocs_own_defaults_pass_their_own_checks(name):
    resolve([OWN[name]], [])
