"""Pure. Features used by a locustfile that amoc does not have, as far as its source shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

_ATTRIBUTES: Final = {
    "mount": "client.mount",
    "register_message": "runner.register_message",
    "send_message": "runner.send_message",
}
"""Attributes of objects other than the user itself, which may have attributes of any name."""
_ARGUMENTS: Final = frozenset({"hooks", "proxies"})
_CALLS: Final = frozenset(
    {"delete", "get", "head", "options", "patch", "post", "put", "request", "rest"}
)


def unsupported_in(source: str) -> list[str]:
    """Return the unsupported features, each once, in the order of the source.

    Args:
        source: Python source of the locustfile.
    """
    return list(dict.fromkeys(_found(ast.parse(source))))


def _found(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self")):
                pass
            case ast.Attribute(attr=name) if name in _ATTRIBUTES:
                yield _ATTRIBUTES[name]
            case ast.Call(func=ast.Attribute(value=target, attr=name)) if name in _CALLS:
                if isinstance(target, ast.Attribute) and target.attr == "client":
                    given = (one.arg for one in node.keywords)
                    yield from (f"{one}= of a request" for one in given if one in _ARGUMENTS)
