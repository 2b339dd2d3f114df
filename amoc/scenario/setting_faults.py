"""Errors in the declaration of a setting. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from amoc.base.signatures import takes


def faults(
    description: object, verify: object, update: object, parse: object, has_type: bool
) -> Iterator[str]:
    """Return the errors in the arguments of `setting`.

    Args:
        description: As for `setting`.
        verify: As for `setting`.
        update: As for `setting`.
        parse: As for `setting`.
        has_type: Whether its type is given or follows from the default.
    """
    if not description or not isinstance(description, str):
        yield "a setting needs a description as its second argument"
    if not has_type:
        yield "a setting without a default needs type="
    if not callable(update) and update not in ("read-only", "free"):
        yield f"update= must be 'read-only', 'free' or a function, got {update!r}"
    if parse is not None and not callable(parse):
        yield f"parse= must be a function of the text, got {parse!r}"
    for name, function, wanted in (
        ("verify", verify, ("value",)),
        ("update", update, ("old", "new")),
        ("parse", parse, ("text",)),
    ):
        if callable(function) and not takes(function, len(wanted)):
            yield (
                f"the function of {name}= must take ({', '.join(wanted)}), got"
                f" {getattr(function, '__qualname__', function)}{inspect.signature(function)}"
            )
