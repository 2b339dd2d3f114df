"""Changes of settings during a run: checked by every worker, then applied by every worker.

A worker that replaces a lost one applies all earlier changes before it gets users, so a change is
in force everywhere or nowhere, also when a worker is lost in the middle of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from amoc.base.errors import PeerError, SettingError
from amoc.ipc.messages.orders import ApplySettings, RevertSettings, VerifySettings
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast, Outcome, Reply
from amoc.scenario import builtin_settings
from amoc.scenario.start_rate import SETTINGS, start_rate

ORDER_S = 5.0
"""How long workers may take to carry out an order."""


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
    ) -> None:
        """Begin with no changes.

        Args:
            broadcast: Gives orders to the workers.
            pacing: interarrival in ms and user_rate per minute at the start of the run.
            change_start_rate: Called with the new start rate in users per minute.
        """
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
        replies = self._broadcast.ask(lambda number, _: ApplySettings(number, values), ORDER_S)
        refused = {
            one.error for one in replies.values() if one.error and one.outcome is Outcome.ANSWERED
        }
        if refused:
            self._revert(values, before)
            raise SettingError(*(f"{line}; nothing was changed" for line in sorted(refused)))
        if values.keys() & SETTINGS:
            self._change_start_rate(rate)
        return replies

    def _revert(self, values: Mapping[str, object], before: dict[str, object]) -> None:
        """Take a change back everywhere, because an update function has failed somewhere."""
        self.values.clear()
        self.values.update(before)
        old = {name: before[name] for name in values if name in before}
        initial = [name for name in values if name not in before]
        self._broadcast.ask(lambda number, _: RevertSettings(number, old, initial), ORDER_S)

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
