"""Changes of settings during a run: checked by every worker, then applied by every worker.

A worker that replaces a lost one applies all earlier changes before it gets users, so a change is
in force everywhere or nowhere, also when a worker is lost in the middle of it. A change in which
`MAX_LOST` workers are lost is taken to be what they die of, and is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import gevent

from amoc.base.errors import PeerError, SettingError
from amoc.base.operator import Operator
from amoc.base.waiting import Notify
from amoc.ipc.messages.orders import ApplySettings, RevertSettings, VerifySettings
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast, Outcome, Pending, Reply
from amoc.scenario import builtin_settings
from amoc.scenario.start_rate import SETTINGS, start_rate

ORDER_S = 5.0
"""How long workers may take to carry out an order."""
REPLACE_S = 10.0
"""How long a lost worker's replacement may take to come up and apply a change."""
MAX_LOST = 2
"""Workers that may be lost while they apply one change; one may die of something else."""


@dataclass
class _Change:
    """The latest change, while it may still have to be taken back."""

    values: Mapping[str, object]
    before: dict[str, object]
    lost: int = 0
    waiting: int = 0
    """Lost workers whose replacements have not applied it yet."""
    problems: set[str] = field(default_factory=set)
    settled: Notify = field(default_factory=Notify)


class SettingsUpdate:
    """Changes settings, and remembers what was changed.

    Attributes:
        values: The raw values of the settings that were changed since the start.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        pacing: tuple[float, float | None],
        change_start_rate: Callable[[float], None],
        operator: Operator | None = None,
    ) -> None:
        """Begin with no changes.

        Args:
            broadcast: Gives orders to the workers.
            pacing: interarrival in ms and user_rate per minute at the start of the run.
            change_start_rate: Called with the new start rate in users per minute.
            operator: Told of changes that are taken back after `set` has returned.
        """
        self._operator = operator or Operator()
        self._change: _Change | None = None
        self.values: dict[str, object] = {}
        self._broadcast = broadcast
        self._pacing = pacing
        self._change_start_rate = change_start_rate

    def set(self, values: Mapping[str, object]) -> dict[WorkerId, Reply]:
        """Put `values` in force; each worker's reply.

        Raises:
            SettingError, PeerError: They are refused, or cannot be checked; nothing was changed.
        """
        self._verify(values)
        before, rate = dict(self.values), self._start_rate({**self.values, **values})
        # From here on a worker that comes up is told, so none can be forgotten in between.
        self.values.update(values)
        change = self._change = _Change(values, before)
        replies = self._broadcast.ask(lambda number, _: ApplySettings(number, values), ORDER_S)
        if not self._heard(change, replies) and change.waiting:
            change.settled.wait(REPLACE_S)
        if change.problems:
            raise SettingError(*sorted(change.problems))
        if values.keys() & SETTINGS:
            self._change_start_rate(rate)
        return replies

    def worker_up(self, origin: WorkerId) -> None:
        """Have a worker that has come up apply all changes, before it gets users."""
        if self.values:
            values = dict(self.values)
            pending = self._broadcast.begin(
                lambda number, _: ApplySettings(number, values), [origin]
            )
            gevent.spawn(self._catch_up, pending, self._change)

    def _catch_up(self, pending: Pending, change: _Change | None) -> None:
        """Hear how a replacement has applied the changes."""
        replies = self._broadcast.wait(pending, ORDER_S)
        if change is None or change is not self._change or change.problems:
            return
        waiting, change.waiting = change.waiting, max(0, change.waiting - 1)
        if self._heard(change, replies) and not waiting:
            self._operator.error("; ".join(sorted(change.problems)))
        if change.problems or not change.waiting:
            change.settled.ring()

    def _heard(self, change: _Change, replies: Mapping[WorkerId, Reply]) -> bool:
        """Note how workers have applied a change; whether it was taken back for that."""
        problems = {
            one.error for one in replies.values() if one.error and one.outcome is Outcome.ANSWERED
        }
        lost = sum(one.outcome is Outcome.LOST for one in replies.values())
        change.lost += lost
        change.waiting += lost
        if change.lost >= MAX_LOST:
            names = ", ".join(sorted(change.values))
            problems.add(f"{change.lost} workers were lost when they applied {names}")
        if problems:
            failed = self._revert(change)
            change.problems = {f"{line}; nothing was changed" for line in problems}.union(failed)
        return bool(problems)

    def _revert(self, change: _Change) -> list[str]:
        """Take a change back everywhere, because it has failed somewhere; what fails in that."""
        values, before = change.values, change.before
        self.values.clear()
        self.values.update(before)
        old = {name: before[name] for name in values if name in before}
        initial = [name for name in values if name not in before]
        replies = self._broadcast.ask(
            lambda number, _: RevertSettings(number, old, initial), ORDER_S
        )
        return [
            f"taking it back, {line}"
            for one in replies.values()
            if one.outcome is Outcome.ANSWERED
            for line in one.error.splitlines()
        ]

    def _verify(self, values: Mapping[str, object]) -> None:
        replies = self._broadcast.ask(lambda number, _: VerifySettings(number, values), ORDER_S)
        # A worker that is lost meanwhile is replaced by one that is told the new values.
        heard = {origin: one for origin, one in replies.items() if one.outcome is not Outcome.LOST}
        if not heard:
            raise PeerError("no worker is ready to check the settings; try again in a moment")
        for origin, one in heard.items():
            if one.outcome is Outcome.SILENT:
                raise PeerError(f"worker {origin} {one.error}; nothing was changed")
        problems = {line for one in heard.values() for line in one.error.splitlines()}
        if problems:
            raise SettingError(*sorted(problems))

    def _start_rate(self, values: Mapping[str, object]) -> float:
        interarrival_ms, per_minute = self._pacing
        try:
            if "interarrival" in values:
                interarrival_ms = builtin_settings.interarrival.convert(values["interarrival"])
            if "user_rate" in values:
                per_minute = builtin_settings.user_rate.convert(values["user_rate"])
        except ValueError as error:
            raise SettingError(f"user_rate or interarrival {error}") from None
        return start_rate(interarrival_ms, per_minute)
