"""The view of this process's run, imported when there is something to show or time for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

import gevent

from amoc.results.summary_types import Summary
from amoc.runtime.controller.status import Status

if TYPE_CHECKING:
    from amoc.cli.view.live import LiveView
    from amoc.cli.view.plain import PlainView
    from amoc.control.answers import Answer
    from amoc.control.commands import Command
    from amoc.runtime.controller.controller import Controller

SOON_S = 0.3
"""Tables appear on a terminal after this time, even if nodes are still loading the scenario."""


def view_of(
    stream: TextIO, status: Status, operate: Callable[[Command, str], Answer] | None
) -> tuple[LiveView | PlainView, AbstractContextManager[object]]:
    """Return the view of a run on a stream, and its keyboard control. Both are context managers.

    It has tables if the stream is a terminal that supports them, else lines.

    Args:
        stream: The stream to write to.
        status: Status of the run.
        operate: Executes the command of a key, given its source; None to disable keys.
    """
    view: LiveView | PlainView
    tables: LiveView | None = None
    if stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        from amoc.cli.view.console import console
        from amoc.cli.view.live import LiveView

        view = tables = LiveView(console(stream=stream), status)
    else:
        from amoc.cli.view.plain import PlainView
        from amoc.cli.view.stream import prepared

        view = PlainView(prepared(stream), status)
    if operate is None or not stream.isatty():
        return view, nullcontext()
    from amoc.cli.view.keyboard import Keyboard

    keyboard = Keyboard(status, operate, view.event, view.show)
    if tables is not None:
        tables.keyboard = keyboard
    return view, keyboard


class ShownRun:
    """Shows a run on a stream: live, and its summary.

    Users do not have to wait for the imports that this requires: call `load` when there is time.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._view: LiveView | PlainView | None = None
        self._controller: Controller | None = None
        self._until_over = ExitStack()

    @contextmanager
    def by(self, controller: Controller) -> Iterator[None]:
        """Show the run of `controller`, and read its keys, until it ends."""
        self._controller = controller
        with self._until_over as until_over:
            until_over.callback(gevent.spawn_later(SOON_S, self.load).kill)
            yield
        self._controller = None

    def load(self) -> LiveView | PlainView:
        """The view of the run, which is shown from the first access on."""
        if self._view is None:
            run = self._controller
            self._view, keys = view_of(
                self._stream,
                run.status if run is not None else Status(),
                run.operate if run is not None else None,
            )
            if run is not None:
                self._until_over.enter_context(self._view)
                self._until_over.enter_context(keys)
        return self._view

    def line(self, text: str) -> None:
        """Show a line of output of the run's processes."""
        self.load().line(text)

    def event(self, level: str, text: str) -> None:
        """Show an event."""
        self.load().event(level, text)

    def summary(self, summary: Summary) -> None:
        """Show the summary of the run."""
        from amoc.cli.view.console import console
        from amoc.cli.view.summary import print_summary

        print_summary(console(stream=self._stream), summary)
