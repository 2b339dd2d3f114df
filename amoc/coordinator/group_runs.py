"""Groups of all coordinators on their way to workers, until their actions have been run.

A complete group goes to a worker that has one of its users (`amoc.coordinator.assignment`), which
runs the actions and acknowledges. When all groups of a coordinator end, at a timeout, a reset or a
stop, groups of a given size run first, after everything that was still to be run; groups of "all"
adds follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from amoc.coordinator.assignment import Task, Tasks
from amoc.coordinator.coordinator import Ending, Entry, Started
from amoc.coordinator.plan import Group
from amoc.ipc.messages.coordinator import CoordinatorGroups, CoordinatorToWorker, GroupPart
from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId


class GroupRuns:
    """Has workers run groups.

    Attributes:
        workers: The workers that are up.
        up: Lets a worker run groups from now on.
    """

    def __init__(
        self,
        post: Callable[[WorkerId, CoordinatorToWorker], None],
        forget: Callable[[Started], None],
    ) -> None:
        """Create it without workers.

        Args:
            post: Queues a message for a worker.
            forget: Called when a stopped coordinator has nothing left to run.
        """
        self._post = post
        self._forget = forget
        self._tasks: Tasks[Started] = Tasks()
        self.workers = self._tasks.workers.keys()
        self.up = self._tasks.up

    def lost(self, origin: WorkerId) -> list[str]:
        """Reassign a lost worker's groups; return the coordinators of groups that are given up."""
        given_up = self._tasks.lost(origin)
        for task in given_up:
            task.owner.given_up += len(task.parts)
            self._finish(task)
        return [task.owner.name for task in given_up]

    def add(self, one: Started, groups: Iterable[Group[Entry]], at_ns: int) -> int | None:
        """Have one worker run `groups` one after the other; return the task's number, if any."""
        parts = []
        homes: list[WorkerId] = []
        for item, kind, entries in groups:
            shown = entries if one.shapes[item].users else ()
            if not shown:
                one.held_bytes -= sum(len(entry.data) for entry in entries)
            parts.append(
                GroupPart(
                    item,
                    kind,
                    len(entries),
                    at_ns,
                    [entry.user_id for entry in shown],
                    [entry.data for entry in shown],
                )
            )
            homes.extend([entry.origin for entry in entries])
        if not parts:
            return None
        one.groups += len(parts)
        number = self._tasks.add(one, parts, homes)
        one.tasks[number] = None
        return number

    def end(
        self, one: Started, ended: Iterable[Sequence[Group[Entry]]], at_ns: int, wanted: bool = True
    ) -> Later:
        """Run groups that have ended together, on each node; groups of "all" adds come last.

        Args:
            one: The coordinator.
            ended: Its groups.
            at_ns: When they ended.
            wanted: Whether the caller needs the reply.

        Returns:
            A reply that is done when these groups, and all before them, have been run.
        """
        done = Later()
        last: list[Group[Entry]] = []
        for groups in ended:
            self.add(one, [group for group in groups if one.shapes[group.item].most], at_ns)
            last += [group for group in groups if not one.shapes[group.item].most]
        if last or wanted:
            mark = next(reversed(one.tasks), 0)
            one.endings.append(Ending(mark, last, at_ns, done.done))
            one.held_back += bool(last)
            self._advance(one)
        return done

    def _advance(self, one: Started) -> None:
        """Process the endings in order, until one still has to wait."""
        while one.endings:
            ending = one.endings[0]
            if ending.own is None:
                if next(iter(one.tasks), ending.mark + 1) <= ending.mark:
                    return
                if ending.last:
                    last, ending.last = ending.last, ()
                    one.held_back -= 1
                    ending.own = self.add(one, last, ending.at_ns)
            if ending.own in one.tasks:
                return
            one.endings.popleft()
            ending.done()

    def send(self) -> None:
        """Send newly assigned tasks, one record per worker."""
        for origin, tasks in self._tasks.unsent():
            groups = [
                (task.number, task.owner.name, task.owner.incarnation, task.parts) for task in tasks
            ]
            self._post(origin, CoordinatorGroups(groups))

    def acknowledged(self, origin: WorkerId, numbers: Iterable[int]) -> None:
        """Record that a worker has run these tasks."""
        for task in self._tasks.done(origin, numbers):
            self._finish(task)

    def _finish(self, task: Task[Started]) -> None:
        one = task.owner
        del one.tasks[task.number]
        one.held_bytes -= sum(len(data) for part in task.parts for data in part.data)
        self._advance(one)
        if one.stopped and not one.acting:
            self._forget(one)
