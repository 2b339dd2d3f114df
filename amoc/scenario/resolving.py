"""Resolution of the settings' values at the start of a run. Pure.

The source with the highest precedence that has a value wins. All errors are collected before they
are raised together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amoc.base import redaction
from amoc.base.errors import SettingError
from amoc.base.redaction import shown
from amoc.base.text import suggestion
from amoc.scenario.settings import MISSING, AnySetting, Source, Value


def resolve(settings: Iterable[AnySetting], sources: Sequence[Source]) -> dict[str, Value]:
    """Resolve the value of every setting.

    Args:
        settings: The declared settings.
        sources: Raw values in order of precedence. If no source is strict, values for undeclared
            names are included, to be read by `get` with the name.

    Raises:
        SettingError: One line for each unknown name, missing value and rejected value.
    """
    by_name = {one.name: one for one in settings}
    problems = [
        f"{name} is not a setting of this scenario, got {shown(name, value)}"
        f" (from {source.label.format(name=name.upper())}); {suggestion(name, by_name)};"
        " --allow-undeclared allows others"
        for source in sources
        if source.strict
        for name, value in source.values.items()
        if name not in by_name
    ]
    undeclared = not any(source.strict for source in sources)
    values: dict[str, Value] = {}
    for source in reversed(sources):  # the one with the highest precedence overwrites the others
        label = source.label
        values |= {
            name: Value(raw, label.format(name=name.upper()))
            for name, raw in source.values.items()
            if undeclared or name in by_name
        }
    for name, one in by_name.items():
        given = values.get(name)
        raw, label = given or one.preset()
        if raw is MISSING:
            problems.append(
                f"{name} must be set ({one.description});"
                f" use --set {name}=…, AMOC_{name.upper()} or the config file"
            )
            continue
        try:
            values[name] = Value(one.convert(raw) if given else one.checked(raw), label)
        except ValueError as error:
            problems.append(refused(name, raw, error, label))
    if problems:
        raise SettingError(*problems)
    return values


def refused(name: str, raw: object, error: ValueError, label: str) -> str:
    """Return why `raw` cannot be the value of setting `name`, without secrets."""
    reason = str(error)
    if redaction.reveals(reason, name, raw):
        reason = f"fails its check with {type(error.__cause__ or error).__name__}"
    return f"{name} {' '.join(reason.split())}, got {shown(name, raw)} (from {label})"
