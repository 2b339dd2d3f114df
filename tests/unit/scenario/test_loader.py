"""Scenarios: found, imported, checked; any error becomes one line with its place."""

from __future__ import annotations

import sys

import pytest

from amoc.base.errors import ExitCode, InitError, ScenarioError
from amoc.base.tracebacks import describe
from amoc.scenario import loader as scenario_module
from amoc.scenario import settings
from amoc.scenario.joined import Joined
from amoc.scenario.loader import load


@pytest.fixture(autouse=True)
def _imports_leave_no_trace(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    with settings.separate():
        yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(source: str, name: str = "chat.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return str(path)

    return write


def refused(source: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(source)
    assert caught.value.exit_code is ExitCode.SCENARIO
    text = str(caught.value)
    assert "\n" not in text
    assert source in text
    return text


START = "def start(user_id): return user_id\n"


def test_a_file_is_loaded_with_its_name_docstring_and_directory(write, tmp_path):
    found = load(write('"""Users chat.\n\nA lot."""\n' + START))
    assert (found.name, found.doc) == ("chat", "Users chat.\n\nA lot.")
    assert found.directory == str(tmp_path.resolve())


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("def start(user_id): return user_id, None", (7, None)),
        ("def start(user_id, state): return user_id, state", (7, "state")),
        ("def start(user_id, state=None): return user_id, state", (7, "state")),
        ("def start(*args): return args", (7, "state")),
        ("start = lambda user_id, state: (user_id, state)", (7, "state")),
        ("class S:\n  def __call__(self, user_id): return user_id, None\nstart = S()", (7, None)),
        ("def start(user_id, *, loud=False): return user_id, loud", (7, False)),
    ],
)
def test_start_is_called_with_the_state_if_it_accepts_it(write, form, expected):
    assert load(write(form)).start_with("state")(7) == expected


@pytest.mark.parametrize(
    "form", ["def start(): pass", "def start(a, b, c): pass", "def start(*, user_id): pass"]
)
def test_a_start_with_wrong_parameters_is_shown(write, form):
    text = refused(write(form))
    assert form.removeprefix("def start").removesuffix(": pass") in text
    assert "define start(user_id, state) or start(user_id)" in text


@pytest.mark.parametrize("form", ["", "start = 5", "start = None", "def Start(user_id): pass"])
def test_a_scenario_without_start_says_what_to_define(write, form):
    assert "has no start(); define start(user_id, state)" in refused(write(form))


@pytest.mark.parametrize(
    "form",
    [
        "async def start(user_id): pass",
        START + "async def init(): pass",
        START + "async def terminate(): pass",
        "async def start(user_id): yield",
    ],
)
def test_async_functions_are_refused(write, form):
    assert "must be a plain function, got an async one" in refused(write(form))


@pytest.mark.parametrize("name", ["start(user_id)", "init()", "terminate()"])
def test_generators_are_refused(write, name):
    form = f"def {name}:\n    yield\n"
    refused(write(form if name.startswith("start") else START + form))


@pytest.mark.parametrize(
    "form", ["init = 5", "terminate = 'x'", "def init(a): pass", "def terminate(a, b): pass"]
)
def test_an_init_or_terminate_that_cannot_be_called_is_refused(write, form):
    refused(write(START + form))


# Importing


def test_helpers_next_to_a_file_can_be_imported(write):
    write("word = 'hello'\n", "my_helper.py")
    found = load(write("import my_helper\ndef start(user_id): return my_helper.word\n"))
    assert found.start_with(None)(1) == "hello"


def test_a_module_is_loaded_by_its_name(write, tmp_path, monkeypatch):
    write(START, "package_of_mine/chat.py")
    monkeypatch.chdir(tmp_path)
    found = load("package_of_mine.chat")
    assert found.name == "package_of_mine.chat"
    assert found.start_with(None)(3) == 3


def test_a_file_named_like_a_standard_module_does_not_replace_it(write):
    import random

    found = load(write("import json\n" + START, "random.py"))
    assert found.name == "random"
    assert sys.modules["random"] is random
    assert found.module is not random


@pytest.mark.parametrize("name", ["two words.py", "1st.py", "with-dash.py", "ünïcode.py"])
def test_a_file_may_have_any_name(write, name):
    assert load(write(START, name)).name == name.removesuffix(".py")


def test_a_missing_file_is_named(tmp_path):
    assert refused(str(tmp_path / "no.py")).endswith("no.py does not exist")


def test_a_file_that_is_not_python_is_refused(write):
    assert "must be a Python file" in refused(write(START, "chat.txt"))


@pytest.mark.parametrize("name", ["no_such_module_here", "no_such_package_here.chat"])
def test_a_missing_module_is_reported_with_the_form_of_a_file(name):
    text = refused(name)
    assert "is neither a file (*.py) nor an importable module" in text


def test_a_missing_dependency_is_not_reported_as_a_missing_scenario(write):
    text = refused(write("import no_such_dependency\n" + START))
    assert "cannot be imported: ModuleNotFoundError: No module named 'no_such_dependency'" in text
    assert "chat.py:1 in <module>" in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def start(:\n", r"SyntaxError: .*chat\.py:1\)"),
        (
            "\n\nraise ValueError('no\\nhost')\n",
            r"ValueError: no host \(.*chat\.py:3 in <module>\)",
        ),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*chat\.py:2"),
        ("1 / 0\n", r"ZeroDivisionError: division by zero \(.*chat\.py:1"),
        ("raise KeyboardInterrupt\n", r"KeyboardInterrupt \(.*chat\.py:1"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: .*chat\.py:2 in <module>\)"),
    ],
)
def test_any_exception_of_the_import_is_one_line_with_its_place(write, body, message):
    import re

    assert re.search(message, refused(write(body)))


