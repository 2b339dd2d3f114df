"""A module whose opening line says ``Pure.`` decides and does nothing else.

So it may import, itself or through others, no event loop, no sockets and no processes. That a
package's ``__init__`` names more than that is no matter: the module itself counts.

Tests use what is public: a name with an underscore belongs to the module or class around it. So
code can change inside without its tests, and what a test has to see or to change is something that
the code offers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.rooms import MODULES, ROOT, is_pure, way_to_impure

PURE = [module for module in MODULES if is_pure(module)]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PUBLIC = frozenset({"_asdict", "_exit", "_fields", "_make", "_replace", "_repr_html_"})
"""Names of the standard library and of notebooks that are documented all the same."""
ALLOWED = frozenset({"_session"})
"""An XMPP client's session is not for scenarios; tests of the wire look at its stream."""
PATCHING = frozenset({"delattr", "getattr", "hasattr", "object", "patch", "setattr"})


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_no_event_loop_and_no_sockets(module: str):
    assert way_to_impure(module) == []


def test_there_are_pure_modules_and_others():
    assert len(PURE) > 60
    assert way_to_impure("amoc.throttle.worker")


def test_the_root_holds_four_files():
    names = {path.name for path in (ROOT / "amoc").iterdir() if path.is_file()}
    assert names == {"__init__.py", "__main__.py", "_version.py", "py.typed"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC | ALLOWED


def private_names(source: str) -> Iterator[str]:
    """Private names of others that `source` reads, sets, patches or imports."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if is_private(name):
                yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called)) if (
                called in PATCHING
            ):
                for one in node.args:
                    text = one.value if isinstance(one, ast.Constant) else None
                    if isinstance(text, str) and any(map(is_private, text.split("."))):
                        yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.ImportFrom(module=module, names=names) if module != "__future__":
                for alias in names:
                    if is_private(alias.name):
                        yield f"{node.lineno}: {alias.name} of {module}"


def test_tests_use_no_private_names():
    found = {str(file.relative_to(ROOT)): list(private_names(file.read_text())) for file in TESTS}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "monkeypatch.setattr(module, '_name', 1)",
        "mock.patch('amoc.module._name')",
        "one._name = 1",
        "assert one.other._name",
        "from amoc.module import _name",
    ],
)
def test_private_names_are_found(source):
    assert list(private_names(source))


def test_a_modules_own_private_names_and_public_protocols_are_allowed():
    assert not list(private_names("self._name = one.__name__\nmessage._replace(a=1)"))
