"""The command line: ``amoc run``, ``amoc plan``, ``amoc status`` and the others.

Each command imports what it needs when it is called, so that ``amoc --help`` is quick and ``amoc
check`` can patch the standard library first.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from amoc import __version__
from amoc.base.errors import AmocError, ExitCode, UsageError
from amoc.cli import check, compare, control, export, plan, replay, report, run, xmppd
from amoc.cli.messages import fail


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="amoc")
def cli() -> None:
    """Run load tests with large numbers of simulated users."""


for _command in (
    *(run.run, plan.plan, replay.replay, check.check, *control.COMMANDS),
    *(report.report, compare.compare, export.export, xmppd.xmppd),
):
    cli.add_command(_command)


def _open_standard_streams() -> None:
    """Open all three where cron or a daemon has closed them; no socket may take their place."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != fd:
                os.dup2(nowhere, fd)
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115
    # A line is written when it is printed, also to a pipe or a file.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def main() -> NoReturn:
    """The entry point: an AmocError is a line and an exit code, not a traceback."""
    _open_standard_streams()
    try:
        sys.exit(cli.main(standalone_mode=False))
    except AmocError as error:
        fail(error)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(int(ExitCode.USAGE))
    except click.MissingParameter as error:
        fail(UsageError(f"{error.format_message().rstrip('.')} (see --help)"))
    except click.BadParameter as error:
        name = error.param.opts[0] if error.param is not None else ""
        fail(UsageError(f"{name} {error.message}".strip()))
    except click.ClickException as error:
        fail(UsageError(f"{error.format_message()} (see --help)"))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(int(ExitCode.INTERRUPTED))
