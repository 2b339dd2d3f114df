"""Every record that crosses a process boundary, and how it becomes bytes.

A record is an immutable named tuple with a sentence for each field. On the wire it is a msgpack
array: the record's name, then its fields. Commands go down (controller, node, supervisor, worker),
reports go up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from amoc.base.errors import PeerError


class Bootstrap(NamedTuple):
    """Down, controller to node, on the node's standard input: all it needs to begin."""

    node: int
    """The node's number in the run, from 0."""
    run_id: str
    endpoint: str
    """Directory of the controller's sockets."""
    scenario: str
    sources: Sequence[tuple[str, Mapping[str, Any], bool]]
    """Raw settings, strongest first, as `amoc.scenario.settings.Source`."""
    highest_id: int
    """The highest user id that the run can come to have."""
    seed: int
    init_timeout_s: float
    stop_timeout_s: float
    log_level: str
    """The least that goes into the logs of the run's processes: ``debug`` to ``error``."""


class Hello(NamedTuple):
    """Up, child to parent, again and again until it hears `Welcome`."""

    pid: int


class Welcome(NamedTuple):
    """Down: the child is known; what it is sent from now on arrives."""


class Init(NamedTuple):
    """Down: run init() and fork the workers."""

    overrides: Mapping[str, Any]
    """Settings that amoc itself fills in, such as the address of the embedded server."""
    embedded: str
    """What those values come from, for a person."""
    log_directory: str
    """Where the logs of the run's processes go; empty means nowhere."""


class StartUsers(NamedTuple):
    """Down to a worker: start these users at their times."""

    slot: int
    ids: Sequence[int]
    due_ns: int
    """When the first may start, on the host's monotonic clock."""
    offsets_ns: Sequence[int]
    """How much later than `due_ns` each may start; empty means all at once."""
    again: bool
    """They ran before, and lost their worker."""


class StopUsers(NamedTuple):
    """Down: let all users finish, kill what is left after the time-out; replace no worker."""

    timeout_s: float


class Terminate(NamedTuple):
    """Down: all users have left; end the workers, run terminate() and leave."""


class KillWorker(NamedTuple):
    """Down to the supervisor: this worker does not answer any more."""

    slot: int
    epoch: int


class Go(NamedTuple):
    """Down to a worker: leave; nothing more is wanted of you."""


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
    expectations: Sequence[str]
    """What the scenario says about its run's figures, see `amoc.results.thresholds.threshold`."""


class Failed(NamedTuple):
    """Up: the node cannot go on. Nothing of it will be left running."""

    exit_code: int
    message: str


class Forked(NamedTuple):
    """Up, supervisor to node: a worker has been forked."""

    slot: int
    epoch: int
    pid: int


class Died(NamedTuple):
    """Up, supervisor to node: a worker is gone and has been reaped."""

    slot: int
    epoch: int
    status: int
    """As `os.waitstatus_to_exitcode` gives it: negative is a signal."""
    age_ns: int
    """How long it lived."""


class Ready(NamedTuple):
    """Up: init() has returned; the workers are on their way."""

    calls: Sequence[tuple[Any, ...]]
    """What init() asked of the controller, in order; each an operation and its arguments."""
    metrics: Sequence[tuple[str, int]]
    """Name and `amoc.metrics.board.Kind` of each metric that is declared by now."""


class Envelope(NamedTuple):
    """Both ways: what a part of a worker and its other end say to each other.

    Whoever relays it does not open it.
    """

    part: str
    """Whose it is: a key of `PARTS`."""
    slot: int
    """The worker's: the sender's on the way up, the addressee's on the way down and in mail."""
    epoch: int
    """Which worker of that slot; 0 means whichever is there."""
    body: bytes
    """A stream of msgpack items, see `pack_item` and `unpack_stream`."""


class Call(NamedTuple):
    """Up, in a parcel: a scenario asks something of the controller."""

    number: int
    """The worker's own, to find the caller again."""
    operation: str
    arguments: Sequence[Any]


class Answer(NamedTuple):
    """Down, in a parcel: what became of a `Call`."""

    number: int
    error: str
    """Why it was refused; empty when it was not."""
    value: Any


class Order(NamedTuple):
    """Down, in a parcel: a worker is to do something now, and to say when it has."""

    number: int
    """The controller's own."""
    what: str
    arguments: Mapping[str, Any]


class Done(NamedTuple):
    """Up, in a parcel: what a worker did for an `Order`."""

    number: int
    error: str
    """Why it did not; empty when it did."""
    answer: Mapping[str, Any]
    """With a ``text`` for people."""


class CoordinatorAdds(NamedTuple):
    """Up, in a parcel: users were added to a coordinator."""

    name: str
    generation: int
    """How many times the name has been started, from 1."""
    ids: Sequence[int]
    at_ns: Sequence[int]
    """When each was added, on the host's monotonic clock."""
    data: Sequence[bytes]
    """What was added with each, packed; the controller does not look into it."""


