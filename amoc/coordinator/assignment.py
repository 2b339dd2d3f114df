"""Which worker runs the actions of which groups, until it has acknowledged them. Pure.

A task goes to one of its users' workers, in turn. If none of these is up it goes to any other
worker, and if no worker is up it is kept. A worker has at most `WINDOW` unacknowledged tasks; more
of them are queued here. A lost worker's unacknowledged tasks go to other workers: actions run at
least once.
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
"""Workers that may die while they have a task: its actions may be the cause."""

C = TypeVar("C")


@dataclass(eq=False)
class Task(Generic[C]):
    """Groups that one worker runs one after the other.

    Attributes:
        owner: Their coordinator.
        homes: The workers of their users, one entry per user.
        tries: How many workers have died with this task.
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
    """Assigns tasks to workers and keeps them until they are done.

    Attributes:
        workers: The workers that are up, with their tasks.
    """

    def __init__(self) -> None:
        self.workers: dict[WorkerId, _Worker[C]] = {}
        self._unsent: dict[WorkerId, list[Task[C]]] = {}
        self._homeless: deque[Task[C]] = deque()
        self._number = 0
        self._turn = 0

    def up(self, origin: WorkerId) -> None:
        """Add a worker that takes tasks."""
        self.workers[origin] = _Worker()
        homeless, self._homeless = self._homeless, deque()
        for task in homeless:
            self._give(task)

    def lost(self, origin: WorkerId) -> list[Task[C]]:
        """Reassign a lost worker's tasks; return those that were tried too often."""
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
        """Have `parts` run by one worker; return the number of the task."""
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
        """Record that a worker has run these tasks; return those not yet recorded."""
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
        """Return what each worker has been given since the last call, to be sent now."""
        unsent, self._unsent = self._unsent, {}
        return unsent.items()
