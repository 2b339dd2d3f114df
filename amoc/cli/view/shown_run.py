"""What shows a run of this process, loaded when there is something to show, or time to load it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO

import gevent

from amoc.results.summary_types import Summary
from amoc.runtime.controller.controller import Controller
from amoc.runtime.controller.status import Status

if TYPE_CHECKING:
    from amoc.cli.view.live import LiveView
    from amoc.cli.view.plain import PlainView

SOON_S = 0.3
"""A terminal shows tables after this time, however long nodes take to load the scenario."""


class ShownRun:
    """Shows a run on a stream: live, and its summary.

    The users of a run need not wait for what that loads: `load` is to be called when there is time.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._view: LiveView | PlainView | None = None
        self._controller: Controller | None = None
        self._until_over = ExitStack()

    @contextmanager
    def by(self, controller: Controller) -> Iterator[None]:
        """Show the run of `controller`, and take its keys, until it is over."""
        self._controller = controller
        with self._until_over as until_over:
            until_over.callback(gevent.spawn_later(SOON_S, self.load).kill)
            yield
        self._controller = None

    def load(self) -> LiveView | PlainView:
        """The view of the run, which is shown from the first call on."""
        if self._view is None:
            return self._tables() if self._stream.isatty() else self._lines()
        return self._view

    def _tables(self) -> LiveView:
        from amoc.cli.view.console import console
        from amoc.cli.view.keyboard import Keyboard
        from amoc.cli.view.live import LiveView

        view = self._view = LiveView(console(stream=self._stream))
        if (run := self._controller) is not None:
            keyboard = Keyboard(run.status, run.operate, view.event, view.show)
            view.attach(run.status, keyboard)
            self._until_over.enter_context(view)
            self._until_over.enter_context(keyboard)
        return view

    def _lines(self) -> PlainView:
        from amoc.cli.view.plain import PlainView
        from amoc.cli.view.stream import prepared

        run = self._controller
        status = run.status if run is not None else Status()
        view = self._view = PlainView(prepared(self._stream), status)
        if run is not None:
            self._until_over.enter_context(view)
        return view

    def line(self, text: str) -> None:
        """Show a line of output of the run's processes."""
        self.load().line(text)

    def event(self, level: str, text: str) -> None:
        """Show an event."""
        self.load().event(level, text)

    def summary(self, summary: Summary) -> None:
        """Show what came of the run."""
        from amoc.cli.view.console import console
        from amoc.cli.view.summary import print_summary

        print_summary(console(stream=self._stream), summary)
