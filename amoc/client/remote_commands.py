"""Commands for a run of a server: `amoc.client.remote.Client` has them, and so has ``--server``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from amoc.base.errors import UsageError
from amoc.client import options
from amoc.client.answers import Done, RunStatus, Status
from amoc.client.http_line import Line
from amoc.client.options import Value

ARRIVALS = "arrival_rate"
"""The throttle that an arrival rate is."""


def running(line: Line, run: str | None, option: str) -> RunStatus:
    """The run that is meant, which runs; None means the only one.

    Args:
        line: The server.
        run: Its id.
        option: How the caller chooses one, for messages.

    Raises:
        UsageError: It does not run, or none is given and several do.
    """
    found = [one for one in Status.of(line.ask("GET", "/status")).runs if run in (None, one.run)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.run for one in found)
        raise UsageError(f"several runs are running at {line}: {names}; choose one with {option}")
    which = "no run is" if run is None else f"run {run} is not"
    raise UsageError(f"{which} running at {line}")


def give(
    line: Line, name: str, run: str | None, arguments: Mapping[str, object], comment: str = ""
) -> Mapping[str, Any]:
    """What a run answers to a command.

    Args:
        line: The server.
        name: The command's, as in docs/control.md.
        run: Its id; None means the only one that is running.
        arguments: Of the command; None stands for one that is not given.
        comment: For the run's journal.

    Raises:
        ServiceError: It is refused; nothing was changed.
    """
    given = {"run": run, "comment": comment or None, **arguments}
    body = {key: one for key, one in given.items() if one is not None}
    answer: Mapping[str, Any] = line.ask("PATCH", f"/execution/{quote(name, safe='')}", body)
    return answer


class Commands:
    """Commands for a run: the one called `run`, or the only one that is running."""

    _line: Line

    def command(
        self, name: str, /, *, run: str | None = None, comment: str = "", **arguments: object
    ) -> Done:
        """Give a run a command of the table in docs/control.md, by name.

        Raises:
            ServiceError: It is refused; nothing was changed.
        """
        return Done.of(give(self._line, name, run, arguments, comment))

    def stop(self, run: str | None = None, *, comment: str = "") -> Done:
        """Stop a run gracefully."""
        return self.command("stop", run=run, comment=comment)

    def pause(self, run: str | None = None, *, comment: str = "") -> Done:
        """Pause a run."""
        return self.command("pause", run=run, comment=comment)

    def resume(self, run: str | None = None, *, comment: str = "") -> Done:
        """Resume a paused run."""
        return self.command("resume", run=run, comment=comment)

    def add(
        self,
        count: int | None = None,
        *,
        ids: tuple[int, int] | None = None,
        on_nodes: Sequence[str] | None = None,
        run: str | None = None,
        comment: str = "",
    ) -> Done:
        """Add users.

        Args:
            count: So many.
            ids: Those with the ids from the first to the last of this pair instead.
            on_nodes: Only on these nodes, by their names or their hosts'.
            run: Which run.
            comment: For its journal.
        """
        return self.command(
            "add", run=run, comment=comment, count=count, ids=ids, on_nodes=_names(on_nodes)
        )

    def remove(
        self,
        count: int | None = None,
        *,
        ids: tuple[int, int] | None = None,
        force: bool = False,
        on_nodes: Sequence[str] | None = None,
        run: str | None = None,
        comment: str = "",
    ) -> Done:
        """Remove users.

        Args:
            count: As in `add`, and so are the others.
            ids: Those with these ids instead.
            force: Their iterations do not finish.
            on_nodes: Only on these nodes.
            run: Which run.
            comment: For its journal.
        """
        given = {"count": count, "ids": ids, "on_nodes": _names(on_nodes), "force": force or None}
        return self.command("remove", run=run, comment=comment, **given)

    def set(
        self,
        values: Mapping[str, Value],
        *,
        on_nodes: Sequence[str] | None = None,
        run: str | None = None,
        comment: str = "",
    ) -> Done:
        """Change settings, on all workers or on none; with `on_nodes` on those of these nodes."""
        given = {"values": options.settings(values), "on_nodes": _names(on_nodes)}
        return self.command("set", run=run, comment=comment, **given)

    def throttle(self, name: str, rate: str, *, run: str | None = None, comment: str = "") -> Done:
        """Change the rate of a throttle: ``10/s``, ``inf``, or stages."""
        return self.command("throttle", run=run, comment=comment, name=name, rate=rate)

    def rate(self, rate: str, *, run: str | None = None, comment: str = "") -> Done:
        """Change the arrival rate of a run that has one: ``50/s``, or stages."""
        return self.throttle(ARRIVALS, rate, run=run, comment=comment)

    def note(self, text: str, *, run: str | None = None) -> Done:
        """Add a note to a run's journal and charts."""
        return self.command("note", run=run, comment=text)


def _names(nodes: Sequence[str] | None) -> list[str] | None:
    return None if nodes is None else options.texts("on_nodes", nodes)
