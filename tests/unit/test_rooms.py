"""A module whose opening line says ``Pure.`` decides and does nothing else.

So it may import, itself or through others, no event loop, no sockets and no processes. That a
package's ``__init__`` names more than that is no matter: the module itself counts.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPURE = frozenset(
    {"gevent", "greenlet", "multiprocessing", "socket", "subprocess", "threading", "zmq"}
)
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "amoc").rglob("*.py"))
}


@cache
def imports(module: str) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return frozenset(found)


def way_to_impure(module: str) -> list[str]:
    """How `module` comes to import what is not pure: a chain of modules, or nothing."""
    ways, seen = [[module]], {module}
    while ways:
        way = ways.pop()
        for name in sorted(imports(way[-1])):
            if name.partition(".")[0] in IMPURE:
                return [*way, name]
            if name in MODULES and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def is_pure(module: str) -> bool:
    opening = ast.get_docstring(ast.parse(MODULES[module].read_text())) or ""
    return "Pure." in opening.partition("\n\n")[0]


PURE = [module for module in MODULES if is_pure(module)]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_no_event_loop_and_no_sockets(module: str):
    assert way_to_impure(module) == []


def test_there_are_pure_modules_and_others():
    assert len(PURE) > 60
    assert way_to_impure("amoc.throttle.worker")


def test_the_root_holds_four_files():
    names = {path.name for path in (ROOT / "amoc").iterdir() if path.is_file()}
    assert names == {"__init__.py", "__main__.py", "_version.py", "py.typed"}
