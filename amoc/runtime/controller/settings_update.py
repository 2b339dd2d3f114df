"""Changes of settings during a run: checked by every worker, then applied by every worker.

A worker that replaces a lost one applies all earlier changes before it gets users, so a change is
in force everywhere or nowhere, also when a worker is lost in the middle of it. A change in which
`MAX_LOST` workers are lost is taken to be what they die of, and is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import gevent

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError, SettingError, value_error_as
from amoc.base.operator import Operator
from amoc.base.waiting import Notify
from amoc.ipc.messages.orders import ApplySettings, RevertSettings, VerifySettings
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import REPLACE_S, Broadcast, Outcome, Pending, Reply
from amoc.scenario import builtin_settings
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

    values: Mapping[str, object]
    is_set: bool = False
    """Whether the operator was told that it is in force."""
    lost: list[WorkerId] = field(default_factory=list)
    """Workers that were lost while they applied it."""
    replaced: set[WorkerId] = field(default_factory=set)
    """Replacements that have applied it, or have said why not."""
    problems: set[str] = field(default_factory=set)
    settled: Notify = field(default_factory=Notify)

    @property
    def is_awaited(self) -> bool:
        """Whether a lost worker's replacement has not applied it yet."""
        there = {(one.node, one.worker) for one in self.replaced}
        return any((one.node, one.worker) not in there for one in self.lost)


class SettingsUpdate:
    """Changes settings, and remembers what was changed."""

    def __init__(
        self,
        broadcast: Broadcast,
        pacing: tuple[float, float | None],
        change_start_rate: Callable[[float], str],
        operator: Operator | None = None,
    ) -> None:
        """Begin with no changes.

        Args:
            broadcast: Gives orders to the workers.
            pacing: interarrival in ms and user_rate per minute at the start of the run.
            change_start_rate: Called with the new start rate in users per minute; returns what is
                worth saying about that.
            operator: Told of changes that are taken back after `set` has returned.
        """
        self._operator = operator or Operator()
        self._changes: list[_Change] = []
        self._gone: set[int] = set()
        self._broadcast = broadcast
        self._pacing = pacing
        self._change_start_rate = change_start_rate

    def set(self, values: Mapping[str, object]) -> tuple[Mapping[WorkerId, Reply], str]:
        """Put `values` in force; each worker's reply, and what else should be said.

        Raises:
            SettingError, PeerError: They are refused, or cannot be checked; nothing was changed.
        """
        self._verify(values)
        paced = values.keys() & SETTINGS
        rate = self._start_rate({**self.values, **values}) if paced else 0.0
        # From here on a worker that comes up is told, so none can be forgotten in between.
        change = _Change(values)
        self._changes.append(change)
        if len(self._changes) > MAX_CHANGES:
            oldest, second, *rest = self._changes
            both = _Change({**oldest.values, **second.values}, is_set=True)
            self._changes = [both, *rest]
        replies = self._broadcast.ask(_applying(values), ORDER_S)
        self._heard(change, replies)
        until_ns = now_ns() + int(REPLACE_S * S_NS)
        while not change.problems and change.is_awaited and (left_ns := until_ns - now_ns()) > 0:
            change.settled.wait(left_ns / S_NS)
        if change.problems:
            raise SettingError(*sorted(change.problems))
        change.is_set = True
        return replies, self._change_start_rate(rate) if paced else ""

    @property
    def values(self) -> dict[str, object]:
        """The raw values of the settings that were changed since the start."""
        return {name: value for one in self._changes for name, value in one.values.items()}

    def node_lost(self, workers: Iterable[int]) -> None:
        """These workers are no more, and nobody will replace them: no change waits for that."""
        self._gone.update(workers)

    def worker_up(self, origin: WorkerId) -> None:
        """Have a worker that has come up apply all changes, before it gets users."""
        orders = [
            (one, self._broadcast.begin(_applying(one.values), [origin])) for one in self._changes
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
                change.replaced |= replies.keys() - _lost(replies)
                self._heard(change, replies)
                change.settled.ring()
            # Of whatever a worker dies by now, it is not this.
            elif refused := _refused(replies):
                names = ", ".join(sorted(change.values))
                back = f"the change of {names} was taken back in all workers"
                self._operator.error("; ".join([*sorted(refused), back, *self._revert(change)]))

    def _heard(self, change: _Change, replies: Mapping[WorkerId, Reply]) -> None:
        """Note how workers have applied a change, and take it back if one has refused it."""
        problems = _refused(replies)
        change.lost += [one for one in _lost(replies) if one.worker not in self._gone]
        if len(change.lost) >= MAX_LOST:
            names = ", ".join(sorted(change.values))
            problems.add(f"{len(change.lost)} workers were lost when they applied {names}")
        if problems and change in self._changes:
            change.problems = {f"{line}; nothing was changed" for line in problems}
            change.problems.update(self._revert(change))

    def _revert(self, change: _Change) -> list[str]:
        """Take a change back everywhere, because it has failed somewhere; what fails in that."""
        self._changes.remove(change)
        now = self.values
        old = {name: now[name] for name in change.values if name in now}
        initial = [name for name in change.values if name not in now]
        paced = change.is_set and change.values.keys() & SETTINGS
        remark = self._change_start_rate(self._start_rate(now)) if paced else ""
        replies = self._broadcast.ask(
            lambda number, _: RevertSettings(number, old, initial), ORDER_S
        )
        failed = [one.error for one in replies.values() if one.outcome is Outcome.ANSWERED]
        lines = [line for text in (remark, *failed) for line in text.splitlines()]
        return [f"taking it back, {line}" for line in lines]

    def _verify(self, values: Mapping[str, object]) -> None:
        self._broadcast.ready()
        replies = self._broadcast.ask(lambda number, _: VerifySettings(number, values), ORDER_S)
        # A worker that is lost meanwhile is replaced by one that is told the new values.
        heard = {origin: one for origin, one in replies.items() if one.outcome is not Outcome.LOST}
        if not heard:
            raise PeerError("all workers were lost when they checked the settings")
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


def _applying(values: Mapping[str, object]) -> Callable[[int, WorkerId], ApplySettings]:
    return lambda number, _: ApplySettings(number, values)


def _lost(replies: Mapping[WorkerId, Reply]) -> list[WorkerId]:
    return [origin for origin, one in replies.items() if one.outcome is Outcome.LOST]


def _refused(replies: Mapping[WorkerId, Reply]) -> set[str]:
    return {one.error for one in replies.values() if one.error and one.outcome is Outcome.ANSWERED}
