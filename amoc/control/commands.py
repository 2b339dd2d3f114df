"""The commands that a run accepts, in one table. Pure.

Everything that accepts commands is based on `COMMANDS`: the sub-commands ``amoc add``, ``amoc
pause`` and so on (`amoc.cli.control`), the control socket (`amoc.control.server`) and the timeline
of a replay. All of them validate commands with `checked`, and
`amoc.runtime.controller.commands.Commands` carries them out.

A new command touches two files: a row here, and a method of `Commands` with the row's arguments as
its parameters, listed under the row's name in its `_handlers`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from amoc.base.errors import UsageError, value_error_as
from amoc.base.json_plain import JsonObject
from amoc.base.text import cut
from amoc.scenario.settings_sources import cannot_travel

MAX_COUNT = 1 << 32
MAX_NODES = 1_000
MAX_COMMENT = 1_000
MAX_VALUES = 1_000
MAX_TEXT = 1_000
"""Maximum length of a text argument, in characters."""


class Command(NamedTuple):
    """One command for a run, with checked arguments."""

    name: str
    arguments: JsonObject
    comment: str = ""


# Types of arguments: `check` raises a ValueError whose text follows the argument's name.


class WholeNumber(NamedTuple):
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def check(self, value: object) -> int:
        """Return `value` if it is one."""
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise ValueError(f"must be a whole number from {self.low} to {self.high}, got {cut(value)}")


class Flag:
    """True or false."""

    def check(self, value: object) -> bool:
        """Return `value` if it is one."""
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {cut(value)}")
        return value


class IdRange(NamedTuple):
    """The first and the last of a range of user ids, from 1 to `high`."""

    high: int

    def check(self, value: object) -> tuple[int, int]:
        """Return `value` if it is such a pair."""
        match value:
            case (first, last) if (
                type(first) is type(last) is int and 1 <= first <= last <= self.high
            ):
                return first, last
        raise ValueError(
            f"must be the first and last user id, from 1 to {self.high}, got {cut(value)}"
        )


class SettingValues:
    """New values of settings, by name. Values may be secret, so no message shows them."""

    def check(self, value: object) -> JsonObject:
        """Return `value` if it can be sent to workers."""
        if not isinstance(value, Mapping) or not value:
            raise ValueError("must be an object of values by setting name, and not empty")
        if len(value) > MAX_VALUES or not all(isinstance(name, str) for name in value):
            raise ValueError(f"must be at most {MAX_VALUES} values by setting name")
        for name, one in value.items():
            if problem := cannot_travel(name, one):
                raise ValueError(f"cannot be sent to workers: {problem}")
        return dict(value)


class Text:
    """A non-empty text."""

    def check(self, value: object) -> str:
        """Return `value` if it is one."""
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
            raise ValueError(f"must be text of 1 to {MAX_TEXT} characters, got {cut(value)}")
        return value


class NodeNames:
    """Names of nodes or of their hosts."""

    def check(self, value: object) -> tuple[str, ...]:
        """Return `value` if it consists of such names."""
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_NODES:
            raise ValueError(f"must be 1 to {MAX_NODES} names of nodes, got {cut(value)}")
        for one in value:
            if not isinstance(one, str) or not 0 < len(one) <= MAX_TEXT:
                raise ValueError(f"must be names of nodes, got {cut(one)}")
        return tuple(value)


ArgumentType = WholeNumber | IdRange | Flag | SettingValues | Text | NodeNames


class Argument(NamedTuple):
    """An argument of a command.

    Attributes:
        metavar: The placeholder for its value on the command line.
        default: The value if it is not given; None means that it is required.
        optional: Whether it may be left out and has no default.
        instead_of: Another argument; exactly one of the two must be given.
    """

    name: str
    type: ArgumentType
    metavar: str = ""
    help: str = ""
    default: object = None
    instead_of: str = ""
    optional: bool = False


class Handling(Enum):
    """How the controller carries out a command."""

    READ = "read"
    """In any state of the run; changes nothing, and is not written to the journal."""
    ALWAYS = "always"
    """In any state of the run, without waiting for other commands."""
    AT_ONCE = "at once"
    """While users run, without waiting for other commands."""
    QUEUED = "queued"
    """While users run, after the commands given before it."""


class CommandSpec(NamedTuple):
    """A row of the table.

    Attributes:
        help: For the command line; the list of commands shows only its first sentence.
        text: The metavar of the comment, for a command that consists only of its comment.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    handling: Handling = Handling.QUEUED
    text: str = ""

    def check(self, arguments: Mapping[object, object]) -> JsonObject:
        """Return the command's arguments, all validated and complete.

        Raises:
            UsageError: One is unknown, missing or wrong; one line.
        """
        names = [one.name for one in self.arguments]
        for given in arguments:
            if given not in names:
                takes = f"only {', '.join(names)}" if names else "no arguments"
                raise UsageError(f"{self.name} takes {takes}, got {cut(given)}")
        checked: dict[str, object] = {}
        either = [
            name for one in self.arguments if one.instead_of for name in (one.instead_of, one.name)
        ]
        if either and sum(name in arguments for name in either) != 1:
            raise UsageError(f"{self.name} requires either {' or '.join(either)}")
        for one in self.arguments:
            if one.name not in arguments and (one.optional or one.name in either):
                continue
            value = arguments.get(one.name, one.default)
            if value is None and one.name not in arguments:
                raise UsageError(f"{self.name} requires {one.name}")
            with value_error_as(UsageError, f"{one.name} of {self.name} "):
                checked[one.name] = one.type.check(value)
        return checked


