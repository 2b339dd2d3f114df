"""Carries out the commands of `amoc.control.commands`.

Keys, the control socket and a replayed timeline all use `Commands.operate`. Commands that change
something run one at a time; each is refused, or done by every worker, and answered with what each
worker did. All commands are recorded in the journal, refused ones included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gevent.lock import BoundedSemaphore

from amoc.base import pause
from amoc.base.clock import now_ns
from amoc.base.errors import AmocError, ClosedError, PeerError, ResourceError, UsageError
from amoc.base.text import counted
from amoc.control.answers import AddAnswer, Answer, RemoveAnswer, UsersAnswer, WorkerAnswer
from amoc.control.commands import COMMANDS, Command, Handling
from amoc.coordinator.controller import Groups
from amoc.ipc.messages.orders import CountUsers, Pause, RemoveRange, RemoveUsers, Resume, UserCounts
from amoc.ipc.worker_id import WorkerId
from amoc.results.journal import Journal
from amoc.runtime.controller.chosen_nodes import ChosenNodes
from amoc.runtime.controller.orders import Broadcast, texts
from amoc.runtime.controller.run_state import State, Step
from amoc.runtime.controller.settings_update import ORDER_S, SettingsUpdate
from amoc.runtime.controller.start_queue import StartQueue
from amoc.runtime.controller.status import Status
from amoc.runtime.controller.status_answer import status_answer
from amoc.scenario import fd_budget
from amoc.scenario.run_plan import ROOM_FOR_IDS
from amoc.throttle.controller import Pacer
from amoc.users import placement
from amoc.users.placement import Placement
from amoc.users.removal import Removal

FORCE_S = 10.0
"""How long workers may take to kill users, which get time for their `finally` blocks."""
QUEUE_S = 30.0
"""How long a command may wait for earlier ones."""
CHANGEABLE = (State.RUNNING, State.PAUSED)
"""The states in which a run can be changed."""


class Commands:
    """Carries out an operator's commands.

    Attributes:
        next_id: The id of the next added user.
        stop_asked: Whether the run has been asked to stop.
    """

    def __init__(
        self,
        status: Status,
        broadcast: Broadcast,
        starts: StartQueue,
        updates: SettingsUpdate,
        refresh: Callable[[], object],
        parts: Callable[[], Mapping[str, list[dict[str, object]]]],
        change_throttle: Callable[[str, str], str],
        clocks: Sequence[Pacer | Groups],
        step: Callable[[Step], None],
        journal: Journal,
        ids: range,
        placement: Placement,
        nodes: ChosenNodes,
    ) -> None:
        """Create it from the controller's parts.

        Args:
            status: The run's status.
            broadcast: Sends orders to the workers.
            starts: Takes the users that are added.
            updates: Changes settings.
            refresh: Brings `status` up to date.
            parts: Returns the states of `nodes`, `throttles`, `coordinators`, `barriers` and
                `feeds`.
            change_throttle: Changes a throttle's rate, given as text; returns a sentence.
            clocks: Parts that stop while the run is paused.
            step: Takes the run to its next state.
            journal: Records all commands.
            ids: The ids that added users can have.
            placement: The worker of each user.
            nodes: Maps nodes to their workers, and places users there.
        """
        self._status = status
        self._broadcast = broadcast
        self._starts = starts
        self._updates = updates
        self._refresh = refresh
        self._parts = parts
        self._change_throttle = change_throttle
        self._clocks = clocks
        self._step = step
        self._journal = journal
        self._ids = ids
        self._placement = placement
        self._nodes = nodes
        self._one_at_a_time = BoundedSemaphore()
        self._added_by_hand = 0
        self.next_id = ids[0]
        self._used: list[range] = []
        self.stop_asked = False
        self._handlers: Mapping[str, Callable[..., Answer]] = {
            "status": self._show_status,
            "users": self._show_users,
            "add": self._add,
            "remove": self._remove,
            "set": self._set,
            "throttle": lambda name, rate: Answer(summary=self._change_throttle(name, rate)),
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
            "note": lambda: Answer(summary="noted"),
        }

    def operate(self, command: Command, source: str) -> Answer:
        """Carry out one command, and wait until all workers have.

        Args:
            command: The command, as checked by `amoc.control.commands.checked`.
            source: Where it comes from: ``terminal``, ``socket``, ``replay``.

        Raises:
            AmocError: It is refused; nothing was changed.
        """
        if COMMANDS[command.name].handling is Handling.READ:
            return self._handlers[command.name](**command.arguments)
        asked_ns = now_ns()
        outcome: str = "broken off"
        told: Mapping[str, object] | str = ""
        try:
            answer = self._carry_out(command)
            outcome, told = "ok", answer.to_json()
        except AmocError as refused:
            outcome, told = "refused", str(refused)
            raise
        finally:  # also if the end of the run cuts it off
            self._journal.write(
                "command",
                when_ns=asked_ns,
                name=command.name,
                arguments=dict(command.arguments),
                source=source,
                comment=command.comment,
                outcome=outcome,
                answer=told,
            )
        return answer

    def _carry_out(self, command: Command) -> Answer:
        handler = self._handlers[command.name]
        handling = COMMANDS[command.name].handling
        if handling is not Handling.ALWAYS:
            self._check_state(command.name)
        if handling is not Handling.QUEUED:
            return handler(**command.arguments)
        if not self._one_at_a_time.acquire(timeout=QUEUE_S):
            raise PeerError(f"earlier commands have not finished within {QUEUE_S:g} s; try again")
        try:
            return handler(**command.arguments)
        except ClosedError as impossible:  # no such state transition: too late, but not a bug
            raise UsageError(str(impossible)) from None
        finally:
            self._one_at_a_time.release()

    def _check_state(self, command: str) -> None:
        if self._status.state not in CHANGEABLE:
            raise UsageError(f"a run that is {self._status.state.value} cannot {command}")

    # Reading

    def _show_status(self) -> Answer:
        self._refresh()
        return status_answer(self._status, self._parts())

    def _show_users(self) -> Answer:
        replies = self._broadcast.ask(lambda number, _: CountUsers(number), ORDER_S)
        workers = [reply.users(origin) for origin, reply in replies.items()]
        alive = sum(one.alive or 0 for one in workers)
        waiting = self._starts.waiting() + sum(one.queued or 0 for one in workers)
        highest = max([self.next_id - 1, *(reply.highest_id for reply in replies.values())])
        return UsersAnswer(
            summary=f"{alive:,} running, {waiting:,} pending; the highest id is {highest}",
            workers=workers,
            alive=alive,
            waiting=waiting,
            highest_id=highest,
        )

    # Users

    def add_users(self, count: int, dues_ns: Sequence[int] = ()) -> None:
        """Add users; with `dues_ns`, each starts no earlier than its time.

        Raises:
            ResourceError: There are not enough ids left.
        """
        self.add_ids(range(self.next_id, self.next_id + count), dues_ns)

    def add_ids(self, ids: range, dues_ns: Sequence[int] = (), *, paced: bool = False) -> None:
        """Add users with these ids; see `add_users`, and `StartQueue.add` for `paced`.

        Raises:
            ResourceError: There are not enough ids left.
        """
        if ids and ids[-1] > self._ids[-1]:
            raise ResourceError(
                f"user ids of this run must be at most {self._ids[-1]}, got {ids[-1]}"
            )
        self.next_id = max(self.next_id, ids.stop)
        self._status.added += len(ids)
        self._starts.add(ids, dues_ns, paced=paced)
        # Stages add users at each step: merge adjacent ranges.
        follows = self._used and self._used[-1].stop == ids.start
        first = self._used.pop().start if follows else ids.start
        self._used.append(range(first, ids.stop))

    def _add(
        self,
        count: int = 0,
        ids: tuple[int, int] | None = None,
        on_nodes: Sequence[str] | None = None,
    ) -> Answer:
        self._check_closed("add")
        if ids is not None:
            wanted = range(ids[0], ids[1] + 1)
            for used in self._used:
                if both := range(max(used.start, wanted.start), min(used.stop, wanted.stop)):
                    raise UsageError(f"ids of add must be new, got {placement.span(both)} again")
        else:
            wanted = range(self.next_id, self.next_id + count)
        count = len(wanted)
        # Ids that the plan still needs are reserved for it, so a gap counts like users.
        taken = max(count, wanted.stop - self.next_id)
        if self._added_by_hand + taken > ROOM_FOR_IDS:
            raise ResourceError(
                f"users added during a run can take at most {ROOM_FOR_IDS} ids, got {taken} more"
                f" after {self._added_by_hand}"
            )
        chosen = self._nodes.workers_of(on_nodes) if on_nodes is not None else None
        places = None if chosen is None else {worker: at for at, worker in enumerate(chosen)}
        workers = self._broadcast.ready(places)
        self._check_state("add")
        first, last = wanted[0], wanted[-1]
        shares = {
            origin: (
                sum(map(len, self._placement.ids_of(first, last, origin.worker)))
                if places is None
                else len(range(places[origin.worker], count, len(places)))
            )
            for origin in workers
        }
        self._check_room(shares)
        if chosen is not None:
            self._nodes.put(wanted, chosen)
        self.add_ids(wanted, paced=True)
        self._added_by_hand += taken
        return AddAnswer(
            summary=f"{placement.span(wanted)} will start",
            workers=[
                WorkerAnswer(str(origin), f"{counted(share, 'user')} to start")
                for origin, share in shares.items()
            ],
            first_id=first,
            last_id=last,
        )

    def _check_closed(self, command: str) -> None:
        plan = self._status.plan
        if plan is not None and plan.loads is not None:
            raise UsageError(
                f"a run in which each scenario has its own load cannot {command} users: it is not"
                " clear which scenario they would run"
            )
        if plan is not None and plan.arrivals is not None:
            raise UsageError(
                f"a run with --arrival-rate cannot {command} users: the rate determines how many"
                " there are, so change it with amoc throttle"
            )

    def _check_room(self, shares: Mapping[WorkerId, int]) -> None:
        """Check that each node has file descriptors for the users its workers get."""
        workers: dict[str, list[WorkerId]] = {}
        for one in self._broadcast.workers:
            workers.setdefault(one.node, []).append(one)
        for name in {origin.node: None for origin, share in shares.items() if share}:
            loaded = self._status.nodes[name]
            mine = {one.worker: shares.get(one, 0) for one in workers[name]}
            there = self._status.samples.users_on(name) + self._starts.to_start(mine)
            users = there + sum(mine.values())
            fd_budget.check_fds(users, loaded.workers, loaded.fds_per_user, loaded.fd_limit)

    def _remove(
        self,
        *,
        force: bool,
        count: int = 0,
        ids: tuple[int, int] | None = None,
        on_nodes: Sequence[str] | None = None,
    ) -> Answer:
        self._check_closed("remove")
        limit_s = FORCE_S if force else ORDER_S
        on = self._nodes.workers_of(on_nodes) if on_nodes is not None else None
        workers = [one for one in self._broadcast.workers if on is None or one.worker in on]
        if ids is not None:
            first, last = ids
            count = last - first + 1
            early = len(self._starts.withdraw_ids(first, last, on))
            replies = self._broadcast.ask(
                lambda number, _: RemoveRange(number, first, last, force), limit_s, to=workers
            )
        else:
            early = len(self._starts.withdraw(count, on=on))
            shares = self._shares(count - early, workers)
            replies = self._broadcast.ask(
                lambda number, origin: RemoveUsers(number, shares[origin], force),
                limit_s,
                to=shares,
            )
        found = Removal.sum(reply.removal for reply in replies.values())
        removal = found._replace(withdrawn=found.withdrawn + early)
        self._status.added -= removal.withdrawn
        text = removal.text()
        if removal.total < count:
            text = f"there were only {counted(removal.total, 'user')} to remove: {text}"
        said = [
            WorkerAnswer(str(origin), one.error or one.removal.text())
            for origin, one in replies.items()
        ]
        return RemoveAnswer(summary=text, workers=said, **removal._asdict())

    def _shares(self, count: int, workers: Sequence[WorkerId]) -> dict[WorkerId, int]:
        """Divide the removal of `count` users among workers, as evenly as their users allow."""
        replies = self._broadcast.ask(lambda number, _: CountUsers(number), ORDER_S, to=workers)
        have = {
            origin: reply.answer.removable if isinstance(reply.answer, UserCounts) else 0
            for origin, reply in replies.items()
        }
        shares = {}
        # Start with the worker that has fewest: the others make up for what it lacks.
        for number, origin in enumerate(sorted(have, key=lambda one: (have[one], one))):
            shares[origin] = min(have[origin], count // (len(have) - number))
            count -= shares[origin]
        return {origin: share for origin, share in shares.items() if share}

    # Settings

    def _set(self, values: Mapping[str, object], on_nodes: Sequence[str] = ()) -> Answer:
        self._broadcast.ready(self._nodes.workers_of(on_nodes) if on_nodes else None)
        self._check_state("set")
        replies, remark = self._updates.set(values, on_nodes)
        workers = texts(replies)
        effects = {worker.text for worker in workers}
        agreed = effects.pop() if len(effects) == 1 else f"{', '.join(values)} changed"
        if on_nodes:
            agreed = f"on {', '.join(on_nodes)} only: {agreed}"
        return Answer(summary=f"{agreed}; {remark}" if remark else agreed, workers=workers)

    # The run as a whole

    def _pause(self) -> Answer:
        self._step(Step.PAUSE)
        for one in self._clocks:
            one.pause_run()
        pause.pause()
        replies = self._broadcast.ask(lambda number, _: Pause(number), ORDER_S)
        return Answer(summary="the run is paused", workers=texts(replies))

    def _resume(self) -> Answer:
        self._step(Step.RESUME)
        pause.resume()
        for one in self._clocks:
            one.resume_run()
        replies = self._broadcast.ask(lambda number, _: Resume(number), ORDER_S)
        return Answer(summary="the run is resumed", workers=texts(replies))

    def _stop(self) -> Answer:
        self.stop_asked = True
        return Answer(
            summary="the run is stopping; users finish their current iteration",
            workers=[
                WorkerAnswer(str(origin), "its users finish their current iteration")
                for origin in sorted(self._broadcast.workers)
            ],
        )
