"""Facts in a run's journal but not in its series: plan, crashes, blocked lines, the end. Pure.

A running controller passes each entry as it writes it; a reader of the directory passes the entries
found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeVar

from amoc.base.clock import S_NS
from amoc.base.errors import UsageError
from amoc.base.json_plain import (
    Json,
    JsonObject,
    number_in,
    object_in,
    objects_in,
    text_in,
    texts_in,
)
from amoc.metrics.area import Kind
from amoc.results.summary_types import BlockedPart, NodePart
from amoc.results.targets import targets
from amoc.results.thresholds import threshold
from amoc.results.thresholds.threshold import Threshold
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.changed_settings import ChangedSettings
from amoc.scenario.load_profile import Stages

T = TypeVar("T")

Entry = Mapping[str, Json]
"""A line of a journal. Those of other versions of amoc may lack fields, or have other types."""
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
        self.times += int(number_in(entry, "times"))
        self.total_ns += int(number_in(entry, "total_ns"))
        self.longest_ns = max(self.longest_ns, int(number_in(entry, "longest_ns")))
        self.trace = self.trace or text_in(entry, "trace")

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
        servers: The servers that users connected to.
        blocked: By line of the scenario.
        nodes: By name.
        known: The metrics that were declared when users could start.
        changed: Values of settings that were changed during the run.
    """

    run: JsonObject = field(default_factory=dict)
    end: JsonObject | None = None
    crashes: dict[str, CrashSample] = field(default_factory=dict)
    failures: dict[str, dict[str, FailureSample]] = field(default_factory=dict)
    servers: list[str] = field(default_factory=list)
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
        at_s = float(number_in(entry, "t_s"))
        self._latest_s = max(self._latest_s, at_s)
        match entry["kind"]:
            case "run":
                self.run = self.run or entry
            case "command" if entry.get("name") in _SETS and entry.get("outcome") == "ok":
                given = object_in(entry, "arguments")
                self.changed.change(object_in(given, "values"), texts_in(given, "on_nodes"))
            case "metrics":
                self.known = _restored(threshold.known_of, entry.get("declared")) or {}
            case "state":
                self._take_state(str(entry.get("state")), at_s)
            case "crash":
                sample = CrashSample(int(number_in(entry, "user_id")), text_in(entry, "traceback"))
                self.crashes.setdefault(str(entry.get("cause")), sample)
            case "failure":
                of_step = self.failures.setdefault(str(entry.get("step")), {})
                one = FailureSample(int(number_in(entry, "user_id")), text_in(entry, "message"))
                of_step.setdefault(str(entry.get("cause")), one)
            case "target" if address := text_in(entry, "address"):
                self.servers.append(address)
            case "blocked":
                self.blocked.setdefault(str(entry.get("place")), BlockedPlace()).add(entry)
            case "node":
                self._take_node(entry, at_s)
            case "end":
                self.end = entry

    def _take_node(self, entry: Entry, at_s: float) -> None:
        name, state = str(entry.get("name")), text_in(entry, "state")
        workers, joined_at_s = entry.get("workers"), entry.get("joined_at_s")
        is_known = name in self.nodes
        node = self.nodes.setdefault(
            name,
            {
                "name": name,
                "host": text_in(entry, "host"),
                "id": text_in(entry, "id"),
                "workers": len(workers) if isinstance(workers, list) else 0,
                "state": state,
                "reason": "",
                "joined_at_s": joined_at_s if isinstance(joined_at_s, int | float) else None,
                "lost_at_s": None,
                "restarted": 0,
                "lost": 0,
                "clock_bound_s": 0.0,
            },
        )
        node["clock_bound_s"] = max(node["clock_bound_s"], number_in(entry, "clock_bound_s"))
        if is_known and state == "clock":
            return
        node["state"], node["reason"] = state, text_in(entry, "reason")
        node["lost_at_s"] = round(at_s, 3) if state == "lost" else None
        node["restarted"] = int(number_in(entry, "restarted"))
        node["lost"] = int(number_in(entry, "lost"))

    def _take_state(self, state: str, at_s: float) -> None:
        if self._paused_from_s is not None:
            self._paused_s += at_s - self._paused_from_s
        self._paused_from_s = at_s if state == "paused" else None

    @property
    def plan(self) -> Entry:
        """The run's plan."""
        return {**self.run, **object_in(self.run, "plan")}

    @property
    def targets(self) -> list[str]:
        """What the run tests, as far as known."""
        return targets(objects_in(self.run, "settings"), self.servers)

    @property
    def warmup_s(self) -> float:
        """The length of the warm-up, which the verdict leaves out."""
        return float(number_in(self.plan, "warmup_s"))

    @property
    def arrivals(self) -> Arrivals | None:
        """The planned arrival rate, if any."""
        return _restored(Arrivals.from_json, self.plan.get("arrivals"))

    @property
    def stages(self) -> Stages | None:
        """The planned stages, if any."""
        return _restored(Stages.from_json, self.plan.get("stages"))

    @property
    def others(self) -> int:
        """The most users besides those of an arrival rate."""
        if self.stages is not None:
            return self.stages.highest
        return len(_restored(lambda ends: range(*map(int, ends)), self.plan.get("users")) or ())

    @property
    def thresholds(self) -> list[Threshold]:
        """The run's thresholds; none if they come from an incompatible version of amoc."""
        scenario = self.run.get("scenario")
        name = scenario.get("name", "") if isinstance(scenario, Mapping) else ""
        given = texts_in(object_in(self.run, "plan"), "thresholds")
        try:
            return threshold.of_run(given, texts_in(self.run, "thresholds"), name)
        except UsageError:
            return []

    def duration_s(self, counted_s: float | None) -> float:
        """Return how long the run took.

        Args:
            counted_s: The length of its series, for a run that has not ended; None if the series
                is empty.
        """
        if self.end is not None and (
            known_s := number_in(self.end, "duration_s") or number_in(self.end, "t_s")
        ):
            return float(known_s)
        return counted_s if counted_s is not None else self._latest_s

    def paused_s(self, duration_s: float) -> float:
        """Return how much of that time the run was paused."""
        if self.end is not None and "paused_s" in self.end:
            return float(number_in(self.end, "paused_s"))
        open_s = duration_s - self._paused_from_s if self._paused_from_s is not None else 0.0
        return self._paused_s + max(0.0, open_s)


def _restored(restore: Callable[[Any], T], found: Json) -> T | None:  # Any: `restore` checks it
    """Return what `found` stands for; None if it comes from an incompatible version of amoc."""
    try:
        return restore(found) if found else None
    except (KeyError, TypeError, ValueError):
        return None
