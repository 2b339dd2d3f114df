"""The sub-commands that control a run: ``amoc status``, ``amoc add 100``, ``amoc pause`` and so on.

Generated from the table in `amoc.control.commands`. Each finds the run, sends the command over its
control socket, and prints the answer: a line for the run and one for each worker. The exit code is
0 if the run accepted the command, else the code of its error.
"""

from __future__ import annotations

from collections.abc import Collection

import click

from amoc.base.text import printable
from amoc.cli import completion, server_option, setting_values
from amoc.cli.json_option import JsonCommand, json_parameter
from amoc.cli.param_types import USER_IDS, whole
from amoc.cli.run_data import output_json
from amoc.control import commands

_SHARED = (
    click.Option(
        ["--run"],
        metavar="DIR",
        shell_complete=completion.runs,
        help="The run's directory or id.  [default: the only run]",
    ),
    json_parameter("the whole answer"),
)


def command_of(spec: commands.CommandSpec) -> click.Command:
    """Return the sub-command that sends `spec` to a run."""

    def send(
        run: str | None, json_file: str | None, comment: str | tuple[str, ...], **own: object
    ) -> None:
        from amoc.control import answer_text, client
        from amoc.results.run_directory import find

        text = comment if isinstance(comment, str) else " ".join(comment)
        given = {name: value for name, value in own.items() if value is not None}
        command = commands.checked(spec.name, given, text)
        if (server := server_option.server()) is not None:
            answer = server_option.command(server, run, command)
        else:
            answer = client.request(find(run).control, *command)
        if json_file is not None:
            output_json(answer, json_file)
            return
        for line in answer_text.lines_of(answer):
            click.echo(printable(line))

    instead = {one.instead_of: one.name for one in spec.arguments if one.instead_of}
    parameters = [_parameter(one, instead) for one in spec.arguments]
    return JsonCommand(
        spec.name,
        callback=send,
        help=spec.help,
        params=[*parameters, _comment(spec), *_SHARED, *server_option.PARAMETERS],
        instead=instead,
    )


def _parameter(argument: commands.Argument, instead: Collection[str]) -> click.Parameter:
    """Return a command's argument as a click parameter. Those in `instead` are not required."""
    name, kind = argument.name, argument.type
    if isinstance(kind, commands.Flag):
        return click.Option([f"--{name}"], is_flag=True, help=argument.help)
    if isinstance(kind, commands.IdRange):
        return click.Option(
            [f"--{name}"],
            metavar=argument.metavar,
            type=USER_IDS,
            callback=lambda _context, _parameter, ids: ids and (ids[0], ids[-1]),
            help=argument.help,
        )
    if isinstance(kind, commands.NodeNames):
        return click.Option(
            [f"--{name.replace('_', '-')}"],
            metavar=argument.metavar,
            callback=lambda _context, _parameter, names: names and names.split(","),
            help=argument.help,
        )
    if isinstance(kind, commands.WholeNumber):
        return click.Argument(
            [name],
            metavar=argument.metavar,
            type=whole(kind.low, kind.high),
            required=name not in instead,
        )
    if isinstance(kind, commands.Text):
        return click.Argument([name], metavar=argument.metavar)
    return click.Argument(
        [name], metavar=argument.metavar, nargs=-1, required=True, callback=_pairs
    )


def _pairs(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> object:
    return setting_values.read("set", texts)


def _comment(spec: commands.CommandSpec) -> click.Parameter:
    if spec.text:
        return click.Argument(["comment"], metavar=spec.text, nargs=-1, required=True)
    return click.Option(
        ["--comment"], metavar="TEXT", default="", help="A comment for the run's journal."
    )


COMMANDS = tuple(map(command_of, commands.COMMANDS.values()))
