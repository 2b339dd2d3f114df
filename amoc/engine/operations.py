"""What can be done to a run while it runs: add, remove, set, pause, resume, stop, and look at it.

Terminal, control socket and a replayed timeline all come through `Operations.operate`. Commands
that change something are done one after the other; each is refused, or done by every worker, and
answered with what each of them did. All are written to the journal, the refused ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Protocol

import gevent
from gevent.lock import BoundedSemaphore

from amoc import own_settings, pausing
from amoc.engine import placement
from amoc.engine.ordering import Ordering
from amoc.engine.origin import Origin
from amoc.engine.run import Status
from amoc.engine.starts import StartList
from amoc.engine.state import State, Step, after
from amoc.errors import AmocError, ClosedError, PeerError, ResourceError, SettingError, UsageError
from amoc.journal import Journal
from amoc.lines import counted
from amoc.messages import Done
from amoc.timing import now_ns

ORDER_S = 5.0
"""How long workers may take for an order."""
FORCE_S = 10.0
"""The same, where users are killed and get time for their `finally` blocks."""
MOST_AT_ONCE = 1_000_000
"""Users that one command may add."""
UNTIL = (State.RUNNING, State.PAUSED)
"""When a run can be changed."""

Answer = dict[str, Any]


class Freezable(Protocol):
    """A part of the controller whose clock stands still while the run is paused."""

    def freeze(self) -> None:
        """Stand still."""

    def thaw(self) -> None:
        """Go on where it stood."""


class Operations:
    """Does what an operator wants.

    Attributes:
        next_id: The id of the next user that is added.
        updates: Settings that were changed since the start, as raw values.
        stop_asked: Whether somebody wants the run to end.
    """

    def __init__(
        self,
        status: Status,
        ordering: Ordering,
        starts: StartList,
        change_start_rate: Callable[[float], None],
        looks: Callable[[], Mapping[str, list[Answer]]],
        clocks: Sequence[Freezable],
        update_nodes: Callable[[Mapping[str, Any]], None],
        journal: Journal,
        ids: range,
    ) -> None:
        """Operate a run.

        Args:
            status: How it is; its state is changed here when it is paused and resumed.
            ordering: Gives orders to its workers.
            starts: Takes the users that are added.
            change_start_rate: Takes how many users may start in a minute.
            looks: Tells how `throttles`, `coordinators` and `barriers` are.
            clocks: What stands still while the run is paused.
            update_nodes: Tells the nodes of settings for workers to come.
            journal: Where all is written down.
            ids: The numbers that users may have which are added.
        """
        self._status = status
        self._ordering = ordering
        self._starts = starts
        self._change_start_rate = change_start_rate
        self._looks = looks
        self._clocks = clocks
        self._update_nodes = update_nodes
        self._journal = journal
        self._ids = ids
        self._one_at_a_time = BoundedSemaphore()
        self.next_id = ids[0]
        self.updates: dict[str, Any] = {}
        self.stop_asked = False
        self._to_remove = 0
        self._do: Mapping[str, Callable[..., Answer]] = {
            "status": self._tell_status,
            "users": self._tell_users,
            "add": self._add,
            "remove": self._remove,
            "set": self._set,
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
            "note": lambda: {"summary": "noted", "workers": []},
        }

    def operate(
        self, name: str, arguments: Mapping[str, Any], *, source: str, comment: str = ""
    ) -> Answer:
        """Do one command and wait until all workers have.

        Args:
            name: ``status``, ``users``, ``add``, ``remove``, ``set``, ``pause``, ``resume``,
                ``stop`` or ``note``.
            arguments: Those of the command: `count`, `force`, `values`.
            source: Who wants it: ``terminal``, ``socket``, ``replay``.
            comment: A remark that is kept with it.

        Returns:
            A `summary` in one line, a text for each of the `workers`, and what else there is.

        Raises:
            AmocError: It is refused; nothing was changed.
        """
        asked_ns = now_ns()
        looks = name in ("status", "users")
        try:
            if looks:
                return self._do[name](**arguments)
            with self._one_at_a_time:
                answer = self._changed(name, arguments)
        except AmocError as refused:
            if not looks:
                self._write(asked_ns, name, arguments, source, comment, "refused", str(refused))
            raise
        self._write(asked_ns, name, arguments, source, comment, "ok", answer)
        return answer

    def _changed(self, name: str, arguments: Mapping[str, Any]) -> Answer:
        if name not in self._do:
            raise UsageError(f"a command must be one of {', '.join(self._do)}, but is {name!r}")
        if name != "note" and self._status.state not in UNTIL:
            raise UsageError(f"a run that is {self._status.state.value} cannot {name}")
        try:
            return self._do[name](**arguments)
        except ClosedError as impossible:  # by the table of states: no defect, but too late
            raise UsageError(str(impossible)) from None

    def _write(
        self,
        asked_ns: int,
        name: str,
        arguments: Mapping[str, Any],
        source: str,
        comment: str,
        outcome: str,
        answer: object,
    ) -> None:
        self._journal.write(
            "command",
            when_ns=asked_ns,
            name=name,
            arguments=dict(arguments),
            source=source,
            comment=comment,
            outcome=outcome,
            answer=answer,
        )

    # Looking

    def _tell_status(self) -> Answer:
        status, figures = self._status, self._status.figures
        plan = status.plan
        users = {
            "running": figures.running,
            "waiting": status.waiting,
            "finished": figures.finished,
            "crashed": figures.crashed,
            "removed": figures.removed,
        }
        passed, looks = figures.throttles(), self._looks()
        there = ", ".join(f"{count:,} {name}" for name, count in users.items() if count)
        return {
            "summary": f"{status.state.value} for {status.elapsed_s:.0f} s; users: {there or '0'}",
            "state": status.state.value,
            "id": status.run_id,
            "scenario": plan.scenario if plan is not None else "",
            "comment": plan.comment if plan is not None else "",
            "elapsed_s": round(status.elapsed_s, 3),
            "paused_s": round(pausing.frozen_ns() / 1e9, 3),
            "users": users,
            **looks,
            "throttles": [{**one, **passed.get(one["name"], {})} for one in looks["throttles"]],
            "workers": [
                {"worker": f"{node}/{one.slot}", "text": f"{counted(one.users, 'user')}"}
                for node in status.figures.nodes
                for one in figures.workers(node)
            ],
        }

    def _tell_users(self) -> Answer:
        answers = self._ordering.ask("count", {}, ORDER_S)
        workers = [
            {
                "worker": str(origin),
                "text": done.error
                or f"{counted(done.answer['alive'], 'user')}, {done.answer['queued']:,} to start",
                **done.answer,
            }
            for origin, done in answers.items()
        ]
        alive = sum(done.answer.get("alive", 0) for done in answers.values())
        highest = self.next_id - 1
        return {
            "summary": f"{counted(alive, 'user')} alive, {self._status.waiting:,} to start;"
            f" the highest number is {highest}",
            "alive": alive,
            "waiting": self._status.waiting,
            "highest_id": highest,
            "workers": workers,
        }

    # Users

    def add_users(self, count: int, dues_ns: Sequence[int] = ()) -> range:
        """Add users; with `dues_ns`, each is not started before its time.

        Raises:
            ResourceError: There are no numbers left for so many.
        """
        last = self.next_id + count - 1
        if last > self._ids[-1]:
            raise ResourceError(
                f"users can be added up to number {self._ids[-1]} in this run,"
                f" but {count} more would reach {last}"
            )
        ids = range(self.next_id, last + 1)
        self.next_id = last + 1
        self._status.added += count
        self._starts.add(ids, dues_ns)
        return ids

    def _add(self, count: int) -> Answer:
        if not 1 <= count <= MOST_AT_ONCE:
            raise UsageError(f"add must be given 1 to {MOST_AT_ONCE} users, but is given {count}")
        workers = sorted(self._ordering.workers)
        if not workers:
            raise PeerError("no worker is up to take users; try again in a moment")
        ids = self.add_users(count)
        slots = self._starts.slots
        shares = [
            len(placement.ids_of(ids[0], ids[-1], 0, 1, slot, slots)) for slot in range(slots)
        ]
        return {
            "summary": f"users {ids[0]} to {ids[-1]} will start",
            "first_id": ids[0],
            "last_id": ids[-1],
            "workers": [
                {
                    "worker": str(origin),
                    "text": f"{counted(shares[origin.slot], 'user')} to start",
                }
                for origin in workers
            ],
        }

    def remove_soon(self, count: int) -> None:
        """Remove the `count` users with the highest numbers gently, in the background.

        Stages do so; what they remove is in the figures, not in the journal.
        """
        if not self._to_remove:
            gevent.spawn(self._remove_pending)
        self._to_remove += count

    def _remove_pending(self) -> None:
        while self._to_remove and self._status.state in UNTIL:
            count, self._to_remove = self._to_remove, 0
            with self._one_at_a_time:
                self._remove(count)
        self._to_remove = 0

    def _remove(self, count: int, force: bool = False) -> Answer:
        if count < 1:
            raise UsageError(f"remove must be given at least 1 user, but is given {count}")
        withdrawn = len(self._starts.withdraw(count))
        shares = self._shares(count - withdrawn)
        answers = self._ordering.ask(
            "remove",
            lambda origin: {"count": shares[origin], "force": force},
            FORCE_S if force else ORDER_S,
            to=shares,
        )
        totals = {
            key: sum(done.answer.get(key, 0) for done in answers.values())
            for key in ("asked", "killed", "withdrawn")
        }
        withdrawn += totals["withdrawn"]
        self._status.added -= withdrawn
        stuck = sorted(one for done in answers.values() for one in done.answer.get("stuck", ()))
        parts = [
            f"{counted(number, 'user')} {text}"
            for number, text in (
                (totals["asked"], "asked to leave after this iteration"),
                (totals["killed"], "killed"),
                (withdrawn, "will not start"),
            )
            if number
        ]
        if stuck:
            parts.append(f"stuck after 2 s: {', '.join(map(str, stuck))}")
        return {
            "summary": "; ".join(parts) or "there were no users to remove",
            **totals,
            "withdrawn": withdrawn,
            "stuck": stuck,
            "workers": _texts(answers),
        }

    def _shares(self, count: int) -> dict[Origin, int]:
        """How many of `count` users each worker is to remove: as even as what they have allows."""
        answers = self._ordering.ask("count", {}, ORDER_S)
        have = {
            origin: done.answer.get("alive", 0) + done.answer.get("queued", 0)
            for origin, done in answers.items()
        }
        shares = {}
        # The emptiest first: what it lacks the others make up for.
        for number, origin in enumerate(sorted(have, key=lambda one: (have[one], one))):
            shares[origin] = min(have[origin], count // (len(have) - number))
            count -= shares[origin]
        return {origin: share for origin, share in shares.items() if share}

    # Settings

    def _set(self, values: Mapping[str, Any]) -> Answer:
        if not values:
            raise UsageError("set must be given NAME=VALUE, but is given nothing")
        verified = self._ordering.ask("verify", {"values": values}, ORDER_S)
        # Whoever is lost meanwhile is replaced by one that is told the new values at once.
        heard = {origin: done for origin, done in verified.items() if not done.answer.get("lost")}
        if not heard:
            raise PeerError("no worker is up to check the settings; try again in a moment")
        problems = {line for done in heard.values() for line in done.error.splitlines()}
        if problems:
            raise SettingError(*sorted(problems))
        self.updates.update(values)
        self._update_nodes(values)
        answers = self._ordering.ask("apply", {"values": values}, ORDER_S)
        self._follow_start_rate(values)
        failed = sorted({done.error for done in answers.values() if done.error})
        names = ", ".join(values)
        return {
            "summary": f"{names} changed" + (f", but: {'; '.join(failed)}" if failed else ""),
            "problems": failed,
            "workers": _texts(answers),
        }

    def _follow_start_rate(self, values: Mapping[str, Any]) -> None:
        """Settings of how users start are the rate of the throttle that they start through."""
        if not values.keys() & {"user_rate", "interarrival"} or self._status.loaded is None:
            return
        interarrival_ms, per_minute = self._status.loaded.pacing
        if "interarrival" in self.updates:
            interarrival_ms = own_settings.interarrival.convert(self.updates["interarrival"])
        if "user_rate" in self.updates:
            per_minute = own_settings.user_rate.convert(self.updates["user_rate"])
        self._change_start_rate(start_rate(interarrival_ms, per_minute))

    # The run as a whole

    def _pause(self) -> Answer:
        self._status.state = after(self._status.state, Step.PAUSE)
        for one in self._clocks:
            one.freeze()
        pausing.hold()
        answers = self._ordering.ask("pause", {}, ORDER_S)
        return {"summary": "the run is paused", "workers": _texts(answers)}

    def _resume(self) -> Answer:
        self._status.state = after(self._status.state, Step.RESUME)
        pausing.release()
        for one in self._clocks:
            one.thaw()
        answers = self._ordering.ask("resume", {}, ORDER_S)
        return {"summary": "the run goes on", "workers": _texts(answers)}

    def _stop(self) -> Answer:
        self.stop_asked = True
        return {
            "summary": "the run stops; users have time to finish",
            "workers": [
                {"worker": str(origin), "text": "is told to let its users finish"}
                for origin in sorted(self._ordering.workers)
            ],
        }


def start_rate(interarrival_ms: float, per_minute: float | None) -> float:
    """User starts per minute, by the settings ``interarrival`` and ``user_rate``."""
    if per_minute is not None:
        return per_minute
    return 60_000 / interarrival_ms if interarrival_ms else inf


def _texts(answers: Mapping[Origin, Done]) -> list[Answer]:
    return [
        {"worker": str(origin), "text": done.error or done.answer.get("text", "")}
        for origin, done in answers.items()
    ]