class CoordinatorGroups(NamedTuple):
    """Down, in a parcel: run the actions for these groups."""

    groups: Sequence[tuple[int, str, int, Sequence[tuple[Any, ...]]]]
    """Each a number of the controller's own, the coordinator's name and generation, and its parts,
    to be run in order; a part is a `GroupPart`."""


class GroupPart(NamedTuple):
    """One group of one item of a plan, in `CoordinatorGroups`."""

    item: int
    kind: str
    """``coordinate``, ``timeout``, ``reset`` or ``stop``."""
    size: int
    """How many users are in it."""
    at_ns: int
    """When the add that completed it was made, or the event happened."""
    ids: Sequence[int]
    """Empty when no action looks at the users; so is `data`."""
    data: Sequence[bytes]


class CoordinatorActed(NamedTuple):
    """Up, in a parcel: the actions for these groups have run."""

    numbers: Sequence[int]


class CoordinatorPlan(NamedTuple):
    """Down, in a parcel: a user has started a coordinator."""

    name: str
    generation: int
    functions: Sequence[Sequence[str]]
    """The actions of each item, as ``module:name``."""


class CoordinatorStopped(NamedTuple):
    """Down, in a parcel: a coordinator takes no more adds."""

    name: str
    generation: int
    forget: bool
    """Whether no group of it will come any more."""


class CoordinatorState(NamedTuple):
    """How a coordinator is, in an answer."""

    name: str
    scope: str
    pending: Sequence[int]
    """How many users are in the unfinished group of each item of the plan, over all nodes."""
    acting: int
    """Groups whose actions have not been run to the end yet."""
    adds: int
    groups: int
    timeouts: int
    refused: int
    """Adds that were not taken, because too much was pending."""
    lost: int
    """Adds that were pending when their worker was lost."""
    given_up: int
    """Groups that nobody will run, because one worker after the other died over them."""


class BarrierArrivals(NamedTuple):
    """Up, in a parcel: users have come to a barrier."""

    name: str
    n: int
    """How many it is waiting for, as they said."""
    tickets: Sequence[int]
    """The worker's own numbers for them."""


class BarrierWithdrawals(NamedTuple):
    """Up, in a parcel: these do not wait any more. Down: they have been taken out."""

    name: str
    tickets: Sequence[int]


class BarrierRelease(NamedTuple):
    """Down, in a parcel: these may go, at this moment."""

    name: str
    at_ns: int
    ranges: Sequence[tuple[int, int]]
    """Tickets: each a first one and how many follow each other from it."""


class BarrierRefusal(NamedTuple):
    """Down, in a parcel: these cannot wait at this barrier."""

    name: str
    tickets: Sequence[int]
    reason: str


# Of the throttles, in parcels.


class ThrottleMode(NamedTuple):
    """Down: what a throttle does from a time on."""

    name: str
    epoch: int
    """One more with each change; older epochs' slots due at `from_ns` or later are void."""
    from_ns: int
    mode: str
    """A `amoc.throttle.slot_schedule.Mode`."""
    permits: bool
    """Whether it limits how many pass at the same time, and not how many an interval."""


class Tokens(NamedTuple):
    """Down: slots of a throttle for one worker; the fields of `throttle.slot_allocator.Block`."""

    name: str
    number: int
    epoch: int
    first: int
    stride: int
    size: int
    due_ns: int
    spacing_ns: float


class Permits(NamedTuple):
    """Down: permits of a throttle for one worker."""

    name: str
    number: int
    epoch: int
    size: int


class Want(NamedTuple):
    """Up: what a worker's users want of a throttle.

    Absolute figures, so that one that is repeated or lost does no harm.
    """

    name: str
    epoch: int
    """The newest that the worker knows."""
    seen: int
    """Number of the last block, or grant of permits, that it has seen."""
    outstanding: int
    """What it wants beyond all that it has seen."""
    waiting: int
    """How many users wait."""
    since_ns: int
    """When the first of those that are not provided for began to wait."""
    back: int
    """Permits given back, ever."""


class WorkerUp(NamedTuple):
    """Up: a worker takes users."""

    slot: int
    epoch: int
    pid: int
    restart: Sequence[int]
    """Users that ran in the worker before it and must be started again."""
    start: Sequence[int]
    """Users that were dealt to the worker before it and never ran."""


class WorkerLost(NamedTuple):
    """Up: a worker died without being asked to."""

    slot: int
    epoch: int
    reason: str


class Started(NamedTuple):
    """Up, worker: that many users of one `StartUsers` have been started."""

    slot: int
    number: int


class UsersGone(NamedTuple):
    """Up, worker: it was told to stop, and has no user any more."""

    slot: int
    killed: int
    """Users that left only when they were killed."""
    stuck: Sequence[int]
    """Users that did not even leave then; the first of them."""


class CrashSeen(NamedTuple):
    """Up, worker: the first crash with this cause."""

    slot: int
    cause: str
    traceback: str
    user_id: int


