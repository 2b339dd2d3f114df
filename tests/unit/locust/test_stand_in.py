"""Locustfiles are recognised and imported; unsupported features are named in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amoc.base import context
from amoc.base.errors import InitError, ScenarioError
from amoc.locust import options
from amoc.scenario import foreign, settings
from amoc.scenario.facts import RunFacts
from amoc.scenario.loader import Scenario, load
from amoc.scenario.resolving import resolve

Write = Callable[..., str]
USER = """
class Visitor(HttpUser):
    host = "http://127.0.0.1:9"
    @task
    def look(self): self.client.get("/")
"""
FILE = f"from locust import HttpUser, task\n{USER}"


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules and settings of a test afterwards, except amoc's own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    own = [one for one in settings.declared() if one.module.startswith("amoc.")]
    assert options.host in own
    with settings.separate(*own):
        yield
    for name in set(sys.modules) - set(before):
        if not name.startswith("amoc."):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(source: str, name: str = "locustfile.py") -> str:
        path = tmp_path / name
        path.write_text(source)
        return str(path)

    return write


def apply_settings(**values: object) -> None:
    """Apply settings, as before init()."""
    declared = settings.declared()
    settings.apply(resolve(declared, [settings.Source("--set", values, True)]))


def initialised(source: str, **values: object) -> Scenario:
    scenario = load(source)
    apply_settings(**values)
    scenario.init()
    return scenario


def test_a_file_that_imports_locust_and_defines_no_start_is_a_locustfile(write: Write) -> None:
    scenario = load(write(f'"""Visitors."""\n{FILE}'))
    assert (scenario.name, scenario.doc) == ("locustfile", "Visitors.")
    assert callable(scenario.module.start)
    assert callable(scenario.module.init)
    preset = {one.name: one.preset() for one in settings.declared()}
    assert preset["repeat_num"].value == 1


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("import locust", True),
        ("def load():\n    from locust.contrib.fasthttp import FastHttpUser", True),
        ("import locust.exception as e", True),
        ("import locust\n@locust.events.init.add_listener\ndef start(**_): ...", True),
        ("import locust\ndef start(user_id): ...", False),
        ("import locust\n@locust.tag('a')\ndef start(user_id): ...", False),
        ("import locust\nfrom other import begin as start", False),
        ("import locust\nstart = print", False),
        ("# as in locust\nimport time", False),
        ("import locustfiles", False),
        ("from .locust import x", False),
        ("import locust\nthis is no Python", False),
    ],
)
def test_recognition_of_locustfiles(write: Write, source: str, is_one: bool) -> None:
    assert (foreign.stand_in_for(Path(write(source))) is not None) is is_one


def test_helper_modules_get_the_same_locust(write: Write) -> None:
    write(
        "from locust import HttpUser, task\nclass Base(HttpUser):\n    abstract = True\n", "base.py"
    )
    source = FILE.replace("import HttpUser, task", "import task").replace("HttpUser)", "Base)")
    assert load(write(f"from base import Base\n{source}")).name == "locustfile"


def test_unsupported_imports_are_named_in_one_warning(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "from locust import events, MarkovTaskSet\n"
        "from locust_plugins.users import RestUser\n"
        "from locust.contrib.mongodb import MongoDBUser\n"
        "@events.worker_report.add_listener\n"
        "def told(**_): ...\n"
        "def later(self, environment):\n"
        "    environment.runner.send_message('x')\n"
        "    self.mount = 'get'.count(hooks=1)\n"
        "    return self.client.get('/', proxies={})\n"
    )
    scenario = load(write(source + FILE))
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    for name in (
        "locust.MarkovTaskSet",
        "locust_plugins.users.RestUser",
        "locust.contrib.mongodb.MongoDBUser",
        "events.worker_report",
        "runner.send_message",
        "proxies= of a request",
    ):
        assert line.count(name) == 1
    assert "hooks" not in line
    assert scenario.name == "locustfile"


@pytest.mark.parametrize(
    ("use", "named"),
    [
        ("from locust import MarkovTaskSet\nclass A(MarkovTaskSet): ...", "locust.MarkovTaskSet"),
        ("import locust\nlocust.stats.PERCENTILES[0]", "locust.stats.PERCENTILES"),
        ("from locust import argument_parser\nargument_parser()", "locust.argument_parser"),
        ("from locust import events\nevents.request_success.fire()", "events.request_success"),
        ("import locust\nlocust.web.app.route('/')", "locust.web.app"),
    ],
)
def test_using_an_unsupported_feature_is_an_error(write: Write, use: str, named: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(write(f"{use}\n{FILE}"))
    assert f"{named} is a feature of Locust that amoc does not support" in str(caught.value)


def test_a_locustfile_must_have_users_and_at_most_one_shape(write: Write) -> None:
    with pytest.raises(ScenarioError, match="has no user class"):
        load(write("import locust\nclass Base(locust.HttpUser):\n    abstract = True\n"))
    shape = "class S{n}(locust.LoadTestShape):\n    def tick(self): return None\n"
    with pytest.raises(ScenarioError, match="one load shape, got S1, S2"):
        load(write(f"import locust\n{shape.format(n=1)}{shape.format(n=2)}{FILE}"))


def test_a_shape_excludes_an_explicit_number_of_users(write: Write) -> None:
    run = context.WorkerContext()
    run.set(RunFacts, RunFacts(range(1, 11)))
    shape = "class S(locust.LoadTestShape):\n    def tick(self): return None\n"
    with (
        run.activated(),
        pytest.raises(InitError, match="S sets the number of users; do not give --users"),
    ):
        initialised(write(f"import locust\n{shape}{FILE}"))


def test_arguments_of_a_locustfile_are_settings(write: Write) -> None:
    source = """
