"""A small scenario of some kind and its test, from `templates`, with the scenario's name."""

from __future__ import annotations

from amoc.recording.files import Written

KINDS = ("http", "xmpp", "websocket", "mqtt")
PLACE = "NAME"
"""The placeholder for the scenario's name in a template."""
_NEEDS = {"websocket": "wsproto", "mqtt": "paho-mqtt"}


def convert(kind: str, name: str) -> Written:
    """Return the files of a scenario called `name`.

    Args:
        kind: One of `KINDS`.
        name: The scenario's name.
    """
    from importlib.resources import files  # `amoc run` imports this module but does not need it

    templates = files("amoc.recording") / "templates"
    found = {
        f"{name}.py": (templates / f"{kind}.txt").read_text("utf-8"),
        f"test_{name}.py": (templates / f"{kind}_test.txt").read_text("utf-8"),
    }
    written = {file: text.replace(PLACE, name).encode() for file, text in found.items()}
    notes = [f"try it: amoc check {name}.py; test it: pytest test_{name}.py"]
    if kind in _NEEDS:
        notes.insert(0, f"it needs {_NEEDS[kind]}: pip install {_NEEDS[kind]}")
    return Written(written, notes)
