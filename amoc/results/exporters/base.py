"""The common base of all exporters.

An exporter sends each point of a run to a backend. The backend must not affect the run: nothing
here blocks or raises, all buffers are bounded, and problems are reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from amoc.results.series import Point, Tally

Warn = Callable[[str], None]
"""Called with a warning for the operator, one line; it must neither block nor raise."""


class RunInfo(NamedTuple):
    """The identity of a run."""

    run_id: str
    scenario: str


class Exporter:
    """Sends points and annotations of a run to a backend; those that it cannot use are ignored."""

    def take(self, point: Point, tally: Tally, /) -> None:
        """Take the next point; never blocks, never raises.

        Args:
            point: The last second.
            tally: The sum of all points, including this one. It may grow later on.
        """

    def annotate(self, text: str, tags: Sequence[str], at: float) -> None:
        """Send an event of the run, `at` seconds since 1970; never blocks or raises."""

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s` seconds, and release all resources."""


def place(host: str, port: int) -> str:
    """Return host and port for messages."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason(error: BaseException) -> str:
    """Return why something went wrong, without the error number."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
