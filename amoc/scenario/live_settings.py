"""Changes of settings during a run, within one process.

A change is verified and then put in force, or rejected without effect. The agreement with all other
processes is the task of `amoc.runtime.controller.settings_update`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from amoc.base import guard, redaction
from amoc.base.errors import AmocError, Error, SettingError
from amoc.base.text import suggestion
from amoc.scenario import settings
from amoc.scenario.resolving import refused
from amoc.scenario.settings import Value

UPDATE = "update"
"""The source of a value changed during the run."""


def verify(values: Mapping[str, object]) -> dict[str, object]:
    """Check that `values` may replace those in force.

    Returns:
        The values that would change, converted and checked.

    Raises:
        SettingError: One line for each setting that is unknown, read-only or rejected.
    """
    by_name = {one.name: one for one in settings.declared()}
    problems, found = [], {}
    for name, raw in values.items():
        one = by_name.get(name)
        if one is None:
            meant = suggestion(name, by_name)
            problems.append(f"{name} is not a setting of this scenario; {meant}")
        elif one.update == "read-only":
            problems.append(
                f"{name} is read-only during a run, got {redaction.shown(name, raw)}; declare it"
                " with update='free' or an update function to allow changes"
            )
        else:
            try:
                found[name] = one.convert(raw)
            except ValueError as error:
                problems.append(refused(name, raw, error, UPDATE))
    if problems:
        raise SettingError(*problems)
    now = settings.in_force()
    return {
        name: value for name, value in found.items() if name not in now or now[name].value != value
    }


class Applied(NamedTuple):
    """The effect of a change of settings in this process."""

    changed: dict[str, tuple[object, object]]
    """Old and new value of each changed setting."""
    problem: str
    """Why an update function failed, in one line; empty if none did."""


def apply(values: Mapping[str, object]) -> Applied:
    """Put verified `values` in force, and call the settings' update functions.

    Stops at the first function that fails; `revert` must follow.
    """
    before = settings.in_force()
    new = verify(values)
    changed = {
        name: (before[name].value if name in before else None, value) for name, value in new.items()
    }
    settings.change({name: Value(value, UPDATE) for name, value in new.items()})
    return Applied(changed, _call_updates(changed))


def revert(values: Mapping[str, object], initial: Sequence[str]) -> str:
    """Undo `apply`: put the previous values in force, and call the update functions.

    Args:
        values: Raw values of settings changed earlier in the run.
        initial: Names of settings not changed before.

    Returns:
        Errors of update functions, a line each.
    """
    known = {one.name: one for one in settings.declared()}
    now = settings.in_force()
    old = {name: Value(known[name].convert(raw), UPDATE) for name, raw in values.items()}
    old |= {name: one for name, one in settings.initial().items() if name in initial}
    settings.change(old)
    problems = [
        _call_updates({name: (now[name].value, one.value)})
        for name, one in old.items()
        if name in now and now[name].value != one.value
    ]
    return "\n".join(filter(None, problems))


def _call_updates(changed: Mapping[str, tuple[object, object]]) -> str:
    """Call the update functions of changed settings; return the error of the first to fail."""
    for one in settings.declared():
        if one.name in changed and callable(one.update):
            old, new = changed[one.name]
            failed: list[BaseException] = []
            refusal = guard.call(failed.append, one.update, old, new)
            for error in (*failed, refusal):
                if isinstance(error, BaseException):
                    why = _text_of(error)
                    if any(redaction.reveals(why, one.name, each) for each in (old, new)):
                        why = type(error).__name__
                    return f"the update function of {one.name} failed: {why}"
    return ""


def _text_of(error: BaseException) -> str:
    """Return the text of an error of amoc, or type and text of another, in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (AmocError, Error)) and text else repr(error)
