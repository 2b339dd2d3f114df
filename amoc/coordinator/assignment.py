"""Which worker runs the actions of which groups, until it has said that it did. Pure.

A task goes to one of the workers that its users are on, in turn; where none of them is up, to any
other; where none is, it is kept. A worker has at most `WINDOW` tasks that it has not acknowledged,
the others wait for their turn here. What a lost worker had, acknowledged or not known, goes to
another: actions run at least once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from amoc.ipc.messages.coordinator import GroupPart
from amoc.ipc.worker_id import WorkerId

WINDOW = 5_000
MAX_TRIES = 5
"""Workers that may die over a task: its actions may be what they die of."""

C = TypeVar("C")


@dataclass(eq=False)
class Task(Generic[C]):
    """Groups that one worker is to run, one after the other.

    Attributes:
        owner: The coordinator that they are of.
        homes: The workers of their users, once for each user.
        tries: How many workers died that had it.
    """

    number: int
    owner: C
    parts: Sequence[GroupPart]
    homes: Sequence[WorkerId]
    tries: int = 0


@dataclass(eq=False)
class _Worker(Generic[C]):
    unacknowledged: dict[int, Task[C]] = field(default_factory=dict)
    waiting: deque[Task[C]] = field(default_factory=deque)


class Tasks(Generic[C]):
    """Gives tasks to workers and keeps them until they are done.

    Attributes:
        workers: Those that are up, each with what it has.
    """

    def __init__(self) -> None:
        self.workers: dict[WorkerId, _Worker[C]] = {}
        self._unsent: dict[WorkerId, list[Task[C]]] = {}
        self._homeless: deque[Task[C]] = deque()
        self._number = 0
        self._turn = 0

    def up(self, origin: WorkerId) -> None:
        """A worker takes tasks from now on."""
        self.workers[origin] = _Worker()
        homeless, self._homeless = self._homeless, deque()
        for task in homeless:
            self._give(task)

    def lost(self, origin: WorkerId) -> list[Task[C]]:
        """A worker is gone; what it had goes elsewhere, what was tried too often is returned."""
        worker = self.workers.pop(origin, None)
        self._unsent.pop(origin, None)
        given_up = []
        if worker is not None:
            for task in worker.unacknowledged.values():
                task.tries += 1
                if task.tries < MAX_TRIES:
                    self._give(task)
                else:
                    given_up.append(task)
            for task in worker.waiting:
                self._give(task)
        return given_up

    def add(self, owner: C, parts: Sequence[GroupPart], homes: Sequence[WorkerId]) -> int:
        """Have `parts` run by one worker; the task's number."""
        self._number += 1
        self._give(Task(self._number, owner, parts, homes))
        return self._number

    def _give(self, task: Task[C]) -> None:
        workers, homes = self.workers, task.homes
        self._turn += 1
        home = homes[self._turn % len(homes)] if homes else None
        if home is None or home not in workers:
            up = [origin for origin in dict.fromkeys(homes) if origin in workers] or list(workers)
            if not up:
                self._homeless.append(task)
                return
            home = up[self._turn % len(up)]
        worker = workers[home]
        if len(worker.unacknowledged) < WINDOW:
            worker.unacknowledged[task.number] = task
            self._unsent.setdefault(home, []).append(task)
        else:
            worker.waiting.append(task)

    def done(self, origin: WorkerId, numbers: Iterable[int]) -> list[Task[C]]:
        """A worker has run these; those among them that were not known to be run."""
        worker = self.workers[origin]
        done = [
            task
            for task in (worker.unacknowledged.pop(number, None) for number in numbers)
            if task is not None
        ]
        while worker.waiting and len(worker.unacknowledged) < WINDOW:
            task = worker.waiting.popleft()
            worker.unacknowledged[task.number] = task
            self._unsent.setdefault(origin, []).append(task)
        return done

    def unsent(self) -> Iterable[tuple[WorkerId, list[Task[C]]]]:
        """What each worker has been given since the last time, to be sent to it now."""
        unsent, self._unsent = self._unsent, {}
        return unsent.items()
