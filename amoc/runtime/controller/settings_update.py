"""Changes of settings during a run: checked by every worker, then applied by every worker.

A worker that replaces a lost one applies all earlier changes before it gets users, so a change is
in force everywhere or nowhere, even if a worker is lost in the middle of it. A change during which
`MAX_LOST` workers are lost is assumed to be the cause, and is reverted. If a change is for some
nodes only, "everywhere" means their workers.
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
"""Workers that may be lost while applying one change; one of them may die of something else."""
MAX_CHANGES = 100
"""Changes that can be reverted one by one; beyond that, the oldest are merged into one."""


@dataclass(eq=False)
class _Change:
    """A change that is in force, and may still have to be reverted."""

    made: ChangedSettings
    is_set: bool = False
    """Whether the operator was told that it is in force."""
    lost: list[WorkerId] = field(default_factory=list)
    """Workers that were lost while applying it."""
    replaced: dict[WorkerId, Reply] = field(default_factory=dict)
    """Replies of replacement workers that started while it was being applied."""
    problems: set[str] = field(default_factory=set)
    settled: Notify = field(default_factory=Notify)

    @property
    def is_awaited(self) -> bool:
        """Whether the replacement of a lost worker has not applied it yet."""
        return not all(map(self.has_replaced, self.lost))

    def has_replaced(self, lost: WorkerId) -> bool:
        """Return whether the replacement of a worker has replied."""
        return any((one.node, one.worker) == (lost.node, lost.worker) for one in self.replaced)


class SettingsUpdate:
    """Changes settings, and remembers the changes."""

    def __init__(
        self,
        broadcast: Broadcast,
        pacing: tuple[float, float | None],
        change_start_rate: Callable[[float], str],
        operator: OperatorLog | None = None,
        names_of: Callable[[str], Collection[str]] = lambda node: (node,),
    ) -> None:
        """Create it without changes.

        Args:
            broadcast: Sends orders to the workers.
            pacing: interarrival in ms and user_rate per minute at the start of the run.
            change_start_rate: Called with the new start rate in users per minute; returns a remark
                for the operator, or nothing.
            operator: Told of changes that are reverted after `set` has returned.
            names_of: Returns the names of a node: its own and its host's.
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
        """Put `values` in force; return each worker's reply, and a remark for the operator.

        Args:
            values: Raw values, by setting.
            on_nodes: Names of the nodes to change; empty means all, including those that have other
                values so far.

        Raises:
            UsageError, SettingError, PeerError: The values are refused, or cannot be checked;
                nothing was changed.
        """
        paced = values.keys() & SETTINGS
        if paced and on_nodes:
            names = " and ".join(sorted(paced))
            raise UsageError(
                f"--on-nodes cannot be used with {names}: a run has a single start rate"
            )
        change = _Change(ChangedSettings(values, on_nodes))
        self._verify(change.made)
        rate = self._start_rate({**self.values, **values}) if paced else 0.0
        # From here on a worker that starts receives the change, so none can miss it.
        self._changes.append(change)
        if len(self._changes) > MAX_CHANGES:
            oldest, second, *rest = self._changes
            oldest.made.update(second.made)
            self._changes = [_Change(oldest.made, is_set=True), *rest]
        replies = self._broadcast.ask(self._applying(change.made), ORDER_S, self._in(change.made))
        self._record_replies(change, replies)
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
        """The raw values, on all nodes, of settings changed since the start."""
        return self._in_force().values()

    def _in_force(self) -> ChangedSettings:
        found = ChangedSettings()
        for one in self._changes:
            found.update(one.made)
        return found

    def _of(self, made: ChangedSettings, worker: WorkerId) -> dict[str, object]:
        """Return the values that a change has for a worker."""
        return made.values(self._names_of(worker.node))

    def _in(self, made: ChangedSettings) -> list[WorkerId]:
        """Return the workers that a change is for."""
        return [one for one in self._broadcast.workers if self._of(made, one)]

    def _applying(self, made: ChangedSettings) -> Callable[[int, WorkerId], ApplySettings]:
        return lambda number, worker: ApplySettings(number, self._of(made, worker))

    def node_lost(self, workers: Iterable[int]) -> None:
        """Stop waiting for these workers, which will not be replaced."""
        self._gone.update(workers)
        for change in self._changes:
            change.lost = [one for one in change.lost if one.worker not in self._gone]
            change.settled.ring()

    def worker_up(self, origin: WorkerId) -> None:
        """Have a new worker apply all changes before it gets users."""
        orders = [
            (one, self._broadcast.begin(self._applying(one.made), [origin]))
            for one in self._changes
            if self._of(one.made, origin)
        ]
        if orders:
            gevent.spawn(self._catch_up, orders)

    def _catch_up(self, orders: Sequence[tuple[_Change, Pending]]) -> None:
        """Process a replacement worker's replies to the changes, one by one."""
        for change, pending in orders:
            replies = self._broadcast.wait(pending, ORDER_S)
            if change not in self._changes:
                continue
            if not change.is_set:
                lost = _lost(replies)
                change.replaced |= {one: replies[one] for one in replies if one not in lost}
                self._record_replies(change, replies)
                change.settled.ring()
            # If the worker dies by now, this change is not the cause.
            elif refused := _refused(replies):
                names = ", ".join(sorted(change.made.names))
                back = f"the change of {names} was reverted"
                self._operator.error("; ".join([*sorted(refused), back, *self._revert(change)]))

    def _record_replies(self, change: _Change, replies: Mapping[WorkerId, Reply]) -> None:
        """Record the workers' replies to a change, and revert it if one has refused it."""
        problems = _refused(replies)
        change.lost += [one for one in _lost(replies) if one.worker not in self._gone]
        if len(change.lost) >= MAX_LOST:
            names = ", ".join(sorted(change.made.names))
            problems.add(f"{len(change.lost)} workers were lost while applying {names}")
        if problems and change in self._changes:
            change.problems = {f"{line}; nothing was changed" for line in problems}
            change.problems.update(self._revert(change))

    def _revert(self, change: _Change) -> list[str]:
        """Revert a change everywhere, as it has failed somewhere; return what fails in that."""
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
        return [f"while reverting it: {line}" for line in lines]

    def _verify(self, made: ChangedSettings) -> None:
        replies = self._broadcast.ask(
            lambda number, worker: VerifySettings(number, self._of(made, worker)),
            ORDER_S,
            self._in(made),
        )
        # A worker lost meanwhile is replaced by one that receives the new values.
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
    return PeerError(f"all workers asked to {to_do} {names} were lost; nothing was changed")


def _lost(replies: Mapping[WorkerId, Reply]) -> list[WorkerId]:
    return [origin for origin, one in replies.items() if one.outcome is Outcome.LOST]


def _refused(replies: Mapping[WorkerId, Reply]) -> set[str]:
    return {one.error for one in replies.values() if one.error and one.outcome is Outcome.ANSWERED}
