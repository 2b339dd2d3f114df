"""Plugins: installed ones are loaded, and a failure is one clear error."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode, UsageError
from amoc.scenario import plugins

Install = Callable[[str, str, str], EntryPoint]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution with one plugin: its name, its entry point, its module's text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(name: str, target: str, text: str) -> EntryPoint:
        module = target.partition(":")[0]
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {target}\n")
        (found,) = entry_points(group=plugins.GROUP, name=name)
        return found

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_is_imported_and_named_with_its_distribution(install: Install) -> None:
    entry = install("probe", "probe_module", "LOADED = True\n")
    (plugin,) = plugins.load("controller", [entry])
    assert str(plugin) == "probe (probe 1.2)"
    assert sys.modules["probe_module"].LOADED


def test_a_function_is_called_with_the_role(install: Install) -> None:
    text = "roles = []\ndef set_up(role):\n    roles.append(role)\n"
    entry = install("caller", "caller_module:set_up", text)
    for role in plugins.ROLES:
        plugins.load(role, [entry])
    assert sys.modules["caller_module"].roles == ["controller", "supervisor"]


def test_installed_plugins_are_found(install: Install) -> None:
    install("found", "found_module", "")
    assert "found (found 1.2)" in map(str, plugins.load("controller"))


def test_plugins_are_loaded_in_the_order_of_their_names(install: Install) -> None:
    entries = [install(name, f"{name}_module", "") for name in ("zebra", "ant")]
    assert [one.name for one in plugins.load("controller", entries)] == ["ant", "zebra"]


@pytest.mark.parametrize(
    ("target", "text", "why"),
    [
        ("broken_a", "import nothing_like_it\n", "ModuleNotFoundError: No module named"),
        ("broken_b:missing", "", "AttributeError: "),
        ("broken_c:VALUE", "VALUE = 7\n", "must be a module or a function, got 7"),
        ("broken_d:fail", "def fail(role):\n    raise OSError('no disk')\n", "OSError: no disk ("),
        ("broken_e", "raise SystemExit('bye')\n", "SystemExit: bye ("),
        (
            "broken_f",
            "from amoc import events\n@events.on('user.adde')\ndef hear(event): ...\n",
            "no event matches 'user.adde'; did you mean user.added?",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_reported_in_one_line(
    install: Install, target: str, text: str, why: str
) -> None:
    entry = install("probe", target, text)
    with pytest.raises(UsageError) as refused:
        plugins.load("controller", [entry])
    message = str(refused.value)
    assert re.match(r"plugin probe \(probe 1\.2\) cannot be loaded in its entry point ", message)
    assert why in message
    assert "\n" not in message
    assert refused.value.exit_code is ExitCode.USAGE
