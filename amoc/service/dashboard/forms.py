"""Forms for starting a run and changing its settings, from its scenario's declarations. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydantic import JsonValue

from amoc.base.redaction import is_secret
from amoc.results.summary_types import SettingPart
from amoc.service.answers import SettingBody
from amoc.service.start_bodies import StartBody

LOAD = (
    *("users", "duration", "stages", "arrival_rate", "max_users", "workers"),
    *("expect", "warmup", "seed", "comment"),
)
"""Options of a start that are in the form."""
_PLACEHOLDERS = {
    "users": "1",
    "duration": "30s, 5m, 1h30m",
    "stages": "30s:100, 2m:1000, 30s:0",
    "arrival_rate": "200/s, instead of users",
    "max_users": "1000",
    "workers": "one for each core",
    "expect": "failures < 1%; login.p95 < 200ms",
    "warmup": "10s",
    "seed": "chosen at random",
    "comment": "kept with the run",
}
_LABELS = {"expect": "thresholds"}
_HELP = {
    "expect": "Thresholds; several are separated by semicolons",
    "max_users": "Maximum number of users with an arrival rate",
}


Changes: TypeAlias = "Sequence[tuple[Field, str]]"
"""Fields for changes of settings, each with the current value."""


@dataclass(frozen=True)
class Field:
    """A field of the form.

    Attributes:
        name: Name of the field in REST.
        of: ``start`` for an option of the start, ``settings`` for a setting.
        input: Type of the browser's input.
        kind: Conversion of its text: ``number``, ``text``, or ``json`` (JSON if valid, else text).
        default: Initial text; if it is not changed, the value is not sent.
        choices: Allowed values as JSON, each with its text; empty if others are allowed.
        help: A description.
        required: Whether it must have a value.
        placeholder: Shown while it is empty.
        step: Step of a number.
        low: Minimum; None for no limit.
        high: Maximum; None for no limit.
    """

    name: str
    of: str
    input: str = "text"
    kind: str = "text"
    default: str = ""
    choices: Sequence[tuple[str, str]] = ()
    help: str = ""
    required: bool = False
    placeholder: str = ""
    step: str = "any"
    low: float | None = None
    high: float | None = None

    @property
    def id(self) -> str:
        """Id in the page; includes `of`, as settings may have names of options."""
        return f"{self.of}-{self.name}"

    @property
    def label(self) -> str:
        """Label of the field."""
        return (
            _LABELS.get(self.name, self.name).replace("_", " ") if self.of == "start" else self.name
        )


def load() -> list[Field]:
    """Return the fields for options of a start."""
    fields = []
    for name in LOAD:
        one = StartBody.model_fields[name]
        number = "int" in str(one.annotation)
        fields.append(
            Field(
                name,
                "start",
                "number" if number else "text",
                "number" if number else "text",
                help=_HELP.get(name, one.description or ""),
                placeholder=_PLACEHOLDERS[name],
                step="1",
            )
        )
    return fields


def groups(settings: Sequence[SettingBody]) -> list[tuple[str, list[Field]]]:
    """Return the fields for settings of a scenario: its own, then those of libraries and of amoc.

    Does not include the number of workers, which is also an option of a start.
    """
    own = [field(one) for one in settings if one.own]
    others = [field(one) for one in settings if not one.own and one.name not in LOAD]
    found = [("Settings of the scenario", own)] if own else []
    return [*found, ("Other settings", others)] if others else found


def field(one: SettingBody) -> Field:
    """Return the field for a setting."""
    form = one.type if isinstance(one.type, Mapping) else {}
    kind = form.get("type")
    if choices := [True, False] if kind == "boolean" else one.choices:
        told = [(_json(value), str(value)) for value in choices]
        default = "" if one.required else _json(one.default)
        if all(value != default for value, _ in told):
            told.insert(0, (default, "choose one…"))
            default = told[0][0]
        return Field(
            one.name,
            "settings",
            choices=told,
            default=default,
            help=one.description,
            required=one.required,
        )
    default = "" if one.required or one.secret or one.default is None else _text(one.default)
    plain_number = kind in ("integer", "number") and _is_number(default)
    low, high = _number(form.get("minimum")), _number(form.get("maximum"))
    return Field(
        one.name,
        "settings",
        "password" if one.secret else "number" if plain_number else "text",
        "number" if plain_number else "text" if kind == "string" else "json",
        default,
        step="1" if kind == "integer" else "any",
        placeholder=_limits(low, high) if plain_number else "",
        low=low,
        high=high,
        help=one.description,
        required=one.required,
    )


def _number(limit: JsonValue) -> float | None:
    return limit if isinstance(limit, int | float) else None


def _limits(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""


def changeable(
    described: Sequence[SettingBody] | None, now: Sequence[SettingPart]
) -> list[tuple[str, Changes]]:
    """Return the settings that can be changed during a run, with their current values, in groups.

    Args:
        described: The settings that its scenario declares; None if unknown.
        now: The current settings of the run.
    """
    values = {one["name"]: one["value"] for one in now}
    if described is None:
        described = [_undescribed(one) for one in now if not one["module"].startswith("amoc.")]
    parts: dict[bool, list[tuple[Field, str]]] = {True: [], False: []}
    for one in described:
        value = values.get(one.name)
        if value is not None and one.update != "read-only":
            parts[one.own].append((_change(one, value), value))
    made = (("Settings", parts[True]), ("Other settings", parts[False]))
    return [(title, fields) for title, fields in made if fields]


def _undescribed(one: SettingPart) -> SettingBody:
    """Return the description of a setting of which only name, value and description are known."""
    return SettingBody(
        name=one["name"],
        description=one["description"],
        module=one["module"],
        own=True,
        type={},
        choices=None,
        required=True,
        default=None,
        secret=is_secret(one["name"]),
        update="free",
    )


def _change(one: SettingBody, value: str) -> Field:
    """Return the field to change a setting; if it has choices the current one is selected."""
    made = field(one.model_copy(update={"required": True}))
    chosen = next((told for told, text in made.choices if text == value), None)
    if chosen is None:
        return made
    return replace(made, default=chosen, choices=made.choices[1:])


def _is_number(text: str) -> bool:
    """Return whether a browser's number input can display a value, which excludes infinity."""
    return not text or text.lstrip("-").replace(".", "", 1).replace("e-", "", 1).isdigit()


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else _json(value)
