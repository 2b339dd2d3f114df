"""``amoc --help``: the commands by purpose, on one screen.

A command's module is imported when the command is called or its help is shown. Importing all of
them would be a good part of a run's startup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from textwrap import fill
from typing import Any

import click

from amoc.base.text import nearest


class Sections(click.Group):
    """Commands in sections, some of which have a line per command and others names only.

    A module holds the command of the same name, or several in `COMMANDS`.
    """

    def __init__(
        self,
        explained: Mapping[str, Sequence[str]],
        named: Mapping[str, Sequence[str]],
        modules: Mapping[str, str],
        **settings: Any,  # of any type, as click has it
    ) -> None:
        """Create the group.

        Args:
            explained: Names of commands that are listed with a line each, by title of the section.
            named: Those that are listed by name only.
            modules: The module in `amoc.cli` of each command that is not in one of its own name.
            settings: As for `click.Group`.
        """
        super().__init__(**settings)
        self.explained, self.named = explained, named
        names = [name for section in (*explained.values(), *named.values()) for name in section]
        self.modules = {name: modules.get(name, name) for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """Return the names of all commands."""
        return sorted({*self.modules, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command by name, importing it if necessary."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            module = import_module(f"amoc.cli.{self.modules[cmd_name]}")
            for command in getattr(module, "COMMANDS", None) or (getattr(module, cmd_name),):
                self.add_command(command)
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to call; if there is none, name the one that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if close := nearest(args[0], self.list_commands(ctx), 0.6):
                said = f"{error.message.rstrip('.')}; did you mean {close}?"
                raise click.UsageError(said, ctx) from None
            raise

    def all_commands(self) -> dict[str, click.Command]:
        """Import all commands. Return them by name."""
        ctx = click.Context(self)
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return {name: one for name, one in found if one is not None}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, purpose and commands, without empty lines between sections to save space."""
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...")
        self.format_help_text(ctx, formatter)
        formatter.write("\n")
        width = max(len(name) for names in self.explained.values() for name in names)
        commands = self.all_commands()
        for title, names in self.explained.items():
            formatter.write(f"{title}:\n")
            for name in names:
                told = commands[name].get_short_help_str(limit=100)
                formatter.write(f"  {name:<{width}}  {told}\n")
        for title, names in self.named.items():
            line = f"{title}: {', '.join(names)}"
            formatter.write(fill(line, 80, subsequent_indent="  ", break_on_hyphens=False) + "\n")
        formatter.write("--version shows the version, COMMAND --help explains a command.\n")