_COUNT = Argument("count", WholeNumber(1, MAX_COUNT), metavar="N")
_IDS = Argument("ids", IdRange(MAX_COUNT), "A-B", "The users with these ids.", instead_of="count")
_ON_NODES = Argument(
    "on_nodes",
    NodeNames(),
    "NODE,…",
    "Only on these nodes, named as in amoc status, or by their host.",
    optional=True,
)

COMMANDS: dict[str, CommandSpec] = {
    one.name: one
    for one in (
        CommandSpec(
            "status",
            "Show a run's status.\n\nIts state, users, nodes, throttles, coordinators, barriers and"
            " feeds.",
            handling=Handling.READ,
        ),
        CommandSpec(
            "users",
            "Show the users of each worker of a run.\n\nHow many are running, how many are pending,"
            " and the highest user id.",
            handling=Handling.READ,
        ),
        CommandSpec(
            "add",
            "Add N users to a run.\n\nIds follow the highest one, unless --ids gives them;"
            " no id is used twice. Users start at the start rate.",
            arguments=(_COUNT, _IDS, _ON_NODES),
        ),
        CommandSpec(
            "remove",
            "Remove N users from a run.\n\nUsers that have not started yet are removed first."
            " Others finish their current iteration; with --force they are stopped at once.",
            arguments=(
                _COUNT,
                _IDS,
                Argument(
                    "force",
                    Flag(),
                    help="Stop them without letting iterations finish.",
                    default=False,
                ),
                _ON_NODES,
            ),
        ),
        CommandSpec(
            "set",
            "Change settings of a run.\n\nThey change on all workers, or on none if one refuses.",
            arguments=(Argument("values", SettingValues(), metavar="NAME=VALUE…"), _ON_NODES),
        ),
        CommandSpec(
            "throttle",
            "Change the rate of a throttle of a run.\n\nRATE is 600/min, 10/s or inf (no limit), or"
            " stages such as 30s:100/s, 2m:100/s. For a concurrency limit it is a plain number.",
            arguments=(
                Argument("name", Text(), metavar="NAME"),
                Argument("rate", Text(), metavar="RATE"),
            ),
        ),
        CommandSpec(
            "pause", "Pause a run.\n\nEach user stops at its next call to amoc, and no user starts."
        ),
        CommandSpec("resume", "Resume a paused run."),
        CommandSpec(
            "stop",
            "Stop a run gracefully.\n\nUsers finish their current iteration, then the run ends"
            " with its summary.",
            handling=Handling.AT_ONCE,
        ),
        CommandSpec(
            "note", "Add a note to a run's journal.", handling=Handling.ALWAYS, text="TEXT…"
        ),
    )
}


def is_read(name: object) -> bool:
    """Return whether `name` is a command that changes nothing."""
    return name in COMMANDS and COMMANDS[str(name)].handling is Handling.READ


def checked(name: object, arguments: object, comment: object = "") -> Command:
    """Validate a command from any source; return it with all its arguments.

    Raises:
        UsageError: There is no such command, or an argument is wrong; one line.
    """
    if not isinstance(name, str) or name not in COMMANDS:
        raise UsageError(f"command must be one of {', '.join(COMMANDS)}, got {cut(name)}")
    spec = COMMANDS[name]
    if not isinstance(arguments, Mapping):
        raise UsageError(f"arguments of {name} must be an object, got {cut(arguments)}")
    if not isinstance(comment, str):
        raise UsageError(f"comment of {name} must be text, got {cut(comment)}")
    comment = " ".join(comment.split())
    if len(comment) > MAX_COMMENT:
        raise UsageError(
            f"comment of {name} must have at most {MAX_COMMENT} characters, got {len(comment)}"
        )
    if spec.text and not comment:
        raise UsageError(f"{name} requires a text")
    return Command(name, spec.check(arguments), comment)
