"""Live view of a run: tables that refresh on a terminal.

They are made from `Status` only. Output of the run's processes and events appear above the tables
and remain in the terminal's history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.cli.view.figures import Now
from amoc.cli.view.key_bindings import CLOSE, HINT
from amoc.cli.view.plain import RefreshedView, event_text
from amoc.cli.view.sections import all_of, last_event, progress
from amoc.cli.view.table_layout import lines, share_out
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status
from amoc.scenario.scenario_files import file_names

if TYPE_CHECKING:
    from amoc.cli.view.keyboard import Keyboard

REFRESH_S = 0.5
AIRY = 40
"""Minimum number of lines of a window for blank lines between sections."""
_STYLE = {"info": "cyan", "warning": "yellow", "error": "bold red", "trace": "dim"}


class LiveView(RefreshedView):
    """Shows a run on a terminal.

    Attributes:
        console: The console.
        keyboard: The keyboard control, whose keys are listed while it is active.
    """

    interval_s = REFRESH_S

    def __init__(self, console: Console, status: Status) -> None:
        """Show `status` on `console`."""
        self.console = console
        self.keyboard: Keyboard | None = None
        self._status = status
        self._live: Live | None = None
        self._overlay: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Show `lines` instead of the tables; no lines restore the tables."""
        self._overlay = lines
        self.refresh()

    def refresh(self) -> None:
        """Refresh the tables."""
        if self._live is not None:
            self._live.update(self.drawn(), refresh=True)

    def __enter__(self) -> Self:
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        return super().__enter__()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if self._live is not None:
            self._live.update("", refresh=True)
            self._live.stop()
            self._live = None

    def line(self, text: str) -> None:
        """Show a line of output of the run's processes."""
        self.console.print(Text.from_ansi(text), soft_wrap=True)

    def event(self, level: str, text: str) -> None:
        """Show an event, without control characters, as it may quote a response of the target."""
        shown = event_text(level, text)
        self.console.print(Text(shown, style=_STYLE.get(level, "")), soft_wrap=level == "trace")

    def drawn(self) -> RenderableType:
        """Return the tables that fit, most important first, and a line that names the others."""
        # The last line of the window stays free, as each refresh would scroll it otherwise.
        height, width = self.console.height - 1, self.console.width
        head, foot = self._head(), self._foot()
        if self._overlay:
            foot = [Text(CLOSE, style="dim")]
            shown = self._over(width, height - len(head) - len(foot) - 1)
            return Group(*map(_fitting, (*head, Text(), *shown, *foot)))
        sections = all_of(self._status)
        airy = height >= AIRY
        room = height - len(head) - len(foot) - 1 - (len(sections) if airy else 0)
        wanted = [len(section.rows) for section in sections]
        given = share_out(wanted, room)
        if not all(given):  # events are dropped first, except the last one
            event = last_event(self._status)
            kept = [event] if event is not None else []
            given = share_out(wanted, room - 1 - len(kept))
            hidden = [one.title for one, rows in zip(sections, given, strict=True) if not rows]
            foot = [*kept, Text(f"in a larger window: {', '.join(hidden)}", style="dim"), *foot]
        parts = [*head, Text()]
        for section, rows in zip(sections, given, strict=True):
            if rows:
                parts += [*lines(section, rows, width), *([Text()] if airy else [])]
        return Group(*[_fitting(part) for part in (*parts, *foot)][:height])

    def _over(self, width: int, room: int) -> list[Text]:
        """Return what is shown instead of the tables, wrapped, in at most `room` lines."""
        texts = [Text(printable(line)) for line in self._overlay]
        wrapped = [part for text in texts for part in text.wrap(self.console, width)]
        if len(wrapped) <= room:
            return wrapped
        more = len(wrapped) - room + 1
        return [*wrapped[: room - 1], Text(f"… {more} more lines in a larger window", style="dim")]

    def _foot(self) -> list[Text]:
        taken = self.keyboard is not None and self.keyboard.active
        return [Text(HINT, style="dim")] if taken else []

    def _head(self) -> list[Text]:
        status, users = self._status, self._status.users
        scenario = file_names(status.plan.scenario) if status.plan else ""
        first = Text.assemble(
            (f"{scenario} ", "bold"),
            (status.state.value, "green" if status.state is State.RUNNING else "yellow"),
            f" {format_duration(status.elapsed_s)}{progress(status)}",
            f", target {printable(', '.join(status.targets))}" if status.targets else "",
        )
        second = Text.assemble(
            "users: ",
            (f"{users['running']:,}", "bold"),
            " running",
            (f" ({users['resting']:,} resting)" if users["resting"] else "", "yellow"),
            f", {users['waiting']:,} pending, {users['finished']:,} finished, ",
            (f"{users['crashed']:,} crashed", "bold red" if users["crashed"] else ""),
            f", {users['removed']:,} removed" if users["removed"] else "",
            (f", {users['timed_out']:,} timed out" if users["timed_out"] else "", "bold red"),
            (f", {users['lost']:,} lost" if users["lost"] else "", "bold red"),
            f", {users['restarted']:,} restarted" if users["restarted"] else "",
            f", {Now(status).rate(lambda some: some.starts):,.0f} starts/s",
        )
        return [first, second]


def _fitting(line: Text) -> Text:
    """Return `line` on a single line, whatever the width of the window."""
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
