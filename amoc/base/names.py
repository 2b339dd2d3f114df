"""Rules for the names of throttles, coordinators, barriers and feeds. Pure."""

from __future__ import annotations

import re
import reprlib

from amoc.base.errors import ScenarioError

MAX_NAME = 200
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Unicode's categories Cc and Cs, which never change; spelled out to avoid loading unicodedata."""


def check_name(what: str, name: object) -> str:
    """Return `name` if it is valid for a `what`, such as a throttle.

    Raises:
        ScenarioError: It is invalid.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or _NOT_SHOWN.search(name):
        raise ScenarioError(
            f"the name of a {what} must be text of 1 to {MAX_NAME} characters, without control"
            f" characters, got {reprlib.repr(name)}"
        )
    return name
