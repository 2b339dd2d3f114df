"""The words of commands: what an operator types, and what it means. Pure.

``add 100``, ``remove 10 --force``, ``set rate=5 mode=chat``, ``pause``, ``resume``, ``stop``,
``status``, ``users``, ``note the server was restarted``. What follows ``--`` or ``#`` is the
comment. The terminal's prompt, the command line and the control socket agree on the result: a name,
its arguments, and a comment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from amoc.base.errors import UsageError
from amoc.base.text import cut
from amoc.scenario.settings_sources import cannot_travel, pairs_of

LOOKS = ("status", "users")
"""Commands that change nothing, and are not written down."""
MAX_COUNT = 1 << 32
MAX_COMMENT = 1_000
MAX_VALUES = 1_000

_WORD = re.compile(r"""\s*((?:\\.|[^\s"'\\]|"(?:\\.|[^"\\])*"|'[^']*')+)""", re.DOTALL)


class Command(NamedTuple):
    """What an operator wants of a run."""

    name: str
    arguments: dict[str, Any]
    comment: str = ""


class Operate(Protocol):
    """What does the commands: `Controller.operate`."""

    def __call__(
        self, name: str, arguments: dict[str, Any], *, source: str, comment: str = ""
    ) -> Mapping[str, Any]:
        """Do one command; an AmocError is a refusal."""


def parse(text: str) -> Command:
    """The command that a line of text is.

    Raises:
        UsageError: It is none; one line.
    """
    name, *rest = text.split(None, 1)[:2] or [""]
    if name == "note":
        return checked("note", {}, " ".join(rest))
    words, comment = _words(text)
    if not words:
        raise UsageError(f"a command must be one of {', '.join(COMMANDS)}, but there is none")
    name, *following = words
    if name not in COMMANDS:
        raise UsageError(f"a command must be one of {', '.join(COMMANDS)}, but is {cut(name)}")
    return checked(name, COMMANDS[name].arguments(following), comment)


def checked(name: object, arguments: object, comment: object = "") -> Command:
    """A command from who knows where, with what it must have and nothing else.

    Raises:
        UsageError: It makes no sense; one line.
    """
    if not isinstance(name, str) or name not in COMMANDS:
        raise UsageError(f"a command must be one of {', '.join(COMMANDS)}, but is {cut(name)}")
    if not isinstance(arguments, Mapping):
        raise UsageError(f"the arguments of {name} must be an object, but are {cut(arguments)}")
    if not isinstance(comment, str):
        raise UsageError(f"the comment of {name} must be text, but is {cut(comment)}")
    comment = " ".join(comment.split())
    if len(comment) > MAX_COMMENT:
        raise UsageError(
            f"a comment must have at most {MAX_COMMENT} characters, but has {len(comment)}"
        )
    if name == "note" and not comment:
        raise UsageError("note must be followed by a text, but is not")
    known = COMMANDS[name].known
    for one in arguments:
        if one not in known:
            have = f"only {', '.join(known)}" if known else "none"
            raise UsageError(f"the arguments of {name} are {have}, but one is {cut(one)}")
    return Command(name, COMMANDS[name].check(name, arguments), comment)


def pairs(name: str, words: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` words as values by name.

    Raises:
        UsageError: One of them is none.
    """
    return pairs_of(words, f"{name} must be followed by NAME=VALUE, but is by")


def _words(text: str) -> tuple[list[str], str]:
    """The words of `text` without quotes, and the comment at its end."""
    words: list[str] = []
    position = 0
    while found := _WORD.match(text, position):
        word = found[1]
        if word == "--" or word.startswith("#"):
            start = found.start(1) + (2 if word == "--" else 1)
            return words, text[start:].strip()
        words += shlex.split(word)
        position = found.end()
    if text[position:].strip():
        raise UsageError(f"quotes must be closed, but {cut(text[position:].strip())} are not")
    return words, ""


# What each command takes


class _Kind(NamedTuple):
    """A command: how its arguments are typed, and what they must be."""

    arguments: Callable[[list[str]], dict[str, Any]]
    known: tuple[str, ...]
    check: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    usage: str


def _plain(name: str) -> Callable[[list[str]], dict[str, Any]]:
    def arguments(words: list[str]) -> dict[str, Any]:
        if words:
            raise UsageError(f"{name} must be alone, but is followed by {cut(words[0])}")
        return {}

    return arguments


def _add(words: list[str]) -> dict[str, Any]:
    return {"count": _number("add", words)}


def _remove(words: list[str]) -> dict[str, Any]:
    force = any(word in ("--force", "force") for word in words)
    rest = [word for word in words if word not in ("--force", "force")]
    return {"count": _number("remove", rest), "force": force}


def _number(name: str, words: list[str]) -> int:
    word = words[0] if len(words) == 1 else " ".join(words)
    if not re.fullmatch(r"\+?[0-9]{1,20}", word):
        raise UsageError(f"{name} must be followed by a whole number, but is by {cut(word)}")
    return int(word)


def _set(words: list[str]) -> dict[str, Any]:
    return {"values": pairs("set", words)}


def _check_nothing(_name: str, _arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _check_count(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    count = arguments.get("count")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise UsageError(f"{name} must have a count from 1 to {MAX_COUNT}, but has {cut(count)}")
    return {"count": count}


def _check_remove(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    force = arguments.get("force", False)
    if not isinstance(force, bool):
        raise UsageError(f"force of {name} must be true or false, but is {cut(force)}")
    return {**_check_count(name, arguments), "force": force}


def _check_values(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    values = arguments.get("values")
    if not isinstance(values, Mapping) or not values:
        raise UsageError(f"{name} must have values by name, NAME=VALUE, but has none")
    if len(values) > MAX_VALUES or not all(isinstance(one, str) for one in values):
        raise UsageError(f"{name} must have at most {MAX_VALUES} values by name")
    for one, value in values.items():
        if problem := cannot_travel(one, value):
            raise UsageError(problem)
    return {"values": dict(values)}


COMMANDS: dict[str, _Kind] = {
    "status": _Kind(_plain("status"), (), _check_nothing, "status"),
    "users": _Kind(_plain("users"), (), _check_nothing, "users"),
    "add": _Kind(_add, ("count",), _check_count, "add N"),
    "remove": _Kind(_remove, ("count", "force"), _check_remove, "remove N [--force]"),
    "set": _Kind(_set, ("values",), _check_values, "set NAME=VALUE…"),
    "pause": _Kind(_plain("pause"), (), _check_nothing, "pause"),
    "resume": _Kind(_plain("resume"), (), _check_nothing, "resume"),
    "stop": _Kind(_plain("stop"), (), _check_nothing, "stop"),
    "note": _Kind(_plain("note"), (), _check_nothing, "note TEXT"),
}
