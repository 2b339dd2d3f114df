"""What an exporter promises to the run.

An exporter gets each point of a run and passes it on to a backend. The run must not notice whether
that is there: nothing here waits for it or raises, whatever is held is bounded, and what goes wrong
is said once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from amoc.results.series import Point, Tally

Warn = Callable[[str], None]
"""Is told what the operator should know, in one line; it must neither wait nor raise."""


class RunInfo(NamedTuple):
    """Which run it is."""

    run_id: str
    scenario: str


class Exporter:
    """Passes on what a run sees; what it has no use for is ignored.

    Attributes:
        name: What messages call it.
    """

    name: str

    def take(self, point: Point, tally: Tally, /) -> None:
        """Take the next point; never blocks, never raises.

        Args:
            point: The last second.
            tally: The sum of all points, this one included. It may grow later on.
        """

    def annotate(self, text: str, tags: Sequence[str], at: float) -> None:
        """Pass on what happened to the run at `at`, seconds since 1970; never blocks or raises."""

    def close(self, deadline_s: float) -> None:
        """Pass on what is left, for at most `deadline_s` seconds, and let everything go."""


def place(host: str, port: int) -> str:
    """Host and port in one word, as messages show them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason(error: BaseException) -> str:
    """Why something went wrong, without the number of the error."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
