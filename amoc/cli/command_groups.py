"""``amoc --help``: the commands by what they are for, so that all of them fit onto a screen.

A command's module is imported when the command is called, or shown: of what a run needs, its own
command line is a good part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from textwrap import fill

import click


class Sections(click.Group):
    """Commands in sections: some with a line each, those that are many by their names alone.

    A module has the command of its own name, or several in `COMMANDS`.
    """

    explained: Mapping[str, Sequence[str]]
    named: Mapping[str, Sequence[str]]
    modules: Mapping[str, str]

    def fill(
        self,
        explained: Mapping[str, Sequence[str]],
        named: Mapping[str, Sequence[str]],
        modules: Mapping[str, str],
    ) -> None:
        """Take names of commands by the title of their section.

        Args:
            explained: Those with a line each.
            named: The others.
            modules: Where in `amoc.cli` a command is, if not in a module of its name.
        """
        self.explained, self.named = explained, named
        names = [name for section in (*explained.values(), *named.values()) for name in section]
        self.modules = {name: modules.get(name, name) for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """The names of all commands."""
        return sorted({*self.modules, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a name, imported if it has not been yet."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            module = import_module(f"amoc.cli.{self.modules[cmd_name]}")
            for command in getattr(module, "COMMANDS", None) or (getattr(module, cmd_name),):
                self.add_command(command)
        return self.commands.get(cmd_name)

    def all_commands(self) -> dict[str, click.Command]:
        """Every command by its name, imported."""
        ctx = click.Context(self)
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return {name: one for name, one in found if one is not None}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, purpose, and commands; no empty lines between sections, for want of room."""
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
        formatter.write("--version shows the version, COMMAND --help what a command does.\n")
