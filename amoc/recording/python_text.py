"""Pure. Formats Python like ruff and black, so that no formatter changes it.

An expression that fits on its line stays there; otherwise it is split into one element per line,
each followed by a comma.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from amoc.base.text import printable

WIDTH = 88
"""Maximum line length: the default of ruff and black."""
INDENT = "    "
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


class Code(NamedTuple):
    """An expression that is not split."""

    text: str


class Call(NamedTuple):
    """A call; an argument's name may be empty."""

    function: str
    arguments: Sequence[tuple[str, Node]]


Node = (
    Code | Call | str | bytes | int | float | bool | None | Sequence["Node"] | Mapping[str, "Node"]
)
"""An expression: a literal, or a container of expressions."""


def rendered(node: Node, depth: int = 0, before: int = 0, after: int = 0) -> str:
    """Return `node` as text; all lines but the first are indented.

    Args:
        node: The expression.
        depth: The indentation of its statement, in steps of four columns.
        before: Columns already used on its first line.
        after: Columns needed on its last line.
    """
    one = flat(node)
    if len(INDENT) * depth + before + width(one) + after <= WIDTH:
        return one
    opening, closing, parts = _parts(node)
    if not parts:
        return one
    inner = INDENT * (depth + 1)
    lines = [
        f"{inner}{name}{rendered(value, depth + 1, width(name), 1)},\n" for name, value in parts
    ]
    return f"{opening}\n{''.join(lines)}{INDENT * depth}{closing}"


def flat(node: Node) -> str:
    """Return `node` in one line."""
    if isinstance(node, Code):
        return node.text
    if isinstance(node, str):
        return quoted(node)
    if isinstance(node, bytes):
        return "b" + quoted(node.decode("latin-1"), is_bytes=True)
    if isinstance(node, Call | Mapping | Sequence):
        opening, closing, parts = _parts(node)
        inner = ", ".join(f"{name}{flat(value)}" for name, value in parts)
        comma = "," if opening == "(" and len(parts) == 1 else ""
        return f"{opening}{inner}{comma}{closing}"
    return repr(node)


def _parts(node: Node) -> tuple[str, str, list[tuple[str, Node]]]:
    if isinstance(node, Code):
        return "", "", []
    if isinstance(node, Call):
        named = [(f"{name}=" if name else "", value) for name, value in node.arguments]
        return f"{node.function}(", ")", named
    if isinstance(node, Mapping):
        return "{", "}", [(f"{quoted(name)}: ", value) for name, value in node.items()]
    if isinstance(node, tuple):
        return "(", ")", [("", value) for value in node]
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return "[", "]", [("", value) for value in node]
    return "", "", []


def quoted(text: str, is_bytes: bool = False) -> str:
    """Return `text` as a literal, in double quotes unless single ones save escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(one, quote, is_bytes) for one in text) + quote


def _escaped(one: str, quote: str, is_bytes: bool) -> str:
    if one == quote:
        return f"\\{one}"
    if one in _SHORT:
        return _SHORT[one]
    is_plain = one.isprintable() and (one.isascii() or not is_bytes)
    return one if is_plain else one.encode("unicode_escape", "surrogatepass").decode()


def one_line(text: str) -> str:
    """Return `text` for a comment: without anything that ends the line."""
    return " ".join(printable(text).split())


def width(text: str) -> int:
    """Return the number of columns that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(one) for one in text)


def _columns(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def identifier(text: str, taken: Container[str], otherwise: str = "value") -> str:
    """Return a variable name for `text` that is not `taken`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    base = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:40].rstrip("_") or otherwise
    if base[0].isdigit():
        base = f"{otherwise}_{base}"
    elif keyword.iskeyword(base) or keyword.issoftkeyword(base):
        base += "_"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name
