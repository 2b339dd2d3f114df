"""What an ``amoc`` command that the server has started says, and what it refuses with. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from amoc.base.errors import AmocError, ExitCode

_MARK = "amoc: "


def told(lines: Iterable[str]) -> list[str]:
    """What it tells its operator among the `lines` that it has printed."""
    return [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]


def refusal(lines: Iterable[str], code: int | None) -> AmocError:
    """The error that it ended with.

    Args:
        lines: What it has printed.
        code: Its exit status.
    """
    printed = list(lines)
    error = AmocError("\n".join(told(printed) or printed[-1:]) or f"amoc exited with {code}")
    error.exit_code = ExitCode(code) if code in list(ExitCode) else ExitCode.INTERNAL
    return error
