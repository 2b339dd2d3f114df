"""Changes of settings during a run: checked by every worker, then applied by every worker.

A worker that replaces a lost one applies all earlier changes before it gets users, so a change is
in force everywhere or nowhere, also when a worker is lost in the middle of it. A change in which
`MAX_LOST` workers are lost is taken to be what they die of, and is taken back. A change may be for
some nodes only; "everywhere" is in their workers then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import gevent

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError, SettingError, UsageError, value_error_as
from amoc.base.operator_log import OperatorLog
from amoc.base.waiting import Notify
from amoc.ipc.messages.orders import ApplySettings, RevertSettings, VerifySettings
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import REPLACE_S, Broadcast, Outcome, Pending, Reply
from amoc.scenario import builtin_settings
from amoc.scenario.changed_settings import ChangedSettings
from amoc.scenario.start_rate import SETTINGS, start_rate

ORDER_S = 5.0
"""How long workers may take to carry out an order."""
MAX_LOST = 2
"""Workers that may be lost while they apply one change; one may die of something else."""
MAX_CHANGES = 100
"""Changes that can be taken back one by one; of more, the oldest count as one."""


@dataclass(eq=False)
class _Change:
    """A change that is in force, and may still have to be taken back."""

    made: ChangedSettings
    is_set: bool = False
    """Whether the operator was told that it is in force."""
    lost: list[WorkerId] = field(default_factory=list)
    """Workers that were lost while they applied it."""
    replaced: dict[WorkerId, Reply] = field(default_factory=dict)
    """What replacements have replied, as they came up while it was applied."""
    problems: set[str] = field(default_factory=set)
    settled: Notify = field(default_factory=Notify)

    @property
    def is_awaited(self) -> bool:
        """Whether a lost worker's replacement has not applied it yet."""
        return not all(map(self.has_replaced, self.lost))

    def has_replaced(self, lost: WorkerId) -> bool:
        """Whether the replacement of a worker has replied."""
        return any((one.node, one.worker) == (lost.node, lost.worker) for one in self.replaced)


