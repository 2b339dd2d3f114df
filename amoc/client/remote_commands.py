"""Commands for a server's run, for `amoc.client.remote.Client` and ``--server``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from amoc.base.errors import UsageError
from amoc.base.json_plain import JsonObject
from amoc.client import options
from amoc.client.answers import Done, RunStatus, Status
from amoc.client.options import Value
from amoc.client.rest_client import RestClient

ARRIVALS = "arrival_rate"
"""Name of the throttle that an arrival rate uses."""


def running(server: RestClient, run: str | None, option: str) -> RunStatus:
    """Return the status of a running run; None selects the only one.

    Args:
        server: The server.
        run: Its id.
        option: How the caller selects one, for messages.

    Raises:
        UsageError: It is not running, or none is given and several are.
    """
    found = [
        one for one in Status.of(server.request("GET", "/status")).runs if run in (None, one.run)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.run for one in found)
        raise UsageError(f"several runs are running at {server}: {names}; choose one with {option}")
    which = "no run is" if run is None else f"run {run} is not"
    raise UsageError(f"{which} running at {server}")


def give(
    server: RestClient,
    name: str,
    run: str | None,
    arguments: Mapping[str, object],
    comment: str = "",
) -> JsonObject:
    """Send a command to a run, and return its answer.

    Args:
        server: The server.
        name: Name of the command, as in docs/control.md.
        run: Id of the run; None for the only running one.
        arguments: Arguments of the command, except those that are None.
        comment: Comment for the run's journal.

    Raises:
        ServiceError: The command is refused. Nothing has changed.
    """
    given = {"run": run, "comment": comment or None, **arguments}
    body = {key: one for key, one in given.items() if one is not None}
    return server.request("PATCH", f"/execution/{quote(name, safe='')}", body)


class Commands:
    """Commands for a run: the one called `run`, or the only running one."""

    _server: RestClient

    def command(
        self, name: str, /, *, run: str | None = None, comment: str = "", **arguments: object
    ) -> Done:
        """Send a run a command by its name in docs/control.md.

        Raises:
            ServiceError: The command is refused. Nothing has changed.
        """
        return Done.of(give(self._server, name, run, arguments, comment))

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
            count: Number of users.
            ids: First and last id of the users to add, instead of `count`.
            on_nodes: Only on these nodes, by name or host.
            run: The run.
            comment: Comment for its journal.
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
            count: Number of users.
            ids: First and last id of the users to remove, instead of `count`.
            force: Do not let their iterations finish.
            on_nodes: Only on these nodes, by name or host.
            run: The run.
            comment: Comment for its journal.
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
