"""What to run: the whole plan of a run, before it begins. Pure."""

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
"""Users that can be added during a run, on top of those that its plan needs."""

ABORT_GRACE_S = 10.0
"""How long a threshold may fail before the run is aborted, where that is wanted at all."""


@dataclass(frozen=True)
class RunPlan:
    """What to run.

    Attributes:
        scenario: A path to a Python file, or a module's name.
        users: The ids of the users.
        duration_s: When the users are asked to finish; None means when all have left by themselves.
        sources: Raw settings, strongest first.
        stages: How many users there are when, instead of all of `users`.
        arrivals: At what rate iterations begin, instead of any number of users.
        rates: The rate of a throttle by its name, as text; overrides the scenario's.
        run_directory: Where the run's files go; None means a new one below ``amoc-runs``.
        timeline: Commands at their times: seconds since the first user could start, the command's
            name, its arguments.
        warmup_s: The initial period that thresholds and statistics exclude.
        thresholds: The operator's thresholds, see `amoc.results.thresholds.threshold`; the
            scenario may declare more.
        abort_after_s: End the run when a threshold has failed for so long; None means never.
        failures_ok: Whether a run in which nothing succeeded may exit with 0.
        limited_ok: Whether a run whose generator was too slow may exit with 0.
        log_level: The lowest level that is logged.
        libraries: The directory with what the scenario depends on, see `amoc.install`.
        cluster: Where its nodes are: ``local:3`` for three on this host.
        placement: Which node a user is on, see `amoc.users.placement`.
        on_node_loss: What becomes of the users of a node that is lost: ``restart``, ``continue``
            (without them) or ``fail``.
        on_nodes: The only nodes that `placement` gives users, by their names or hosts; empty means
            all.
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
        """Every field, in types that JSON has; only values of settings may still need `plain`."""
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
        """The plan that `to_json` made `data` of; fields that an older version lacks have defaults.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
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
        """The load that each of its scenarios has by itself, if they have."""
        return FileLoads.of(self.scenario)

    @property
    def own_starts(self) -> str:
        """The option that says when users start, if there is one; else empty."""
        if self.loads is not None:
            return "the scenarios' own loads"
        if self.arrivals is not None:
            return "--arrival-rate"
        return "--stages" if self.stages is not None else ""

    @property
    def most_users(self) -> int:
        """How many users there are at once at the most, by the plan."""
        by_stages = self.stages.highest if self.stages is not None else 0
        by_arrivals = self.arrivals.max_users if self.arrivals is not None else 0
        if (loads := self.loads) is not None:
            return loads.most_users + by_arrivals
        return max(len(self.users), by_stages, by_arrivals)

    def users_of(self, source: str) -> int:
        """How many users one of several scenarios has at once, at the most, by the plan.

        None of an arrival rate: their most is a limit, and not what is wanted.
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
        """The numbers of all users of the plan: those of its start, and those that come later.

        Numbers go on from the highest one; that of a user who was removed does not come back.
        """
        arrivals = self.arrivals.max_users if self.arrivals is not None else 0
        if (loads := self.loads) is not None:
            return range(1, loads.first_arrival + arrivals)
        rises = self.stages.rises if self.stages is not None else 0
        return range(self.users.start, self.users.stop + rises + arrivals)

    @property
    def dealt_ids(self) -> range:
        """Those of `ids` that are placed: users of an arrival rate start wherever a slot goes."""
        if self.arrivals is None:
            return self.ids
        loads = self.loads
        return self.ids[: loads.first_arrival - 1 if loads is not None else 0]

    @property
    def ids(self) -> range:
        """The numbers that users can have: those of the plan, and room for more."""
        planned = self.planned_ids
        return range(planned.start, planned.stop + ROOM_FOR_IDS)
