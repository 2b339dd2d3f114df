"""What can be done to a run while it runs: add, remove, set, pause, resume, stop, and look at it.

Terminal, control socket and a replayed timeline all come through `Commands.operate`. Commands
that change something are done one after the other; each is refused, or done by every worker, and
answered with what each of them did. All are written to the journal, the refused ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gevent.lock import BoundedSemaphore

from amoc.base import pause
from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, ClosedError, PeerError, ResourceError, UsageError
from amoc.base.text import counted
from amoc.control.commands import LOOKS
from amoc.ipc.messages import Done
from amoc.ipc.worker_id import WorkerId
from amoc.results.journal import Journal
from amoc.runtime.controller.orders import Broadcast
from amoc.runtime.controller.run_state import State, Step
from amoc.runtime.controller.settings_update import ORDER_S, SettingsUpdate
from amoc.runtime.controller.start_queue import StartQueue
from amoc.runtime.controller.status import Status
from amoc.scenario import fd_budget
from amoc.scenario.run_plan import ROOM_FOR_IDS
from amoc.users import placement
from amoc.users.removal import Removal

FORCE_S = 10.0
"""How long workers may take to kill users, who get time for their `finally` blocks."""
QUEUE_S = 30.0
"""How long a command may wait for those that were given before it."""
AT_ONCE = ("stop", "note")
"""Commands that need not wait for others."""
UNTIL = (State.RUNNING, State.PAUSED)
"""When a run can be changed."""

Answer = dict[str, Any]


class Freezable(Protocol):
    """A part of the controller whose clock stands still while the run is paused."""

    def freeze(self) -> None:
        """Stand still."""

    def thaw(self) -> None:
        """Go on where it stood."""


class Commands:
    """Does what an operator wants.

    Attributes:
        next_id: The id of the next user that is added.
        stop_asked: Whether somebody wants the run to end.
    """

    def __init__(
        self,
        status: Status,
        ordering: Broadcast,
        starts: StartQueue,
        updates: SettingsUpdate,
        looks: Callable[[], Mapping[str, list[Answer]]],
        clocks: Sequence[Freezable],
        step: Callable[[Step], None],
        journal: Journal,
        ids: range,
    ) -> None:
        """Operate a run.

        Args:
            status: How it is.
            ordering: Gives orders to its workers.
            starts: Takes the users that are added.
            updates: Changes settings.
            looks: Tells how `throttles`, `coordinators` and `barriers` are.
            clocks: What stands still while the run is paused.
            step: Takes the run to its next state.
            journal: Where all is written down.
            ids: The numbers that users may have which are added.
        """
        self._status = status
        self._ordering = ordering
        self._starts = starts
        self._updates = updates
        self._looks = looks
        self._clocks = clocks
        self._step = step
        self._journal = journal
        self._ids = ids
        self._one_at_a_time = BoundedSemaphore()
        self._added_by_hand = 0
        self.next_id = ids[0]
        self.stop_asked = False
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
        if name in LOOKS:
            return self._do[name](**arguments)
        outcome: str = "broken off"
        answer: Answer | str = ""
        try:
            answer = self._changed(name, arguments)
            outcome = "ok"
        except AmocError as refused:
            outcome, answer = "refused", str(refused)
            raise
        finally:  # also when the end of the run breaks it off
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
        return answer

    def _changed(self, name: str, arguments: Mapping[str, Any]) -> Answer:
        if name not in self._do:
            raise UsageError(f"a command must be one of {', '.join(self._do)}, but is {name!r}")
        if name != "note" and self._status.state not in UNTIL:
            raise UsageError(f"a run that is {self._status.state.value} cannot {name}")
        if name in AT_ONCE:
            return self._do[name](**arguments)
        if not self._one_at_a_time.acquire(timeout=QUEUE_S):
            raise PeerError(f"other commands have been under way for {QUEUE_S:g} s; try again")
        try:
            return self._do[name](**arguments)
        except ClosedError as impossible:  # by the table of states: no defect, but too late
            raise UsageError(str(impossible)) from None
        finally:
            self._one_at_a_time.release()

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
            "summary": f"{self._state()}; users: {there or '0'}",
            "state": status.state.value,
            "id": status.run_id,
            "scenario": plan.scenario if plan is not None else "",
            "comment": plan.comment if plan is not None else "",
            "elapsed_s": round(status.elapsed_s, 3),
            "paused_s": round(pause.frozen_ns() / S_NS, 3),
            "users": users,
            **looks,
            "throttles": [{**one, **passed.get(one["name"], {})} for one in looks["throttles"]],
            "workers": [
                {"worker": f"{node}/{one.worker}", "text": f"{counted(one.users, 'user')}"}
                for node in figures.nodes
                for one in figures.workers(node)
            ],
        }

    def _state(self) -> str:
        """The run's state and for how long it has been on its way, for people."""
        status = self._status
        text = f"{status.state.value}, {format_duration(status.elapsed_s)} into the run"
        paused_s = pause.frozen_ns() / S_NS
        return f"{text}, of which {format_duration(paused_s)} paused" if paused_s else text

    def _tell_users(self) -> Answer:
        answers = self._ordering.ask("count", {}, ORDER_S)
        workers = [
            {
                "worker": str(origin),
                "text": done.error
                or f"{counted(done.answer['alive'], 'user')}, {done.answer['queued']:,} to start",
                **{key: done.answer[key] for key in ("alive", "queued") if key in done.answer},
            }
            for origin, done in answers.items()
        ]
        alive = sum(done.answer.get("alive", 0) for done in answers.values())
        queued = sum(done.answer.get("queued", 0) for done in answers.values())
        waiting, highest = queued + self._starts.waiting(), self.next_id - 1
        return {
            "summary": f"{counted(alive, 'user')}, {waiting:,} to start;"
            f" the highest number is {highest}",
            "alive": alive,
            "waiting": waiting,
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
            raise ResourceError(f"there are numbers for users up to {self._ids[-1]} in this run")
        ids = range(self.next_id, last + 1)
        self.next_id = last + 1
        self._status.added += count
        self._starts.add(ids, dues_ns)
        return ids

    def _add(self, count: int) -> Answer:
        if count < 1:
            raise UsageError(f"add must be given at least 1 user, but is given {count}")
        # Users that the plan still needs have numbers of their own.
        if self._added_by_hand + count > ROOM_FOR_IDS:
            raise ResourceError(
                f"{ROOM_FOR_IDS} users can be added by hand during a run,"
                f" but {self._added_by_hand} were, and {count} more are wanted"
            )
        workers = sorted(self._ordering.workers)
        if not workers:
            raise PeerError("no worker is up to take users; try again in a moment")
        self._check_room(count)
        self._added_by_hand += count
        ids = self.add_users(count)
        count = self._starts.workers
        shares = [
            len(placement.ids_of(ids[0], ids[-1], 0, 1, index, count)) for index in range(count)
        ]
        return {
            "summary": f"users {ids[0]} to {ids[-1]} will start",
            "first_id": ids[0],
            "last_id": ids[-1],
            "workers": [
                {
                    "worker": str(origin),
                    "text": f"{counted(shares[origin.worker], 'user')} to start",
                }
                for origin in workers
            ],
        }

    def _check_room(self, count: int) -> None:
        loaded = self._status.loaded
        if loaded is not None:
            there = self._status.figures.running + self._status.waiting
            fd_budget.check_fds(there + count, loaded.workers, loaded.fds_per_user, loaded.fd_limit)

    def _remove(self, count: int, force: bool = False) -> Answer:
        if count < 1:
            raise UsageError(f"remove must be given at least 1 user, but is given {count}")
        early = len(self._starts.withdraw(count))
        shares = self._shares(count - early)
        answers = self._ordering.ask(
            "remove",
            lambda origin: {"count": shares[origin], "force": force},
            FORCE_S if force else ORDER_S,
            to=shares,
        )
        found = Removal.sum(done.answer for done in answers.values())
        removal = found._replace(withdrawn=found.withdrawn + early)
        self._status.added -= removal.withdrawn
        text = removal.text()
        if removal.total < count:
            text = f"there were only {counted(removal.total, 'user')} to remove: {text}"
        return {"summary": text, **removal._asdict(), "workers": _texts(answers)}

    def _shares(self, count: int) -> dict[WorkerId, int]:
        """How many of `count` users each worker is to remove: as even as what they have allows."""
        answers = self._ordering.ask("count", {}, ORDER_S)
        have = {origin: done.answer.get("removable", 0) for origin, done in answers.items()}
        shares = {}
        # The emptiest first: what it lacks the others make up for.
        for number, origin in enumerate(sorted(have, key=lambda one: (have[one], one))):
            shares[origin] = min(have[origin], count // (len(have) - number))
            count -= shares[origin]
        return {origin: share for origin, share in shares.items() if share}

    # Settings

    def _set(self, values: Mapping[str, Any]) -> Answer:
        workers = _texts(self._updates.set(values))
        texts = {worker["text"] for worker in workers}
        agreed = texts.pop() if len(texts) == 1 else f"{', '.join(values)} changed"
        return {"summary": agreed, "workers": workers}

    # The run as a whole

    def _pause(self) -> Answer:
        self._step(Step.PAUSE)
        for one in self._clocks:
            one.freeze()
        pause.hold()
        answers = self._ordering.ask("pause", {}, ORDER_S)
        return {"summary": "the run is paused", "workers": _texts(answers)}

    def _resume(self) -> Answer:
        self._step(Step.RESUME)
        pause.release()
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


def _texts(answers: Mapping[WorkerId, Done]) -> list[Answer]:
    return [
        {"worker": str(origin), "text": done.error or done.answer.get("text", "")}
        for origin, done in answers.items()
    ]