class Note(NamedTuple):
    """Up: something that the operator should read, once."""

    level: str
    """``info``, ``warning``, ``error``, or ``trace`` for the traceback of the one before."""
    text: str


class Output(NamedTuple):
    """Up: what the scenario has printed, in whole lines."""

    lines: Sequence[str]


class WorkerFigures(NamedTuple):
    """One worker's own figures, part of `Sample`; times and counts are totals of its slot."""

    slot: int
    epoch: int
    pid: int
    users: int
    users_peak: int
    restarted: int
    waiting: int
    cpu_ns: int
    beat_ns: int
    """When the worker has noted its times: each of its beats does."""
    max_rss_bytes: int
    loop_lag_p99_s: float
    """Over all the time that there was a worker in the slot."""
    lag_p99_s: float
    """Since the sample before, and so is the next."""
    late_p99_s: float
    """How late users were let through throttles; 0 if none were."""
    gc_ns: int
    """Time spent in pauses of the garbage collector."""
    queued_ns: int
    """Time that it was ready to run and had no core."""
    rss_bytes: int
    fds: int
    fd_limit: int


class HostFigures(NamedTuple):
    """A node's host, part of `Sample`; see `amoc.results.series.NodePoint`."""

    cpu: float
    memory_bytes: int
    memory_free_bytes: int
    ports: int
    ports_used: int


class Sample(NamedTuple):
    """Up, once a second: what the node's board says.

    Counts are totals, and those are left out that have not changed since the latest sample that the
    controller has acknowledged. A total only grows, so the larger of two is the newer: samples may
    be lost, repeated and late in any order.
    """

    sequence: int
    """From 1; the newest says how users, workers and gauges are."""
    at_ns: int
    users: Mapping[int, int]
    """How many users are in each `UserState`."""
    users_peak: int
    """The most users that were alive at once, as seen twenty times a second; never less than the
    exact peak of the busiest worker."""
    counters: Mapping[str, int]
    gauges: Mapping[str, tuple[int, Sequence[float]]]
    """The `Merge` rule and each worker's figure."""
    timers: Mapping[str, tuple[int, Sequence[int]]]
    """The maximum in ns, and the cells that were hit as cell, count, cell, count, …"""
    crashes: Mapping[str, int]
    """Iterations that raised, by cause."""
    workers: Sequence[tuple[Any, ...]]
    """Each a `WorkerFigures`."""
    host: tuple[Any, ...]
    """A `HostFigures`."""


class Sampled(NamedTuple):
    """Down: the sample with this sequence has come, and what it said is kept."""

    sequence: int


class Blocked(NamedTuple):
    """Up: a user kept a worker's loop from turning."""

    slot: int
    place: str
    """The scenario's line, as ``chat.py:42 in start``; or where else it was."""
    times: int
    """How often since that was told last."""
    total_ns: int
    """For how long together."""
    longest_ns: int
    trace: str
    """The stack, as it was found once; empty when it was told before."""


class Stopped(NamedTuple):
    """Up: all users of the node have left, or cannot be made to."""

    killed: int
    """Users that left only when they were killed."""
    stuck: Sequence[int]
    """Users that did not even leave then; the first of them."""
    lost: int
    """Users that were in workers that died or had to be killed."""


class Terminated(NamedTuple):
    """Up: terminate() is done; the node's last words."""

    error: str
    """What terminate() raised, empty when all is well."""


Record = Any
"""One of the records above."""

_TYPES: dict[str, Any] = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
}


def to_wire(record: Record) -> list[Any]:
    """`record` as what msgpack takes: its name and its fields."""
    return [type(record).__name__, *record]


def from_wire(data: Any) -> Record:
    """The record that `to_wire` made `data` of.

    Raises:
        PeerError: It is none that we know.
    """
    try:
        name, *fields = data
        return _TYPES[name](*fields)
    except (TypeError, ValueError, KeyError):
        raise PeerError(f"a message must be a known record, but is {str(data)[:80]!r}") from None


def pack(data: Any) -> bytes:
    """`data` as msgpack."""
    # A scenario may print, raise or be set to text that is not Unicode; it must get through.
    packed: bytes = msgpack.packb(data, unicode_errors="surrogatepass")
    return packed


def pack_item(record: Record) -> bytes:
    """`record` as one item of a parcel's body."""
    return pack(to_wire(record))


def unpack_stream(body: bytes) -> Iterator[Record]:
    """The records of a parcel's body, in order.

    Raises:
        PeerError: The body is not a stream of known records.
    """
    unpacker = msgpack.Unpacker(
        strict_map_key=False, unicode_errors="surrogatepass", max_buffer_size=max(len(body), 1)
    )
    unpacker.feed(body)
    try:
        for item in unpacker:
            yield from_wire(item)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise PeerError(f"a parcel must be a stream of msgpack, but {error}") from None


def unpack(data: bytes) -> Any:
    """What `pack` packed.

    Raises:
        PeerError: `data` is not msgpack.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError) as error:
        raise PeerError(f"a message must be msgpack, but {error}") from None