class SettingsUpdate:
    """Changes settings, and remembers what was changed."""

    def __init__(
        self,
        broadcast: Broadcast,
        pacing: tuple[float, float | None],
        change_start_rate: Callable[[float], str],
        operator: OperatorLog | None = None,
        names_of: Callable[[str], Collection[str]] = lambda node: (node,),
    ) -> None:
        """Begin with no changes.

        Args:
            broadcast: Gives orders to the workers.
            pacing: interarrival in ms and user_rate per minute at the start of the run.
            change_start_rate: Called with the new start rate in users per minute; returns what is
                worth saying about that.
            operator: Told of changes that are taken back after `set` has returned.
            names_of: What a node can be called by, its own name and its host's.
        """
        self._operator = operator or OperatorLog()
        self._changes: list[_Change] = []
        self._gone: set[int] = set()
        self._broadcast = broadcast
        self._pacing = pacing
        self._change_start_rate = change_start_rate
        self._names_of = names_of

    def set(
        self, values: Mapping[str, object], on_nodes: Sequence[str] = ()
    ) -> tuple[Mapping[WorkerId, Reply], str]:
        """Put `values` in force; each worker's reply, and what else should be said.

        Args:
            values: Raw values, by setting.
            on_nodes: What the only nodes are called on which they are to be in force; empty means
                on all, also on those that have other values so far.

        Raises:
            UsageError, SettingError, PeerError: They are refused, or cannot be checked; nothing
                was changed.
        """
        paced = values.keys() & SETTINGS
        if paced and on_nodes:
            names = " and ".join(sorted(paced))
            raise UsageError(
                f"--on-nodes cannot be used with {names}: users start at one rate in a run"
            )
        change = _Change(ChangedSettings(values, on_nodes))
        self._verify(change.made)
        rate = self._start_rate({**self.values, **values}) if paced else 0.0
        # From here on a worker that comes up is told, so none can be forgotten in between.
        self._changes.append(change)
        if len(self._changes) > MAX_CHANGES:
            oldest, second, *rest = self._changes
            oldest.made.update(second.made)
            self._changes = [_Change(oldest.made, is_set=True), *rest]
        replies = self._broadcast.ask(self._applying(change.made), ORDER_S, self._in(change.made))
        self._heard(change, replies)
        until_ns = now_ns() + int(REPLACE_S * S_NS)
        while not change.problems and change.is_awaited and (left_ns := until_ns - now_ns()) > 0:
            change.settled.wait(left_ns / S_NS)
        if change.problems:
            raise SettingError(*sorted(change.problems))
        there = {
            origin: one for origin, one in replies.items() if not change.has_replaced(origin)
        } | change.replaced
        if len(_lost(there)) == len(there):
            self._revert(change)
            raise _none_left("apply", change.made)
        change.is_set = True
        return dict(sorted(there.items())), self._change_start_rate(rate) if paced else ""

    @property
    def values(self) -> dict[str, object]:
        """The raw values, on all nodes, of the settings that were changed since the start."""
        return self._in_force().values()

    def _in_force(self) -> ChangedSettings:
        found = ChangedSettings()
        for one in self._changes:
            found.update(one.made)
        return found

    def _of(self, made: ChangedSettings, worker: WorkerId) -> dict[str, object]:
        """The values that a change has for a worker."""
        return made.values(self._names_of(worker.node))

    def _in(self, made: ChangedSettings) -> list[WorkerId]:
        """The workers that a change is for."""
        return [one for one in self._broadcast.workers if self._of(made, one)]

    def _applying(self, made: ChangedSettings) -> Callable[[int, WorkerId], ApplySettings]:
        return lambda number, worker: ApplySettings(number, self._of(made, worker))

    def node_lost(self, workers: Iterable[int]) -> None:
        """These workers are no more, and nobody will replace them: no change waits for that."""
        self._gone.update(workers)
        for change in self._changes:
            change.lost = [one for one in change.lost if one.worker not in self._gone]
            change.settled.ring()

    def worker_up(self, origin: WorkerId) -> None:
        """Have a worker that has come up apply all changes, before it gets users."""
        orders = [
            (one, self._broadcast.begin(self._applying(one.made), [origin]))
            for one in self._changes
            if self._of(one.made, origin)
        ]
        if orders:
            gevent.spawn(self._catch_up, orders)

    def _catch_up(self, orders: Sequence[tuple[_Change, Pending]]) -> None:
        """Hear how a replacement has applied the changes, one by one."""
        for change, pending in orders:
            replies = self._broadcast.wait(pending, ORDER_S)
            if change not in self._changes:
                continue
            if not change.is_set:
                lost = _lost(replies)
                change.replaced |= {one: replies[one] for one in replies if one not in lost}
                self._heard(change, replies)
                change.settled.ring()
            # Of whatever a worker dies by now, it is not this.
            elif refused := _refused(replies):
                names = ", ".join(sorted(change.made.names))
                back = f"the change of {names} was taken back"
                self._operator.error("; ".join([*sorted(refused), back, *self._revert(change)]))

    def _heard(self, change: _Change, replies: Mapping[WorkerId, Reply]) -> None:
        """Note how workers have applied a change, and take it back if one has refused it."""
        problems = _refused(replies)
        change.lost += [one for one in _lost(replies) if one.worker not in self._gone]
        if len(change.lost) >= MAX_LOST:
            names = ", ".join(sorted(change.made.names))
            problems.add(f"{len(change.lost)} workers were lost when they applied {names}")
        if problems and change in self._changes:
            change.problems = {f"{line}; nothing was changed" for line in problems}
            change.problems.update(self._revert(change))

    def _revert(self, change: _Change) -> list[str]:
        """Take a change back everywhere, because it has failed somewhere; what fails in that."""
        self._changes.remove(change)
        now = self._in_force()
        paced = change.is_set and change.made.names & SETTINGS
        remark = self._change_start_rate(self._start_rate(now.values())) if paced else ""

        def reverting(number: int, worker: WorkerId) -> RevertSettings:
            names, before = self._of(change.made, worker), self._of(now, worker)
            old = {name: before[name] for name in names if name in before}
            return RevertSettings(number, old, [name for name in names if name not in before])

        replies = self._broadcast.ask(reverting, ORDER_S, self._in(change.made))
        failed = [one.error for one in replies.values() if one.outcome is Outcome.ANSWERED]
        lines = [line for text in (remark, *failed) for line in text.splitlines()]
        return [f"taking it back, {line}" for line in lines]

    def _verify(self, made: ChangedSettings) -> None:
        replies = self._broadcast.ask(
            lambda number, worker: VerifySettings(number, self._of(made, worker)),
            ORDER_S,
            self._in(made),
        )
        # A worker that is lost meanwhile is replaced by one that is told the new values.
        heard = {origin: one for origin, one in replies.items() if one.outcome is not Outcome.LOST}
        if not heard:
            raise _none_left("check", made)
        for origin, one in heard.items():
            if one.outcome is Outcome.SILENT:
                raise PeerError(f"worker {origin} {one.error}; nothing was changed")
        problems = {line for one in heard.values() for line in one.error.splitlines()}
        if problems:
            raise SettingError(*sorted(problems))

    def _start_rate(self, values: Mapping[str, object]) -> float:
        interarrival_ms, per_minute = self._pacing
        with value_error_as(SettingError, "user_rate or interarrival "):
            if "interarrival" in values:
                interarrival_ms = builtin_settings.interarrival.convert(values["interarrival"])
            if "user_rate" in values:
                per_minute = builtin_settings.user_rate.convert(values["user_rate"])
        return start_rate(interarrival_ms, per_minute)


def _none_left(to_do: str, made: ChangedSettings) -> PeerError:
    names = ", ".join(sorted(made.names))
    return PeerError(f"all workers that were to {to_do} {names} were lost; nothing was changed")


def _lost(replies: Mapping[WorkerId, Reply]) -> list[WorkerId]:
    return [origin for origin, one in replies.items() if one.outcome is Outcome.LOST]


def _refused(replies: Mapping[WorkerId, Reply]) -> set[str]:
    return {one.error for one in replies.values() if one.error and one.outcome is Outcome.ANSWERED}