def test_an_error_in_a_helper_names_the_helpers_line(write):
    write("\nraise ValueError('bad')\n", "bad_helper.py")
    assert "bad_helper.py:2" in refused(write("import bad_helper\n" + START))


def test_a_file_that_is_not_text_is_refused(write, tmp_path):
    (tmp_path / "chat.py").write_bytes(b"\x00\xff\xfe")
    refused(str(tmp_path / "chat.py"))


def test_settings_cannot_be_read_while_a_scenario_is_imported(write):
    text = "from amoc import setting\nrate = setting(1, 'the rate')\nrate.get()\n"
    with pytest.raises(ScenarioError, match="is read while the scenario is imported"):
        load(write(text))
    assert settings.get("rate", 2) == 2


# Lifecycle


def test_init_returns_the_state_or_nothing(write):
    assert load(write(START + "def init(): return {'a': 1}\n")).init() == {"a": 1}
    assert load(write(START, "plain.py")).init() is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no\\nhost')", r"raised ValueError: no host \(.*chat\.py:3 in init\)$"),
        ("return Error('no such domain')", r"refused to start: no such domain$"),
        ("raise Error('no such domain')", r"refused to start: no such domain$"),
        ("raise SystemExit", r"raised SystemExit \("),
        ("raise KeyboardInterrupt", r"raised KeyboardInterrupt \("),
        ("return config.get('nowhere')", r"raised SettingError: nowhere has no value"),
    ],
)
def test_an_init_that_fails_stops_the_run_with_its_reason(write, body, message):
    found = load(write(f"from amoc import Error, config\n{START.strip()}\ndef init(): {body}\n"))
    with pytest.raises(InitError, match=message) as caught:
        found.init()
    assert caught.value.exit_code is ExitCode.INIT_FAILED
    assert "\n" not in str(caught.value)


def test_terminate_is_called_with_the_state_if_it_accepts_it(write):
    seen = "seen = []\n" + START
    first = load(write(seen + "def terminate(state): seen.append(state)\n"))
    first.terminate("state")
    assert first.module.seen == ["state"]
    second = load(write(seen + "def terminate(): seen.append('called')\n", "second.py"))
    second.terminate("state")
    assert second.module.seen == ["called"]
    load(write(START, "third.py")).terminate("state")


def test_a_terminate_that_raises_is_reported_with_its_line(write):
    found = load(write(START + "def terminate(state): raise OSError(5, 'gone')\n"))
    with pytest.raises(
        ScenarioError, match=r"raised OSError: \[Errno 5\] gone \(.*chat\.py:2 in terminate\)"
    ):
        found.terminate(None)


def test_a_terminate_that_gives_a_reason_is_reported_by_it(write):
    source = "from amoc import Error\ndef terminate(state): raise Error('2 rooms are left')\n"
    found = load(write(START + source))
    with pytest.raises(ScenarioError, match=r"^terminate\(\) of \S* failed: 2 rooms are left$"):
        found.terminate(None)


def test_an_exception_whose_str_fails_can_still_be_described():
    class Broken(Exception):
        def __str__(self):
            return self.missing

    assert describe(Broken()).startswith("Broken")


@pytest.mark.parametrize(
    ("source", "expected"),
    [("chat.py", True), ("./chat", True), ("a/b", True), ("chat", False), ("a.b", False)],
)
def test_a_path_is_distinguished_from_a_module_name(source, expected):
    assert scenario_module.is_path(source) is expected


def test_users_see_the_state_its_items_and_the_variables_of_the_module(write):
    scenario = load(write("rows = [1]\n" + START))
    seen = scenario.visible({"a": 1, 2: "not by name"})
    assert (seen["rows"], seen["state['a']"]) == ([1], 1)
    assert not [name for name in seen if name.startswith("__") or "2" in name]
    data = {str(number): number for number in range(1_001)}
    assert [name for name in scenario.visible(data) if name.startswith("state")] == ["state"]


def test_users_of_several_scenarios_see_the_state_and_variables_of_their_own(write):
    text = "rows = [{0}]\n" + START + "def init(): return {0}\n"
    parts = tuple(load(write(text.format(n), f"part{n}.py")) for n in (1, 2))
    one = Joined("both", "both", "", "", parts[0].module, parts, lambda *_: ((), None, 0))
    seen = one.visible(one.init())
    assert [seen[f"part{n}: rows"] for n in (1, 2)] == [[1], [2]]
    assert [seen[f"part{n}: state"] for n in (1, 2)] == [1, 2]
