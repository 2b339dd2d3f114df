"""Changes of settings during a run: checked by every worker, then applied by every worker.

A worker that comes up later, in the place of one that was lost, applies all changes that there were
before it gets users. Who is lost in the middle is replaced by one that does, so a change is in
force everywhere or nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from amoc.base.errors import PeerError, SettingError, UsageError
from amoc.ipc.messages import Done
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast
from amoc.scenario import builtin_settings
from amoc.scenario.start_rate import SETTINGS, start_rate

ORDER_S = 5.0
"""How long workers may take for an order."""


class SettingsUpdate:
    """Changes settings, and remembers what was changed.

    Attributes:
        values: The settings that were changed since the start, as raw values.
    """

    def __init__(
        self,
        ordering: Broadcast,
        pacing: tuple[float, float | None],
        change_start_rate: Callable[[float], None],
    ) -> None:
        """Change settings by orders.

        Args:
            ordering: Gives orders to the workers.
            pacing: interarrival in ms and user_rate per minute, as the run has begun with them.
            change_start_rate: Takes how many users may start in a minute.
        """
        self.values: dict[str, Any] = {}
        self._ordering = ordering
        self._pacing = pacing
        self._change_start_rate = change_start_rate

    def set(self, values: Mapping[str, Any]) -> dict[WorkerId, Done]:
        """Put `values` in force; what each worker answered.

        Raises:
            SettingError, PeerError: They are refused, or cannot be checked; nothing was changed.
        """
        if not values:
            raise UsageError("set must be given NAME=VALUE, but is given nothing")
        self._verify(values)
        before, rate = dict(self.values), self._start_rate({**self.values, **values})
        # From here on a worker that comes up is told, so none can be forgotten in between.
        self.values.update(values)
        answers = self._ordering.ask("apply", {"values": values}, ORDER_S)
        refused = {
            done.error for done in answers.values() if done.error and not done.answer.get("missing")
        }
        if refused:
            self._revert(values, before)
            raise SettingError(*(f"{line}; nothing was changed" for line in sorted(refused)))
        if values.keys() & SETTINGS:
            self._change_start_rate(rate)
        return answers

    def _revert(self, values: Mapping[str, Any], before: dict[str, Any]) -> None:
        """Take a change back everywhere that an update function did not take somewhere."""
        self.values.clear()
        self.values.update(before)
        old = {name: before[name] for name in values if name in before}
        initial = [name for name in values if name not in before]
        self._ordering.ask("revert", {"values": old, "initial": initial}, ORDER_S)

    def _verify(self, values: Mapping[str, Any]) -> None:
        answers = self._ordering.ask("verify", {"values": values}, ORDER_S)
        # Whoever is lost meanwhile is replaced by one that is told the new values.
        heard = {origin: done for origin, done in answers.items() if not done.answer.get("lost")}
        if not heard:
            raise PeerError("no worker is up to check the settings; try again in a moment")
        for origin, done in heard.items():
            if done.answer.get("missing"):
                raise PeerError(f"worker {origin} {done.error}; nothing was changed")
        problems = {line for done in heard.values() for line in done.error.splitlines()}
        if problems:
            raise SettingError(*sorted(problems))

    def _start_rate(self, values: Mapping[str, Any]) -> float:
        interarrival_ms, per_minute = self._pacing
        try:
            if "interarrival" in values:
                interarrival_ms = builtin_settings.interarrival.convert(values["interarrival"])
            if "user_rate" in values:
                per_minute = builtin_settings.user_rate.convert(values["user_rate"])
        except ValueError as error:
            raise SettingError(f"user_rate or interarrival {error}") from None
        return start_rate(interarrival_ms, per_minute)
