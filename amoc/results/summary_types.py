"""The parts of a summary as types; `docs/summary.md` explains each field. Pure.

A summary that an earlier version wrote may lack fields, so readers of a file use `get` for all but
`Summary.run` and its verdict.
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class RunPart(TypedDict):
    """The run as a whole: its plan and its outcome."""

    id: str
    scenario: str
    comment: str
    seed: int | None
    started_at: str
    ended_at: str
    stages: str
    arrival_rate: str
    targets: Sequence[str]
    duration_s: float
    paused_s: float
    active_s: float
    directory: str
    warmup_s: float
    verdict: str
    exit_code: int | None
    reasons: list[str]
    notes: list[str]


class CrashPart(TypedDict):
    """The number of iterations that raised for one cause, and a sample; a window has no samples."""

    cause: str
    count: int
    user_id: NotRequired[int]
    traceback: NotRequired[str]


class ThrottlePart(TypedDict):
    """The last state of a throttle, with all of its counts."""

    rate: float | None
    interval_s: float
    mode: str
    requests: int
    executions: int
    missed: int
    waiting: int
    executions_per_s: float | None


class NodePart(TypedDict):
    """A node of the run."""

    name: str
    host: str
    id: str
    workers: int
    state: str
    reason: str
    joined_at_s: float | None
    lost_at_s: float | None
    restarted: int
    lost: int
    clock_bound_s: float


class WorkerPart(TypedDict):
    """A worker over the whole run."""

    node: str
    worker: int
    restarts: int
    users_peak: int
    cpu_s: float
    max_rss_bytes: int
    loop_lag_p99_s: float


class SettingPart(TypedDict):
    """A setting as it was at the start."""

    name: str
    value: str
    source: str
    description: str
    module: str


class ThresholdPart(TypedDict):
    """A threshold and its outcome."""

    expression: str
    source: str
    passed: bool
    value: float | None
    value_text: str
    reason: str


class Finding(TypedDict):
    """A limit that the load generator exceeded for long enough, see `Health.findings`."""

    where: str
    what: str
    limit: float
    worst: float
    unit: str
    seconds: float
    from_s: float
    to_s: float
    text: str
    advice: str


class HealthPart(TypedDict):
    """Whether the load generator kept up."""

    limited: bool
    findings: list[Finding]


class BlockedPart(TypedDict):
    """A line of the scenario that blocked a worker's event loop."""

    place: str
    times: int
    total_s: float
    longest_s: float
    trace: str


class CausePart(TypedDict):
    """Failures of a step with one cause, and a sample."""

    cause: str
    count: int
    first_s: float
    last_s: float
    user_id: int
    message: str


class StepPart(TypedDict):
    """A step: its executions, and the causes of failures."""

    count: int
    failures: int
    failed_share: float | None
    per_s: float | None
    bytes: int
    times: Mapping[str, float | None]
    response: Mapping[str, float | None]
    causes: Sequence[CausePart]


class CheckPart(TypedDict):
    """A check: how often it passed."""

    passed: int
    failed: int
    passed_share: float | None


Timers = Mapping[str, Mapping[str, float]]
"""By name: the `FIELDS` of `amoc.metrics.timer_statistics`."""


class Measured(TypedDict):
    """The fields that the whole run and its window have in common."""

    steps: Mapping[str, StepPart]
    checks: Mapping[str, CheckPart]
    crashes: Sequence[CrashPart]
    counters: Mapping[str, int]
    counters_per_s: Mapping[str, float | None]
    timers: Timers
    throttles: Mapping[str, ThrottlePart]


class WindowPart(Measured):
    """The run without its warm-up."""

    from_s: float
    to_s: float
    duration_s: float
    active_s: float


class Summary(Measured):
    """The whole summary."""

    run: RunPart
    users: Mapping[str, float]
    gauges: Mapping[str, float | None]
    nodes: Sequence[NodePart]
    workers: Sequence[WorkerPart]
    versions: Mapping[str, str]
    settings: Sequence[SettingPart]
    thresholds: Sequence[ThresholdPart]
    health: NotRequired[HealthPart]
    blocked: Sequence[BlockedPart]
    window: NotRequired[WindowPart]
