"""Access to the parts of the current worker, for the functions that a scenario calls.

A worker's parts (its gate to the throttles, its mail, its actions) are passed as arguments to the
code that needs them. Only functions called by a scenario, such as `throttle.wait` and `receive`,
cannot get arguments; they alone find the parts here. A worker creates its context after the fork;
so do ``amoc check --run`` and tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from amoc.base.errors import ClosedError

T = TypeVar("T")


class WorkerContext:
    """A worker's parts, by class.

    Attributes:
        process: The name of the process in events: ``worker-3``; empty outside a run.
        is_scenario: Whether a scenario runs in the process, rather than a plugin.
        warned: One-time messages already shown to the operator.
    """

    process = ""
    is_scenario = False

    def __init__(self) -> None:
        self.parts: dict[type, Any] = {}  # Any: each is an instance of its key
        self.warned: set[str] = set()

    def set(self, kind: type[T], part: T | None) -> None:
        """Register `part` as the `kind`; None removes it."""
        if part is None:
            self.parts.pop(kind, None)
        else:
            self.parts[kind] = part

    def activate(self) -> None:
        """Make this the context of the process, whose name and role stay the same."""
        if not self.process:
            self.process, self.is_scenario = _active.process, _active.is_scenario
        self._put()

    def _put(self) -> None:
        global _active, _parts
        _active, _parts = self, self.parts

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Make this the context of the process within the block."""
        before = _active
        self.activate()
        try:
            yield
        finally:
            before._put()


class _Gone:
    """Replaces objects that a forked process must not use: any use raises ClosedError."""

    def _refuse(self, *_: object) -> NoReturn:
        raise ClosedError(
            "amoc cannot be used in a process forked by a user: record metrics and send messages"
            " in the user itself, and let the child write its results to a pipe or a file"
        )

    __getattr__ = __getitem__ = __setitem__ = _refuse


GONE: Any = _Gone()  # Any: takes the place of objects of all types


def disable() -> None:
    """Make the parts of the parent worker unusable in this forked process."""
    global _parts
    _parts = GONE


_active = WorkerContext()
_parts = _active.parts  # a separate global, since users look it up in each call


def active() -> WorkerContext:
    """Return the context of this process; one without parts outside a worker."""
    return _active


def find(kind: type[T]) -> T | None:
    """Return the part of this process's worker that is a `kind`, if any."""
    return _parts.get(kind)
