"""The complete plan of a run, made before it begins. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from amoc.base.json_plain import JsonObject
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.cluster import ONE_NODE
from amoc.scenario.file_loads import FileLoads
from amoc.scenario.load_profile import Stages
from amoc.scenario.scenario_files import parts_of
from amoc.scenario.settings import Source

ROOM_FOR_IDS = 1_000_000
"""Users that can be added during a run, in addition to those of its plan."""

ABORT_GRACE_S = 10.0
"""Default for how long a threshold may fail before the run is aborted, if aborting is on."""


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    Attributes:
        scenario: A path to a Python file, or a module's name.
        users: The ids of the users.
        duration_s: When users are asked to finish; None means the run ends when all have left.
        sources: Raw settings, in order of precedence.
        stages: The number of users over time, instead of a constant number.
        arrivals: The arrival rate of iterations, instead of a number of users.
        rates: Throttle rates by name, as text; override the scenario's.
        run_directory: The directory for the run's files; None means a new one in ``amoc-runs``.
        timeline: Scheduled commands: seconds since users may start, the command's name, its
            arguments.
        warmup_s: The initial period that thresholds and statistics exclude.
        thresholds: The operator's thresholds, see `amoc.results.thresholds.threshold`; the
            scenario may declare more.
        abort_after_s: End the run once a threshold has failed for this long; None means never.
        failures_ok: Whether a run in which nothing succeeded may exit with 0.
        limited_ok: Whether a run whose load generator was too slow may exit with 0.
        log_level: The lowest level that is logged.
        libraries: The directory with the scenario's dependencies, see `amoc.install`.
        cluster: The nodes: ``local:3`` for three on this host.
        placement: The rule that assigns users to nodes, see `amoc.users.placement`.
        on_node_loss: The policy for users of a lost node: ``restart``, ``continue`` (without them)
            or ``fail``.
        on_nodes: Names or hosts of the only nodes that get users; empty means all.
    """

    scenario: str
    users: range
    duration_s: float | None
    sources: tuple[Source, ...]
    seed: int
    comment: str
    init_timeout_s: float
    stop_timeout_s: float
    stages: Stages | None = None
    arrivals: Arrivals | None = None
    rates: Mapping[str, str] = field(default_factory=dict)
    run_directory: str | None = None
    timeline: tuple[tuple[float, str, JsonObject], ...] = ()
    warmup_s: float = 0.0
    thresholds: tuple[str, ...] = ()
    abort_after_s: float | None = None
    limited_ok: bool = False
    failures_ok: bool = False
    log_level: str = "info"
    libraries: str = ""
    cluster: str = ONE_NODE
    placement: str = "round-robin"
    on_node_loss: str = "restart"
    on_nodes: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """Return all fields as JSON types; only values of settings may still need `plain`."""
        made = {one.name: getattr(self, one.name) for one in fields(self)}
        if self.stages is not None:
            made["stages"] = self.stages.to_json()
        if self.arrivals is not None:
            made["arrivals"] = self.arrivals.to_json()
        return made | {
            "users": [self.users.start, self.users.stop],
            "rates": dict(self.rates),
            **{name: list(map(list, made[name])) for name in ("sources", "timeline")},
            "thresholds": list(self.thresholds),
            "on_nodes": list(self.on_nodes),
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> RunPlan:
        """Restore a plan from the result of `to_json`; missing fields get their defaults.

        Raises:
            KeyError, TypeError, ValueError: `data` is invalid.
        """
        made: dict[str, object] = {
            "users": range(*map(int, data["users"])),
            "sources": tuple(
                Source(label, dict(values), strict) for label, values, strict in data["sources"]
            ),
            "timeline": tuple(
                (t_s, name, dict(arguments)) for t_s, name, arguments in data["timeline"]
            ),
            "thresholds": tuple(map(str, data.get("thresholds", ()))),
            "on_nodes": tuple(map(str, data.get("on_nodes", ()))),
        }
        if (stages := data["stages"]) is not None:
            made["stages"] = Stages.from_json(stages)
        if (arrivals := data.get("arrivals")) is not None:
            made["arrivals"] = Arrivals.from_json(arrivals)
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        return cls(**{**known, **made})

    @property
    def loads(self) -> FileLoads | None:
        """The separate loads of its scenarios, if they have any."""
        return FileLoads.of(self.scenario)

    @property
    def own_starts(self) -> str:
        """The option that determines when users start, or empty if there is none."""
        if self.loads is not None:
            return "the scenarios' own loads"
        if self.arrivals is not None:
            return "--arrival-rate"
        return "--stages" if self.stages is not None else ""

    @property
    def most_users(self) -> int:
        """The planned maximum number of concurrent users."""
        by_stages = self.stages.highest if self.stages is not None else 0
        by_arrivals = self.arrivals.max_users if self.arrivals is not None else 0
        if (loads := self.loads) is not None:
            return loads.most_users + by_arrivals
        return max(len(self.users), by_stages, by_arrivals)

    def users_of(self, source: str) -> int:
        """Return the planned maximum number of concurrent users of one of several scenarios.

        Without those of an arrival rate, whose maximum is a limit and not a target.
        """
        if (loads := self.loads) is not None:
            return loads.users_of(source)
        parts = parts_of(self.scenario)
        weight = sum(one.users for one in parts if one.source == source or not source)
        every = sum(one.users for one in parts)
        most = 0 if self.arrivals is not None else self.most_users
        return -(-most * weight // every) if every else most

    @property
    def planned_ids(self) -> range:
        """The ids of all planned users, including those that start later.

        New users get the next higher id; the id of a removed user is not reused.
        """
        arrivals = self.arrivals.max_users if self.arrivals is not None else 0
        if (loads := self.loads) is not None:
            return range(1, loads.first_arrival + arrivals)
        rises = self.stages.rises if self.stages is not None else 0
        return range(self.users.start, self.users.stop + rises + arrivals)

    @property
    def dealt_ids(self) -> range:
        """The `ids` subject to placement; users of an arrival rate start where their slot goes."""
        if self.arrivals is None:
            return self.ids
        loads = self.loads
        return self.ids[: loads.first_arrival - 1 if loads is not None else 0]

    @property
    def ids(self) -> range:
        """All possible user ids: the planned ones and some for users added later."""
        planned = self.planned_ids
        return range(planned.start, planned.stop + ROOM_FOR_IDS)
