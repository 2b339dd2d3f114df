"""Key bindings: bytes from a terminal as actions. Pure.

All other commands are given from another shell (``amoc add 100``).
"""

from __future__ import annotations

import re
from enum import Enum

HINT = "p pause/resume   + - users   s status   q stop   ? help"
CLOSE = "any key shows the run again"
HELP = (
    "p pauses or resumes the run",
    "+ and - add and remove a tenth of the running users, at least one",
    "s shows the status",
    "q stops the run: users finish their current iteration, then the summary is printed",
    "give other commands from another shell: amoc add 100, amoc set NAME=VALUE (see amoc --help)",
)
_SEQUENCE = re.compile(rb"\x1b+(\[[0-?]*[ -/]*[@-~]?|O.?|.)?", re.DOTALL)
"""A key that sends several bytes, such as an arrow or Alt-q. They arrive together."""


class Action(Enum):
    """The action of a key."""

    PAUSE_OR_RESUME = "pause or resume"
    ADD = "add"
    REMOVE = "remove"
    STATUS = "status"
    STOP = "stop"
    HELP = "help"


_KEYS = {
    "p": Action.PAUSE_OR_RESUME,
    "+": Action.ADD,
    "=": Action.ADD,  # the same key without shift
    "-": Action.REMOVE,
    "s": Action.STATUS,
    "q": Action.STOP,
    "?": Action.HELP,
    "h": Action.HELP,
}


def actions(data: bytes) -> list[Action]:
    """Return the actions of the keys that have sent `data`. Other keys are ignored."""
    keys = _SEQUENCE.sub(b"", data).decode(errors="replace")
    return [_KEYS[key] for key in keys if key in _KEYS]


def tenth(users: int) -> int:
    """Return a tenth of the users, at least one."""
    return max(1, round(users / 10))
