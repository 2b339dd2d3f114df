"""``--json [FILE]``, the same in every command: write JSON to FILE, or print it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

import click

from amoc.base.errors import UsageError

NAME = "--json"
PRINTED = "-"

F = TypeVar("F", bound=Callable[..., object])


class JsonCommand(click.Command):
    """A command with ``--json``: a required argument is never taken for FILE."""

    # `args` and `named` are of any type, as click has them.
    def __init__(self, *args: Any, instead: Mapping[str, str] | None = None, **named: Any) -> None:
        """Create the command.

        Args:
            args: As for `click.Command`.
            instead: Arguments that may be omitted, each with the option that replaces it.
            named: As for `click.Command`.
        """
        super().__init__(*args, **named)
        self._instead = instead or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``compare --json A B`` like ``compare A B --json``."""
        given, rest = list(args), list[str]()
        missing: click.UsageError | None = None
        try:
            rest = super().parse_args(ctx, args)
        except click.MissingParameter as error:
            if not isinstance(error.param, click.Argument):
                raise
            missing = error
        options = given[: given.index("--")] if "--" in given else given
        if NAME in options and (missing or self._lacks(ctx.params)):
            at, read = given.index(NAME), dict(ctx.params)
            ctx.params.clear()
            try:
                return super().parse_args(ctx, [*given[:at], f"{NAME}={PRINTED}", *given[at + 1 :]])
            except click.UsageError as error:
                missing = missing and error
                ctx.params.clear()
                ctx.params.update(read)
        if missing is not None:
            raise missing
        return rest

    def _lacks(self, read: Mapping[str, object]) -> bool:
        pairs = self._instead.items()
        return any(read.get(one) is None and read.get(other) is None for one, other in pairs)


def json_option(what: str) -> Callable[[F], F]:
    """Return the option, for a `JsonCommand`.

    Args:
        what: What the command writes as JSON, for the help.
    """
    return click.option(NAME, "json_file", **_settings(what))


def json_parameter(what: str) -> click.Option:
    """Return the option as a parameter, for commands that are built from parameters."""
    return click.Option([NAME, "json_file"], **_settings(what))


class _Settings(TypedDict):
    is_flag: bool
    flag_value: str
    metavar: str
    help: str


def _settings(what: str) -> _Settings:
    return {
        "is_flag": False,
        "flag_value": PRINTED,
        "metavar": "[FILE]",
        "help": f"Write {what} to FILE as JSON; without FILE, or with -, print it.",
    }


def place_of(json_file: str | None, output: str | None) -> str:
    """Return where a command that also has ``--output`` writes; ``-`` is standard output.

    Raises:
        UsageError: Both options name a file.
    """
    if json_file not in (None, PRINTED) and output is not None:
        raise UsageError(f"{NAME} FILE and --output are mutually exclusive; give one of them")
    return output or json_file or PRINTED
