"""The imports of amoc's modules, determined from their source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPURE = frozenset(
    {"gevent", "greenlet", "multiprocessing", "socket", "subprocess", "threading", "zmq"}
)
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "amoc").rglob("*.py"))
}


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules that `module` imports, anywhere in its source."""
    return imports_of(MODULES[module])


def imports_of(file: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return frozenset(found)


def way_to_impure(module: str) -> list[str]:
    """Return the chain of imports from `module` to one that is not pure; empty if there is none."""
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


@cache
def is_pure(module: str) -> bool:
    """Return whether the first paragraph of the module's docstring says that it is pure."""
    opening = MODULES[module].read_text().partition("\n\n")[0]
    return opening.startswith('"""') and "Pure." in opening


def imports_only_pure(test: Path) -> bool:
    """Return whether a test file imports only pure modules of amoc, so that it tests decisions."""
    found = {name for name in imports_of(test) if name.partition(".")[0] == "amoc"}
    return bool(found) and all(name in MODULES and is_pure(name) for name in found)
