"""A coordinator as the controller keeps it, from its start until its last group was run. Pure."""

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
    """An end of all groups of a coordinator: those of numbered items are run before the others.

    Attributes:
        mark: Tasks up to this number must have been run before the groups of all adds.
        last: These groups, until they are given to a worker.
        done: Told when everything was run.
        own: The number of the task that they became.
    """

    mark: int
    last: Sequence[Group[Entry]]
    at_ns: int
    done: Callable[[], None]
    own: int | None = None


@dataclass(eq=False)
class Started:
    """What was started under a name, the groups that it is making, and its counts.

    Attributes:
        incarnation: How many times the name has been started, from 1.
        functions: How workers find the actions; None when they have had them from init().
        stopped: Whether it makes no more groups.
        tasks: The numbers of its groups, or sets of them, that are yet to be acknowledged, in
            ascending order.
        endings: What is to follow them; each follows the one before it.
        held_back: The endings whose groups of all adds were not given to a worker yet.
        held_bytes: What was added to groups that are not complete, or not acknowledged; once for
            each item of the plan that has it, for so it travels.
        given_up: Groups that nobody will run, because one worker after the other died over them.
        batches: By node; those of the whole run are under an empty name.
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
        """Groups, or sets of them, that were not run yet."""
        return len(self.tasks) + self.held_back

    def of(self, node: str) -> Batches[Entry]:
        """The groups that users of `node` are put into."""
        key = node if self.scope == "node" else ""
        batches = self.batches.get(key)
        if batches is None:
            seed = f"{self.seed}/coordinator/{self.name}" + (f"/{key}" if key else "")
            batches = self.batches[key] = Batches(self.shapes, seed, self.timeout_ns)
        return batches

    def all(self, nodes: Iterable[str]) -> list[Batches[Entry]]:
        """All groups that there are, or would be with users of `nodes`."""
        keys = set(nodes) if self.scope == "node" else {""}
        return [self.of(key) for key in sorted(keys | self.batches.keys())]

    def held(self) -> int:
        """Adds in incomplete groups of the item that has most of them, and groups not run."""
        return sum(max(batches.pending) for batches in self.batches.values()) + self.acting

    def drop(self, origin: WorkerId) -> None:
        """Take out the adds of a worker that is gone."""
        for batches in self.batches.values():
            before = max(batches.pending)
            dropped = batches.drop(lambda entry: entry.origin == origin)
            self.held_bytes -= sum(len(entry.data) for entry in dropped)
            self.lost += before - max(batches.pending)

    def same_as(self, other: Started) -> bool:
        """Whether init() of two nodes has started the same."""
        return self.functions is other.functions is None and (
            (self.shapes, self.timeout_ns, self.scope)
            == (other.shapes, other.timeout_ns, other.scope)
        )

    def state(self) -> CoordinatorState:
        """How it is."""
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

    def regrets(self) -> str:
        """What it has not done, for the end of the run; empty when there is nothing to say."""
        said = [
            f"{counted(number, what)} {verb}"
            for number, what, verb in (
                (self.acting, "group", "not run yet"),
                (self.given_up, "group", "given up"),
                (self.refused, "add", "refused"),
            )
            if number
        ]
        return f"coordinator {self.name}: {', '.join(said)}" if said else ""