from locust import events, HttpUser, task
@events.init_command_line_parser.add_listener
def arguments(parser):
    group = parser.add_argument_group("Mine", "of mine")
    group.add_argument("--depth", type=int, env_var="DEPTH", default=3, help="How deep")
    parser.add_argument("--my-kind", choices=["a", "b"], default="a")
    parser.add_argument("--quick", action="store_true", include_in_web_ui=False)
    parser.add_argument("--nothing", type=int)
@events.init.add_listener
def begun(environment, **_):
    seen.append(environment.parsed_options)
seen = []
"""
    run = context.WorkerContext()
    run.set(RunFacts, RunFacts(range(1, 11), 60.0))
    with run.activated():
        scenario = load(write(source + USER))
    names = {one.name: one.description for one in settings.declared()}
    assert names["depth"] == "How deep"
    apply_settings(depth="5", quick="true", workers=2, host="http://h")
    scenario.init()
    given = sys.modules["locustfile"].seen[0]
    assert (given.depth, given.my_kind, given.quick, given.nothing) == (5, "a", True, None)
    assert (given.host, given.num_users, given.spawn_rate) == ("http://h", 10, 20)
    assert given.run_time == 60
    with pytest.raises(ScenarioError, match=r"parsed_options\.web_port"):
        _ = given.web_port


def test_host_and_tags_from_the_command_line_are_applied(write: Write) -> None:
    source = FILE.replace("    @task", "    @tag('a')\n    @task").replace(
        "task\n", "tag, task\n", 1
    )
    initialised(write(source), host="http://other", tags="a b")
    visitor = sys.modules["locustfile"].Visitor
    assert (visitor.host, len(visitor.tasks)) == ("http://other", 1)
    with pytest.raises(InitError, match="class Visitor has no tasks, or none that the tags allow"):
        initialised(write(source, "again.py"), tags="c")


@pytest.mark.parametrize("given", [True, "true"])
def test_real_locust_must_be_installed_if_requested(
    write: Write, monkeypatch: pytest.MonkeyPatch, given: object
) -> None:
    monkeypatch.setitem(sys.modules, "locust", None)
    sources = [settings.Source("--real-locust", {"real_locust": given}, True)]
    with pytest.raises(
        ScenarioError, match="--real-locust requires Locust, which cannot be imported"
    ):
        load(write(FILE), sources=sources)
    off = [settings.Source("--set", {"real_locust": "false"}, True), *sources]
    assert load(write(FILE, "other.py"), sources=off).name == "other"


def test_a_host_must_be_known_before_users_start(write: Write) -> None:
    source = FILE.replace('host = "http://127.0.0.1:9"', "pass")
    with pytest.raises(InitError, match="host must be given: --host URL, or host = … in class Vis"):
        initialised(write(source))
    initialised(write(source, "given.py"), host="http://other")
    listener = "import locust\n@locust.events.init.add_listener\ndef begin(environment, **_): ...\n"
    initialised(write(listener + source, "later.py"))


def test_exceptions_of_requests_are_available_without_requests(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    for name in [one for one in sys.modules if one.partition(".")[0] == "requests"]:
        monkeypatch.delitem(sys.modules, name)
    source = (
        "import requests\nfrom requests.exceptions import HTTPError\n"
        "from requests.auth import HTTPBasicAuth\n"
        "assert issubclass(HTTPError, requests.RequestException)\n"
        "login = HTTPBasicAuth('ann', 'pw')\n"
    )
    load(write(source + FILE))
    with pytest.raises(ScenarioError, match=r"requests\.get is .* not support"):
        load(write(f"import requests\nrequests.get('http://127.0.0.1:9')\n{FILE}", "second.py"))
