"""The controller's state of one coordinator, from its start until its last group was run. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from amoc.base.text import counted
from amoc.coordinator.plan import Batches, Group, Shape
from amoc.ipc.messages.coordinator import CoordinatorState
from amoc.ipc.worker_id import WorkerId


class Entry(NamedTuple):
    """One add."""

    origin: WorkerId
    """The worker it came from."""
    user_id: int
    data: bytes
    at_ns: int


@dataclass(eq=False)
class Ending:
    """The end of all groups of a coordinator. Groups of "all" adds run after all other groups.

    Attributes:
        mark: Tasks up to this number must have been run before the groups of "all" adds.
        last: The groups of "all" adds, until they are given to a worker.
        done: Called when everything has been run.
        own: Number of the task made of `last`.
    """

    mark: int
    last: Sequence[Group[Entry]]
    at_ns: int
    done: Callable[[], None]
    own: int | None = None


@dataclass(eq=False)
class Started:
    """What was started under a name, its present groups, and its counts.

    Attributes:
        incarnation: How many times the name has been started, from 1.
        functions: How workers find the actions; None if they inherited them from init().
        stopped: Whether it forms no more groups.
        tasks: Numbers of its unacknowledged tasks, in ascending order.
        endings: Endings that follow these tasks, each after the previous one.
        held_back: Endings whose groups of "all" adds have not been given to a worker yet.
        held_bytes: Data of groups that are incomplete or unacknowledged, counted once for each item
            of the plan, because it is sent once for each.
        given_up: Groups that will not be run, because too many workers died while running them.
        batches: By node; groups of the whole run are under an empty name.
    """

    name: str
    shapes: Sequence[Shape]
    timeout_ns: int | None
    scope: str
    functions: Sequence[Sequence[str]] | None
    seed: int
    incarnation: int = 0
    stopped: bool = False
    tasks: dict[int, None] = field(default_factory=dict)
    endings: deque[Ending] = field(default_factory=deque)
    held_back: int = 0
    held_bytes: int = 0
    adds: int = 0
    groups: int = 0
    timeouts: int = 0
    refused: int = 0
    lost: int = 0
    given_up: int = 0
    batches: dict[str, Batches[Entry]] = field(default_factory=dict)

    @property
    def acting(self) -> int:
        """Groups, or sets of groups, that have not been run yet."""
        return len(self.tasks) + self.held_back

    def of(self, node: str) -> Batches[Entry]:
        """Return the present groups for users of `node`."""
        key = node if self.scope == "node" else ""
        batches = self.batches.get(key)
        if batches is None:
            seed = f"{self.seed}/coordinator/{self.name}" + (f"/{key}" if key else "")
            batches = self.batches[key] = Batches(self.shapes, seed, self.timeout_ns)
        return batches

    def all(self, nodes: Iterable[str]) -> list[Batches[Entry]]:
        """Return all present groups, including those that users of `nodes` would be put into."""
        keys = set(nodes) if self.scope == "node" else {""}
        return [self.of(key) for key in sorted(keys | self.batches.keys())]

    def held(self) -> int:
        """Return the adds in incomplete groups of the item with most, plus the groups to run."""
        return sum(max(batches.pending) for batches in self.batches.values()) + self.acting

    def drop(self, origin: WorkerId) -> None:
        """Remove the adds of a lost worker."""
        for batches in self.batches.values():
            before = max(batches.pending)
            dropped = batches.drop(lambda entry: entry.origin == origin)
            self.held_bytes -= sum(len(entry.data) for entry in dropped)
            self.lost += before - max(batches.pending)

    def same_as(self, other: Started) -> bool:
        """Return whether the init() of two nodes has started the same coordinator."""
        return self.functions is other.functions is None and (
            (self.shapes, self.timeout_ns, self.scope)
            == (other.shapes, other.timeout_ns, other.scope)
        )

    def state(self) -> CoordinatorState:
        """Return its state."""
        columns = zip(*(batches.pending for batches in self.batches.values()), strict=True)
        return CoordinatorState(
            self.name,
            self.scope,
            [sum(column) for column in columns] or [0] * len(self.shapes),
            self.acting,
            self.adds,
            self.groups,
            self.timeouts,
            self.refused,
            self.lost,
            self.given_up,
        )

    def unfinished(self) -> str:
        """Return what it has not done, for the end of the run; empty if nothing is left."""
        left = [
            f"{counted(number, what)} {verb}"
            for number, what, verb in (
                (self.acting, "group", "not run yet"),
                (self.given_up, "group", "given up"),
                (self.refused, "add", "refused"),
            )
            if number
        ]
        return f"coordinator {self.name}: {', '.join(left)}" if left else ""
