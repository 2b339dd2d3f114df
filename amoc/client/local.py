"""``amoc.run``: runs from a program, a notebook or a test, each in its own process tree."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from amoc.base import errors
from amoc.base.errors import AmocError, ExitCode
from amoc.base.process import describe_exit
from amoc.client import options as run_options
from amoc.client.child import Ended, RunProcess
from amoc.client.options import Value
from amoc.client.result import RunResult
from amoc.results import run_directory, saved_run
from amoc.results.run_directory import BASE, RunDirectory
from amoc.scenario.scenario_files import name_of

_KINDS = (
    *(errors.UsageError, errors.SettingError, errors.ScenarioError),
    *(errors.InitError, errors.ResourceError, errors.PeerError),
)
_ERRORS: Mapping[int, type[AmocError]] = {
    ExitCode.INIT_TIMEOUT: errors.InitError,
    **{kind.exit_code: kind for kind in _KINDS},
}
_SAID = re.compile(r"^amoc: (?!warning: )(.*)$", re.MULTILINE)


class Stopped(KeyboardInterrupt):
    """The caller was interrupted, and the run has been stopped.

    Attributes:
        result: The results up to then.
    """

    def __init__(self, result: RunResult) -> None:
        super().__init__(f"the run was stopped; its results so far are in {result.directory}")
        self.result = result


def carry_out(
    scenario: str | os.PathLike[str] | Mapping[str, int | str],
    *,
    set: Mapping[str, Value] | None,
    run_dir: str | os.PathLike[str] | None,
    runs_dir: str | os.PathLike[str],
    env: Mapping[str, str] | None,
    on_line: Callable[[str], object] | None,
    **given: object,
) -> RunResult:
    """Run `scenario` to its end. The arguments are those of `amoc.client.api.Run`.

    Raises:
        AmocError: The run failed before a user could start.
        Stopped: It was interrupted.
    """
    source, arguments = run_options.source(scenario), ["run", *run_options.arguments(given)]
    explicit = os.fspath(run_dir) if run_dir is not None else None
    text = ""
    if set:  # not on the command line, which all users of the machine can read
        text = json.dumps(run_options.settings(set))
        arguments.append("--set-json=-")
    directory = RunDirectory.create(
        explicit, name_of(source), datetime.now(UTC), os.fspath(runs_dir)
    )
    arguments += [f"--run-dir={directory.path}", "--", source]
    try:
        ended = RunProcess(arguments, env, on_line, text).wait()
    except BaseException:
        _discard_unused(directory)
        raise
    return _result(directory, ended)


def read_run(
    run: str | os.PathLike[str] = "last", runs_dir: str | os.PathLike[str] = BASE
) -> RunResult:
    """Read the result of a run from its directory, whether it is complete or not.

    Args:
        run: Its directory, its id, or ``last``, ``last~1`` and so on.
        runs_dir: Directory to search for it.

    Raises:
        UsageError: There is no such run.
    """
    directory = run_directory.locate(os.fspath(run), os.fspath(runs_dir), what="run")
    return RunResult(saved_run.load(directory))


def _result(directory: RunDirectory, ended: Ended) -> RunResult:
    """Return the result of a run that has ended.

    Raises:
        AmocError: No user could start.
        Stopped: The run was interrupted.
        KeyboardInterrupt: The run was interrupted before a user could start.
    """
    if _discard_unused(directory):
        if ended.interrupts:
            raise KeyboardInterrupt
        raise _error(ended)
    result = RunResult(saved_run.load(directory), ended.output)
    if ended.interrupts:
        raise Stopped(result)
    return result


def _discard_unused(directory: RunDirectory) -> bool:
    """Remove the directory if the run has written nothing. Return whether it did so."""
    if any(one.exists() for one in (directory.summary, directory.series, directory.journal)):
        return False
    directory.discard()
    return True


def _error(ended: Ended) -> AmocError:
    """Return the error of a run that failed to start, from its own messages."""
    said = "\n".join(_SAID.findall(ended.errors))
    if not said:
        said = ended.errors.strip() or f"amoc run {describe_exit(ended.status)}"
    return _ERRORS.get(ended.status, AmocError)(said).with_code(ended.status)
