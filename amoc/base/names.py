"""What throttles, coordinators and barriers may be called. Pure."""

from __future__ import annotations

import reprlib
import unicodedata

from amoc.base.errors import ScenarioError

MAX_NAME = 200


def check_name(what: str, name: object) -> str:
    """`name`, if a `what` (a throttle, say) can be called so.

    Raises:
        ScenarioError: It cannot.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not _is_shown(name):
        raise ScenarioError(
            f"the name of a {what} must be text of 1 to {MAX_NAME} characters, without control"
            f" characters, got {reprlib.repr(name)}"
        )
    return name


def _is_shown(text: str) -> bool:
    return not any(unicodedata.category(one) in ("Cc", "Cs") for one in text)
