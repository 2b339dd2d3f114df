"""``amoc completion``: shell completion of commands, options, files and runs."""

from __future__ import annotations

from itertools import islice

import click
from click.shell_completion import CompletionItem, get_completion_class

from amoc.cli import server_option

SHELLS = ("bash", "zsh", "fish")
MAX_RUNS = 100
"""Maximum number of runs to offer, newest first."""


def files(_context: object, _parameter: object, beginning: str) -> list[CompletionItem]:
    """Have the shell complete files, as it does for its own commands."""
    return [CompletionItem(beginning, type="file")]


def directories(_context: object, _parameter: object, beginning: str) -> list[CompletionItem]:
    """Have the shell complete directories."""
    return [CompletionItem(beginning, type="dir")]


def runs(_context: object, _parameter: object, beginning: str) -> list[CompletionItem]:
    """Complete the names of runs in amoc-runs; directories if none matches."""
    from amoc.results import run_directory

    newest = islice(run_directory.runs(), MAX_RUNS)
    names = ["last", *(one.path.name for one in newest)]
    found = [CompletionItem(name) for name in names if name.startswith(beginning)]
    return found or [CompletionItem(beginning, type="dir")]


@server_option.refused("amoc completion is for the shell of this host")
@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for a shell to complete commands, options, files and runs of amoc.

    \b
    bash: eval "$(amoc completion bash)"    in ~/.bashrc
    zsh:  eval "$(amoc completion zsh)"     in ~/.zshrc, below compinit
    fish: amoc completion fish | source     in ~/.config/fish/config.fish
    """  # noqa: D301 - click wants the character \b
    of_shell = get_completion_class(shell)
    assert of_shell is not None  # click supports all of SHELLS
    click.echo(of_shell(context.find_root().command, {}, "amoc", "_AMOC_COMPLETE").source())
