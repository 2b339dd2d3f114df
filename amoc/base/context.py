"""How a function that a scenario calls finds the worker that it runs in.

A worker's parts (its gate to the throttles, its mail, its actions) are handed to the code that
needs them. Only the functions that a scenario calls, `throttle.wait` and `receive` for example,
cannot be handed anything: they look here, and nowhere else. A worker makes one context after its
fork; so does ``amoc check --run``, and so does a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from amoc.base.errors import ClosedError

T = TypeVar("T")


class WorkerContext:
    """A worker's parts, each by its class.

    Attributes:
        process: What events call the process: ``worker-3``; empty outside a run.
        is_scenario: Whether it is a scenario that runs in the process, and no plugin.
        told: What the operator was told once and for all.
    """

    process = ""
    is_scenario = False

    def __init__(self) -> None:
        self.parts: dict[type, Any] = {}  # each is of the type that it is found by
        self.told: set[str] = set()

    def set(self, kind: type[T], part: T | None) -> None:
        """Let `part` be found as `kind`; None takes it away."""
        if part is None:
            self.parts.pop(kind, None)
        else:
            self.parts[kind] = part

    def activate(self) -> None:
        """Let this be the context of the process from now on; the process is what it was."""
        if not self.process:
            self.process, self.is_scenario = _active.process, _active.is_scenario
        self._put()

    def _put(self) -> None:
        global _active, _parts
        _active, _parts = self, self.parts

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Let this be the context of the process within the block."""
        before = _active
        self.activate()
        try:
            yield
        finally:
            before._put()


class _Gone:
    """Stands in place of what a forked process must not use: whatever is done with it raises."""

    def _refuse(self, *_: object) -> NoReturn:
        raise ClosedError(
            "amoc cannot be used in a process that a user has forked: record metrics and send"
            " messages in the user itself, and let the child write its results to a pipe or a file"
        )

    __getattr__ = __getitem__ = __setitem__ = _refuse


GONE: Any = _Gone()


def disable() -> None:
    """Let this forked process find nothing of the worker that it was copied from."""
    global _parts
    _parts = GONE


_active = WorkerContext()
_parts = _active.parts  # looked into at each call of a user


def active() -> WorkerContext:
    """The context of this process; one without parts where there is no worker."""
    return _active


def find(kind: type[T]) -> T | None:
    """The part of this process's worker that is a `kind`, if there is one."""
    return _parts.get(kind)
