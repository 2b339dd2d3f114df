"""Output of an ``amoc`` command that the server has started: its messages and errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from amoc.base.errors import AmocError

_MARK = "amoc: "


def messages(lines: Iterable[str]) -> list[str]:
    """Return the messages to the operator among the printed `lines`."""
    return [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]


def refusal(lines: Iterable[str], code: int | None) -> AmocError:
    """Return the error that a command ended with.

    Args:
        lines: Its output.
        code: Its exit status.
    """
    printed = list(lines)
    said = "\n".join(messages(printed) or printed[-1:])
    return AmocError(said or f"amoc exited with code {code}").with_code(code)
