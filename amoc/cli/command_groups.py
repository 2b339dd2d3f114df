"""``amoc --help``: the commands by what they are for, so that all of them fit onto a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import click


class Sections(click.Group):
    """Commands in sections: some with a line each, those that are many by their names alone."""

    explained: Mapping[str, Sequence[click.Command]]
    named: Mapping[str, Sequence[click.Command]]

    def fill(
        self,
        explained: Mapping[str, Sequence[click.Command]],
        named: Mapping[str, Sequence[click.Command]],
    ) -> None:
        """Add commands by the title of their section; each belongs to one."""
        self.explained, self.named = explained, named
        for section in (*explained.values(), *named.values()):
            for command in section:
                self.add_command(command)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, purpose, and commands; no empty lines between sections, for want of room."""
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...")
        self.format_help_text(ctx, formatter)
        formatter.write("\n")
        width = max(len(one.name or "") for all_ in self.explained.values() for one in all_)
        for title, commands in self.explained.items():
            formatter.write(f"{title}:\n")
            for one in commands:
                formatter.write(f"  {one.name:<{width}}  {one.get_short_help_str(limit=100)}\n")
        for title, commands in self.named.items():
            line = f"{title}: {', '.join(one.name or '' for one in commands)}"
            formatter.write(fill(line, 80, subsequent_indent="  ", break_on_hyphens=False) + "\n")
        formatter.write("--version shows the version, COMMAND --help what a command does.\n")
