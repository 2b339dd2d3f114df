"""Facts in a run's journal but not in its series: plan, crashes, blocked lines, the end. Pure.

A running controller passes each entry as it writes it; a reader of the directory passes the entries
found there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from amoc.base.clock import S_NS
from amoc.base.errors import UsageError
from amoc.base.json_plain import JsonObject
from amoc.metrics.area import Kind
from amoc.results.summary_types import BlockedPart, NodePart
from amoc.results.thresholds import threshold
from amoc.results.thresholds.threshold import Threshold
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.changed_settings import ChangedSettings
from amoc.scenario.load_profile import Stages

Entry = JsonObject
"""A line of a journal."""
_SETS = ("set", "update_settings")
"""The current and the former name of the command that changes settings."""


@dataclass
class CrashSample:
    """One of the crashes with the same cause.

    Attributes:
        user_id: The user that crashed; 0 for a greenlet that a user had spawned.
        traceback: The user's traceback; empty if unknown.
    """

    user_id: int = 0
    traceback: str = ""


class FailureSample(NamedTuple):
    """One of the failures of a step with the same cause.

    Attributes:
        user_id: The user concerned; 0 if there was none.
        message: The failure's message.
    """

    user_id: int = 0
    message: str = ""


@dataclass
class BlockedPlace:
    """How often and for how long a line of the scenario blocked its worker.

    Attributes:
        trace: The stack, as sampled once.
    """

    times: int = 0
    total_ns: int = 0
    longest_ns: int = 0
    trace: str = ""

    def add(self, entry: Entry) -> None:
        """Add the increase since the last entry."""
        self.times += entry["times"]
        self.total_ns += entry["total_ns"]
        self.longest_ns = max(self.longest_ns, entry["longest_ns"])
        self.trace = self.trace or entry.get("trace", "")

    def to_json(self, place: str) -> BlockedPart:
        """Return the line as it appears in the summary."""
        return {
            "place": place,
            "times": self.times,
            "total_s": round(self.total_ns / S_NS, 3),
            "longest_s": round(self.longest_ns / S_NS, 3),
            "trace": self.trace,
        }


@dataclass
class JournalFacts:
    """The combined facts of a journal's entries.

    Attributes:
        run: The ``run`` entry, see `amoc.results.replay.record_of`; empty if there is none.
        end: The ``end`` entry, once the run has ended.
        crashes: By cause.
        failures: By step and cause.
        blocked: By line of the scenario.
        nodes: By name.
        known: The metrics that were declared when users could start.
        changed: Values of settings that were changed during the run.
    """

    run: Entry = field(default_factory=dict)
    end: Entry | None = None
    crashes: dict[str, CrashSample] = field(default_factory=dict)
    failures: dict[str, dict[str, FailureSample]] = field(default_factory=dict)
    blocked: dict[str, BlockedPlace] = field(default_factory=dict)
    nodes: dict[str, NodePart] = field(default_factory=dict)
    known: dict[str, Kind] = field(default_factory=dict)
    changed: ChangedSettings = field(default_factory=ChangedSettings)
    _latest_s: float = 0.0
    _paused_s: float = 0.0
    _paused_from_s: float | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Collect the facts of a journal's entries, which must be in order."""
        facts = cls()
        for entry in entries:
            facts.take(entry)
        return facts

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        at_s = float(entry.get("t_s") or 0.0)
        self._latest_s = max(self._latest_s, at_s)
        match entry["kind"]:
            case "run":
                self.run = self.run or entry
            case "command" if entry.get("name") in _SETS and entry.get("outcome") == "ok":
                given = entry.get("arguments") or {}
                self.changed.change(given.get("values") or {}, given.get("on_nodes") or ())
            case "metrics":
                self.known = threshold.known_of(entry["declared"])
            case "state":
                self._take_state(str(entry.get("state")), at_s)
            case "crash":
                sample = CrashSample(entry.get("user_id", 0), entry.get("traceback", ""))
                self.crashes.setdefault(str(entry.get("cause")), sample)
            case "failure":
                of_step = self.failures.setdefault(str(entry.get("step")), {})
                one = FailureSample(entry.get("user_id", 0), str(entry.get("message") or ""))
                of_step.setdefault(str(entry.get("cause")), one)
            case "blocked":
                self.blocked.setdefault(str(entry["place"]), BlockedPlace()).add(entry)
            case "node":
                self._take_node(entry, at_s)
            case "end":
                self.end = entry

    def _take_node(self, entry: Entry, at_s: float) -> None:
        name, is_lost = str(entry["name"]), entry.get("state") == "lost"
        before = self.nodes.get(name)
        known: Entry = before or {**entry, "workers": len(entry.get("workers", ()))}
        bound_s = max(known.get("clock_bound_s", 0.0), entry.get("clock_bound_s", 0.0))
        if before and entry.get("state") == "clock":
            before["clock_bound_s"] = bound_s
            return
        self.nodes[name] = {
            "name": name,
            "host": str(known.get("host", "")),
            "id": str(known.get("id", "")),
            "workers": known["workers"],
            "state": str(entry.get("state", "")),
            "reason": str(entry.get("reason", "")),
            "joined_at_s": known.get("joined_at_s"),
            "lost_at_s": round(at_s, 3) if is_lost else None,
            "restarted": int(entry.get("restarted", 0)),
            "lost": int(entry.get("lost", 0)),
            "clock_bound_s": bound_s,
        }

    def _take_state(self, state: str, at_s: float) -> None:
        if self._paused_from_s is not None:
            self._paused_s += at_s - self._paused_from_s
        self._paused_from_s = at_s if state == "paused" else None

    @property
    def plan(self) -> Entry:
        """The run's plan."""
        return {**self.run, **(self.run.get("plan") or {})}

    @property
    def warmup_s(self) -> float:
        """The length of the warm-up, which the verdict leaves out."""
        return float(self.plan.get("warmup_s") or 0.0)

    @property
    def arrivals(self) -> Arrivals | None:
        """The planned arrival rate, if any."""
        found = self.plan.get("arrivals")
        return Arrivals.from_json(found) if found else None

    @property
    def stages(self) -> Stages | None:
        """The planned stages, if any."""
        found = self.plan.get("stages")
        try:
            return Stages.from_json(found) if found else None
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def others(self) -> int:
        """The most users besides those of an arrival rate."""
        first, stop = self.plan.get("users") or (1, 1)
        return self.stages.highest if self.stages is not None else int(stop) - int(first)

    @property
    def thresholds(self) -> list[Threshold]:
        """The run's thresholds; none if they come from an incompatible version of amoc."""
        scenario = self.run.get("scenario")
        name = scenario.get("name", "") if isinstance(scenario, Mapping) else ""
        given = (self.run.get("plan") or {}).get("thresholds")
        try:
            return threshold.of_run(_texts(given), _texts(self.run.get("thresholds")), name)
        except UsageError:
            return []

    def duration_s(self, counted_s: float | None) -> float:
        """Return how long the run took.

        Args:
            counted_s: The length of its series, for a run that has not ended; None if the series
                is empty.
        """
        if self.end is not None and (self.end.get("duration_s") or self.end.get("t_s")):
            return float(self.end.get("duration_s") or self.end["t_s"])
        return counted_s if counted_s is not None else self._latest_s

    def paused_s(self, duration_s: float) -> float:
        """Return how much of that time the run was paused."""
        if self.end is not None and "paused_s" in self.end:
            return float(self.end["paused_s"])
        open_s = duration_s - self._paused_from_s if self._paused_from_s is not None else 0.0
        return self._paused_s + max(0.0, open_s)


def _texts(found: object) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
