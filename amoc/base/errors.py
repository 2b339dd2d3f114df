"""The errors that amoc raises on purpose, by whose fault they are, and their exit codes.

A message names the thing, the rule, the value and its source, in one line and without a full stop:
``repeat_num must be a whole number from 1, or infinity, got 0 (from AMOC_REPEAT_NUM)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """Exit codes of `amoc`. Pipelines branch on them, so their meanings never change."""

    OK = 0
    """The run completed, or was stopped gracefully."""
    INTERNAL = 1
    """An internal error of amoc; the traceback is meant for its developers."""
    USAGE = 2
    """The command line is wrong: unknown option, value out of range, no such file."""
    SETTING = 3
    """A setting is unknown, missing, of the wrong type or rejected by its check."""
    SCENARIO = 4
    """The scenario cannot be loaded: it does not import, or has no start()."""
    INIT_FAILED = 5
    """init() raised or returned amoc.Error."""
    INIT_TIMEOUT = 6
    """init() did not return within --init-timeout."""
    RESOURCE = 7
    """The host lacks a resource: file descriptors, shared memory, a port, room for the output."""
    NODE_LOST = 8
    """A process that the run depends on died."""
    TERMINATE_FAILED = 9
    """The run completed, but terminate() raised or did not return in time."""
    WORKERS_LOST = 10
    """A worker died repeatedly soon after its start, so the run was aborted."""
    STUCK = 11
    """The run completed, but some users did not stop even when killed, or were lost with their
    worker."""
    THRESHOLD = 12
    """The run completed, but violated a threshold of --expect or of the scenario, or nothing that
    users tried succeeded."""
    GENERATOR_LIMITED = 13
    """The run completed, but the load generator was too slow to measure the target."""
    INCOMPLETE = 14
    """Some results of a run could not be written to its directory, or have been deleted."""
    INTERRUPTED = 130
    """Stopped at once by a second Ctrl-C; users had no time to finish."""


class Error(Exception):
    """A rejection with a reason: of the run by init(), of a value by a check or update function.

    Returning it and raising it are equivalent.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(str(reason))
        self.reason = str(reason)

    def __repr__(self) -> str:
        return f"Error({self.reason!r})"


class AmocError(Exception):
    """The root of all errors that amoc raises on purpose."""

    exit_code = ExitCode.INTERNAL

    def with_code(self, code: int | None) -> Self:
        """Set the exit code that another process gave, and return the error itself."""
        self.exit_code = ExitCode(code) if code in list(ExitCode) else ExitCode.INTERNAL
        return self


class UsageError(AmocError):
    """The operator's fault: the command line is wrong."""

    exit_code = ExitCode.USAGE


class SettingError(AmocError):
    """The operator's fault: one or more settings are wrong.

    Attributes:
        problems: One line for each error; all are collected before this is raised.
    """

    exit_code = ExitCode.SETTING

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ScenarioError(AmocError):
    """The scenario's fault: it cannot be loaded, or uses amoc in a way that cannot work."""

    exit_code = ExitCode.SCENARIO


class InitError(ScenarioError):
    """The scenario's init() raised, returned `amoc.Error` or hung."""

    exit_code = ExitCode.INIT_FAILED


class MailError(ScenarioError):
    """A message sent with a check did not reach its recipient's mailbox."""


class MailTimeout(MailError, TimeoutError):
    """No message arrived in time."""


class ResourceError(AmocError):
    """The host's fault: it lacks file descriptors, memory or a free port."""

    exit_code = ExitCode.RESOURCE


class PeerError(AmocError):
    """Another process or host disconnected, refused a request, or sent something invalid."""

    exit_code = ExitCode.NODE_LOST


class ClosedError(AmocError):
    """Our own fault: something was used after it was closed."""


@contextmanager
def os_error_as(kind: Callable[[str], Exception], what: str, end: str = "") -> Iterator[None]:
    """Convert an OSError in the block to `kind`, with the text ``what: reason`` and `end`."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}{end}") from None


@contextmanager
def value_error_as(kind: type[Exception], begin: str = "", end: str = "") -> Iterator[None]:
    """Convert a ValueError in the block to `kind`, with `begin` before its text and `end` after."""
    try:
        yield
    except ValueError as error:
        raise kind(f"{begin}{error}{end}") from None
