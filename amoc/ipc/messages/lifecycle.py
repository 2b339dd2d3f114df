"""Messages for the start and end of a run's processes, and to the operator. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from amoc.ipc.messages.placement import Layout


class Bootstrap(NamedTuple):
    """Down, controller to node, on the node's standard input: everything it needs to start."""

    node: int
    """The node's number in the run, from 0."""
    run_id: str
    endpoint: str
    """The directory of the controller's sockets."""
    scenario: str
    sources: Sequence[tuple[str, Mapping[str, object], bool]]
    """Raw settings in order of precedence, as `amoc.scenario.settings.Source`."""
    highest_id: int
    """The highest user id possible in the run."""
    seed: int
    init_timeout_s: float
    stop_timeout_s: float
    log_level: str
    """The lowest level in the logs of the run's processes: ``debug`` to ``error``."""
    users: tuple[int, int] = (1, 2)
    """The ids of the users at the start: the first id, and the last id plus one."""
    duration_s: float | None = None
    libraries: str = ""
    """A directory with the scenario's dependencies; empty if there is none."""
    max_users: int = 0
    """The maximum number of users of the run's arrival rate; 0 without one."""
    remote: tuple[str, str, bytes, bytes, bytes] | tuple[()] = ()
    """For a controller on another host: its endpoints for commands and reports, its public key,
    and this node's keys. `endpoint` is then a directory of the node itself."""
    first_arrival: int = 1
    """The id of the first user of the arrival rate."""


class Hello(NamedTuple):
    """Up, child to parent, repeated until it is welcomed."""

    pid: int


class Init(NamedTuple):
    """Down: run init() and fork the workers."""

    log_directory: str
    """The directory for the logs of the run's processes; empty means no logs."""
    layout: Layout
    """The placement of users, and with it the numbers of the workers."""


class SettingInfo(NamedTuple):
    """One declared setting with its value, as text."""

    name: str
    value: str
    source: str
    description: str
    module: str


class Loaded(NamedTuple):
    """Up: the scenario is imported and its settings are resolved."""

    name: str
    doc: str
    settings: Sequence[tuple[str, ...]]
    """Each a `SettingInfo`."""
    pacing: tuple[float, float | None]
    """interarrival in ms and user_rate per minute."""
    workers: int
    fds_per_user: int
    fd_limit: int
    """The limit of file descriptors in a worker."""
    thresholds: Sequence[str]
    """The scenario's thresholds, see `amoc.results.thresholds.threshold`."""
    cores: int = 1
    """The number of CPU cores the node may use."""
    version: str = ""
    """The version of amoc."""
    digest: str = ""
    """The digest of the scenario's file."""
    secrets: Sequence[tuple[str, bytes]] = ()
    """For each setting whose value is hidden, its fingerprint in this run."""


class Ready(NamedTuple):
    """Up: init() has returned, and the workers are being started."""

    calls: Sequence[tuple[str, Sequence[object]]]
    """The calls made by init() to the controller, in order, as operation and arguments."""
    metrics: Sequence[tuple[str, int]]
    """Name and `amoc.metrics.area.Kind` of each metric declared so far."""
    events: Sequence[str] = ()
    """The controller's events that the scenario has subscribed to."""
    notes: Sequence[str] = ()
    """Remarks on what init() has made, for the operator and the results."""


class Failed(NamedTuple):
    """Up: the node cannot continue. None of its processes will be left running."""

    exit_code: int
    message: str


class Forked(NamedTuple):
    """Up, supervisor to node: a worker has been forked."""

    worker: int
    incarnation: int
    pid: int


class Died(NamedTuple):
    """Up, supervisor to node: a worker has died and has been reaped."""

    worker: int
    incarnation: int
    status: int
    """The result of `os.waitstatus_to_exitcode`; negative for a signal."""
    age_ns: int
    """How long it lived."""


class KillWorker(NamedTuple):
    """Down to the supervisor: kill this worker, which does not respond any more."""

    worker: int
    incarnation: int


class WorkerUp(NamedTuple):
    """Up: a worker is ready for users."""

    worker: int
    incarnation: int
    pid: int
    restart: Sequence[int]
    """Users that ran in its previous incarnation and must be restarted."""
    start: Sequence[int]
    """Users assigned to its previous incarnation that never ran."""


class WorkerLost(NamedTuple):
    """Up: a worker died unexpectedly."""

    worker: int
    incarnation: int
    reason: str
    arrival_slots: int = 0
    """Slots of an arrival rate that all its incarnations have used or counted as missed."""


class Go(NamedTuple):
    """Down to a worker: exit."""


class Terminate(NamedTuple):
    """Down: all users have left; end the workers, run terminate() and exit."""


class Terminated(NamedTuple):
    """Up: terminate() is done; the node's last message."""

    error: str
    """The exception of terminate(); empty if there was none."""


class Note(NamedTuple):
    """Up: a message for the operator, shown once."""

    level: str
    """``info``, ``warning``, ``error``, or ``trace`` for the traceback of the preceding note."""
    text: str


class Output(NamedTuple):
    """Up: output printed by the scenario, in whole lines."""

    lines: Sequence[str]
