"""The command line: ``amoc run``, ``amoc plan``, ``amoc status`` and the others.

Commands, and most of what they import, are loaded when they are called. So runs start quickly, and
``amoc check`` can patch the standard library first.
"""

from __future__ import annotations

import atexit
import errno
import gc
import sys
from typing import NoReturn

import click

from amoc import __version__
from amoc.base import collector, early_interrupt
from amoc.base.errors import AmocError, ExitCode, ResourceError, UsageError
from amoc.cli import command_groups, output
from amoc.cli.messages import fail, say
from amoc.control.commands import COMMANDS as CONTROL


@click.group(
    cls=command_groups.Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    explained={
        "Run": ("run", "plan", "replay", "check", "new"),
        "Results": ("runs", "report", "compare", "export"),
        "Server": ("serve", "start", "stop-server", "attach"),
    },
    named={"Control": tuple(CONTROL), "Others": ("node", "xmppd", "completion")},
    modules={"start": "serve", "stop-server": "serve", **dict.fromkeys(CONTROL, "control")},
)
@click.version_option(__version__, prog_name="amoc")
def cli() -> None:
    """Run load tests with large numbers of virtual users."""


_LACKS = {
    errno.ENOMEM: "there is not enough memory to run amoc (see ulimit -v, or a container's limit)",
    errno.EMFILE: "too many files are open in this process: raise its limit (ulimit -Hn)",
    errno.ENFILE: "too many files are open on this host (see fs.file-max)",
}
"""What the system lacks when it refuses something, by error number."""


def main() -> NoReturn:
    """Run the command line. An AmocError becomes a line and an exit code, not a traceback."""
    collector.collect_rarely()
    output.open_streams()
    atexit.register(gc.freeze)  # skip the search for reference cycles at exit
    code = _run()
    sys.stdout.flush()
    if why := output.failure():
        say(f"the output cannot be written: {why}")
        code = code or ExitCode.RESOURCE
    sys.exit(code)


def _run() -> int:
    """Run the command. Return the exit code."""
    early_interrupt.end()
    try:
        return int(cli.main(standalone_mode=False) or ExitCode.OK)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or ExitCode.OK
        say(str(end.code))  # like Python itself
        return ExitCode.INTERNAL
    except AmocError as error:
        return fail(error)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return ExitCode.USAGE
    except click.MissingParameter as error:
        return fail(UsageError(f"{error.format_message().rstrip('.')} (see --help)"))
    except click.BadParameter as error:
        name = error.param.opts[0] if error.param is not None else ""
        return fail(UsageError(f"{name} {error.message}".strip()))
    except click.ClickException as error:
        return fail(UsageError(f"{error.format_message()} (see --help)"))
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except (OSError, MemoryError) as error:
        lack = _LACKS.get(errno.ENOMEM if isinstance(error, MemoryError) else error.errno or 0)
        if lack is None:
            raise
        return fail(ResourceError(lack))
