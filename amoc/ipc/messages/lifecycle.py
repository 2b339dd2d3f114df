"""How the processes of a run come up, go down and speak to the operator. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from amoc.ipc.messages.placement import Layout


class Bootstrap(NamedTuple):
    """Down, controller to node, on the node's standard input: all it needs to begin."""

    node: int
    """The node's number in the run, from 0."""
    run_id: str
    endpoint: str
    """Directory of the controller's sockets."""
    scenario: str
    sources: Sequence[tuple[str, Mapping[str, object], bool]]
    """Raw settings, strongest first, as `amoc.scenario.settings.Source`."""
    highest_id: int
    """The highest user id that the run can come to have."""
    seed: int
    init_timeout_s: float
    stop_timeout_s: float
    log_level: str
    """The least that goes into the logs of the run's processes: ``debug`` to ``error``."""
    users: tuple[int, int] = (1, 2)
    """The ids of the users at the start: the first one, and the one behind the last."""
    duration_s: float | None = None
    libraries: str = ""
    """A directory with what the scenario depends on; empty if there is none."""
    max_users: int = 0
    """The most users of the run's arrival rate; 0 without one."""
    remote: tuple[str, str, bytes, bytes, bytes] | tuple[()] = ()
    """Where a controller on another host is: the endpoint of its commands and that of reports, its
    public key, and this node's keys. `endpoint` is a directory of the node's own then."""
    first_arrival: int = 1
    """The id of the first of these."""


class Hello(NamedTuple):
    """Up, child to parent, again and again until it is welcomed."""

    pid: int


class Init(NamedTuple):
    """Down: run init() and fork the workers."""

    log_directory: str
    """Where the logs of the run's processes go; empty means nowhere."""
    layout: Layout
    """Which users will be here, and by that which numbers the workers have."""


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
    """File descriptors that a worker may have."""
    thresholds: Sequence[str]
    """The scenario's thresholds, see `amoc.results.thresholds.threshold`."""
    cores: int = 1
    """CPU cores that the node may use."""
    version: str = ""
    """amoc's."""
    digest: str = ""
    """Of the scenario's file."""
    secrets: Sequence[tuple[str, bytes]] = ()
    """Of each setting that is shown without its value: what that is known by, in this run."""


class Ready(NamedTuple):
    """Up: init() has returned; the workers are on their way."""

    calls: Sequence[tuple[str, Sequence[object]]]
    """What init() asked of the controller, in order; each an operation and its arguments."""
    metrics: Sequence[tuple[str, int]]
    """Name and `amoc.metrics.area.Kind` of each metric that is declared by now."""
    events: Sequence[str] = ()
    """The controller's events that the scenario has subscribed to."""


class Failed(NamedTuple):
    """Up: the node cannot go on. Nothing of it will be left running."""

    exit_code: int
    message: str


class Forked(NamedTuple):
    """Up, supervisor to node: a worker has been forked."""

    worker: int
    incarnation: int
    pid: int


class Died(NamedTuple):
    """Up, supervisor to node: a worker is gone and has been reaped."""

    worker: int
    incarnation: int
    status: int
    """As `os.waitstatus_to_exitcode` gives it: negative is a signal."""
    age_ns: int
    """How long it lived."""


class KillWorker(NamedTuple):
    """Down to the supervisor: this worker does not answer any more."""

    worker: int
    incarnation: int


class WorkerUp(NamedTuple):
    """Up: a worker takes users."""

    worker: int
    incarnation: int
    pid: int
    restart: Sequence[int]
    """Users that ran in its previous incarnation and must be started again."""
    start: Sequence[int]
    """Users that were dealt to its previous incarnation and never ran."""


class WorkerLost(NamedTuple):
    """Up: a worker died without being asked to."""

    worker: int
    incarnation: int
    reason: str
    arrival_slots: int = 0
    """Slots of an arrival rate that all its incarnations have used, or knew to be missed."""


class Go(NamedTuple):
    """Down to a worker: leave; nothing more is wanted of you."""


class Terminate(NamedTuple):
    """Down: all users have left; end the workers, run terminate() and leave."""


class Terminated(NamedTuple):
    """Up: terminate() is done; the node's last words."""

    error: str
    """What terminate() raised, empty when all is well."""


class Note(NamedTuple):
    """Up: something that the operator should read, once."""

    level: str
    """``info``, ``warning``, ``error``, or ``trace`` for the traceback of the one before."""
    text: str


class Output(NamedTuple):
    """Up: what the scenario has printed, in whole lines."""

    lines: Sequence[str]
