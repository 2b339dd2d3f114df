"""Pure. Parts of a scenario's text, whatever its source: its head, settings, and init()."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from amoc.recording.plan import PlannedSetting
from amoc.recording.python_text import Call, rendered

_OF_AMOC = ("Error", "feed", "http", "override", "setting", "step", "user")
_IMPORTS = {
    "html": "import html",
    "Path": "from pathlib import Path",
    "unquote": "from urllib.parse import unquote",
}


def head_text(opening: str, name: str, text: str) -> str:
    """Return docstring and imports of the scenario `name`: those that its `text` needs."""
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    imports = [line for name, line in _IMPORTS.items() if name in used]
    lines = [f'"""{opening}\n', f'amoc run {name}.py --users 10 --duration 1m\n"""\n']
    if imports:
        lines.append("\n".join(imports) + "\n")
    lines.append(f"from amoc import {', '.join(one for one in _OF_AMOC if one in used)}\n")
    return "\n".join(lines) + "\n"


def setting_text(name: str, default: str, description: str) -> str:
    """Return the declaration of a setting."""
    call = Call("setting", [("", default), ("", description)])
    return f"{name} = {rendered(call, 0, len(name) + 3)}\n"


def init_text(settings: Sequence[PlannedSetting]) -> str:
    """Return an init() that fails without credentials; empty if there are none."""
    lines = []
    for one in settings:
        if one.is_credential:
            why = f"set {one.name}, for example with {variable(one)}; it is not stored here"
            lines.append(f"    if not {one.name}.get():\n")
            lines.append(f"        return {rendered(Call('Error', [('', why)]), 2, 7)}\n")
    return f"\n\ndef init():\n{''.join(lines)}" if lines else ""


def credential_notes(settings: Sequence[PlannedSetting]) -> list[str]:
    """Return notes for the operator about credentials."""
    return [
        f"not stored: {one.description}; set it with {variable(one)}"
        for one in settings
        if one.is_credential
    ]


def variable(one: PlannedSetting) -> str:
    """Return the environment variable that sets a setting."""
    return f"AMOC_{one.name.upper()}"
