"""A worker's ledger: message accounting for its users, and the reconciliation at the end.

`amoc.xmpp.account.tally` decides how each message counts. This module feeds it with what sessions
send and receive, and adds counts to the worker's metrics at once, so that a killed worker loses
none of them.

Numbers belong to a `Lane`, one for each simultaneous session of an account. A session that
reconnects continues with the lane of the one before it, so gaps and duplicates are detected across
reconnects. Only a sender knows how many messages it has sent. That is reported to the recipients'
workers once a worker's users have left (`users_gone`); when the workers are told to leave
(`leave`), each counts what its users have lost. A killed worker reports nothing, and its record of
received messages is gone: the controller counts deliveries that no worker can report on as
unaccounted (`amoc.results.message_account`).
"""

from __future__ import annotations

import os
import zlib
from time import monotonic_ns
from typing import Final, NamedTuple

import gevent

from amoc.base.clock import S_NS
from amoc.base.context import active, find
from amoc.base.run_clock import clock
from amoc.ipc.messages import codec
from amoc.ipc.peer_link import PeerLink
from amoc.xmpp import meters, options
from amoc.xmpp.account import stamps
from amoc.xmpp.account.lane import Lane
from amoc.xmpp.account.tally import Attendance, Flow, Pair, Total, lost
from amoc.xmpp.connection import identity
from amoc.xmpp.stanza import bare

MAX_PAIRS: Final = 500_000
"""Maximum pairs that a worker tracks as a sender; messages of further pairs are only timed."""
MAX_FLOWS: Final = 500_000
"""Maximum flows that a worker tracks as a receiver."""
MAX_IDLE_LANES: Final = 100_000
"""Number of lanes beyond which lanes without messages are dropped with their session."""
SETTLE_S: Final = 3.0
"""Time limit for a worker to report to the others what it has sent, at the end."""
_TURN: Final = 2_000
"""Number of pairs reported between two turns of the event loop."""

Record = tuple[str, str, int, int, tuple[int, ...]]
"""Head, recipient, number sent, time of the last, and ranges of refused numbers: first, last, …"""


# Where clocks cannot be identified, only processes forked from one another compare theirs.
CLOCK: Final = clock() or f"{zlib.crc32(os.urandom(8)):08x}"


class Account:
    """Shared state of the sessions of one account on the server.

    Attributes:
        jid: Its bare JID in lower case.
        lanes: One for each of its simultaneous sessions so far.
    """

    __slots__ = ("jid", "lanes")

    def __init__(self, jid: str) -> None:
        self.jid = jid
        self.lanes: list[Lane] = []

    def idle(self, resource: str) -> Lane | None:
        """Return a lane without a session, preferably one of the same resource."""
        found = [lane for lane in self.lanes if not lane.is_open]
        same = (lane for lane in found if lane.resource == resource)
        return next(same, found[0] if found else None)

    def add(self, lane: Lane) -> None:
        """Add a lane: the account has more simultaneous sessions than ever before."""
        self.lanes.append(lane)
        self._update_lanes()

    def remove(self, lane: Lane) -> None:
        """Remove a lane that is no longer needed."""
        self.lanes.remove(lane)
        self._update_lanes()

    def _update_lanes(self) -> None:
        for lane in self.lanes:
            lane.is_alone = len(self.lanes) == 1


class Ledger:
    """Message accounting of one worker.

    Attributes:
        accounts: By bare JID, in lower case.
        run: Identifies the run in stamps.
        clock: Identifies this process's clock in stamps.
        late_ns: xmpp_late_after.
    """

    def __init__(self, link: PeerLink | None) -> None:
        """Set up accounting for a worker; without a `link`, for a single process such as a test."""
        self.accounts: dict[str, Account] = {}
        self.clock = CLOCK
        self.run = f"{zlib.crc32(link.run.encode() if link is not None else os.urandom(8)):08x}"
        place = f"{link.worker.worker}-{link.worker.incarnation}" if link else f"p{os.getpid()}"
        self._token = f"{link.worker.node}-{place}" if link else place
        self._link = link
        self._serial = 0
        self._lanes: dict[str, Lane] = {}
        self._totals: dict[str, dict[str, Total]] = {}
        self._pairs = self._flows = 0
        self._is_full = False  # if so, messages without a flow may have arrived
        self._loose = stamps.head(self.run, CLOCK, self._token, stamps.LOOSE, 0)
        self.late_ns = 0
        if link is not None:
            link.end = self

    # Sessions

    def open(self, jid: str) -> Lane:
        """Return the lane for a new session."""
        self.late_ns = int(options.xmpp_late_after.get() * S_NS)
        name, _, resource = jid.partition("/")
        key = name.lower()
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(key)
        lane = account.idle(resource)
        if lane is None:
            self._serial += 1
            lane = Lane(self, account, f"{self._token}-{self._serial}")
            self._lanes[lane.token] = lane
            account.add(lane)
        lane.is_open, lane.resource = True, resource
        return lane

    def resume(self, lane: Lane, jid: str) -> Lane:
        """Return the lane for a resumed session: its own, unless another session has taken it."""
        if lane.is_open:
            return self.open(jid)
        if lane.token not in self._lanes:  # it had been dropped
            self._lanes[lane.token] = lane
            lane.account = self.accounts.setdefault(lane.account.jid, lane.account)
            lane.account.add(lane)
        lane.resume()
        return lane

    def forget(self, lane: Lane) -> None:
        """Drop the lane of a session that ended without having sent or received messages."""
        del self._lanes[lane.token]
        lane.account.remove(lane)
        if not lane.account.lanes:
            self.accounts.pop(lane.account.jid, None)

    def lane_of(self, token: str) -> Lane | None:
        """Return the lane with this token, if it belongs to this worker."""
        return self._lanes.get(token)

    def stamp(self) -> str:
        """Return an id for a message whose recipient is unknown, so that it is only timed."""
        return f"{self._loose}/0.{monotonic_ns()}.0"

    @property
    def is_crowded(self) -> bool:
        """Whether there are so many lanes that only lanes with messages are kept."""
        return len(self._lanes) > MAX_IDLE_LANES

    def has_room_for_pair(self) -> bool:
        """Reserve room for a pair; return whether there was any."""
        if self._pairs >= MAX_PAIRS:
            meters.messages_untracked.inc()
            return False
        self._pairs += 1
        return True

    def has_room_for_flow(self) -> bool:
        """Reserve room for a flow; return whether there was any."""
        if self._flows >= MAX_FLOWS:
            self._is_full = True
            meters.messages_untracked.inc()
            return False
        self._flows += 1
        return True

    # The end

    def users_gone(self) -> None:
        """Report to the recipients' workers what was sent; waits while the link is full."""
        deadline_ns = monotonic_ns() + int(SETTLE_S * S_NS)
        packer = codec.packer()
        every = (pair for lane in list(self._lanes.values()) for pair in lane.numbered)
        for number, pair in enumerate(every, 1):
            record = _record(pair)
            for index in self._workers_of(pair):
                if self._link is None or index == self._link.worker.worker:
                    self._take(record)
                else:
                    self._link.send(index, packer.pack(record))
            if number % _TURN == 0:
                gevent.sleep(0)
            while self._link is not None and self._link.crowded():
                if monotonic_ns() > deadline_ns:
                    return  # what was not reported counts as unaccounted
                gevent.sleep(0.01)

    def handle(self, body: memoryview) -> None:
        """Process another worker's report of what its users have sent."""
        for record in codec.unpack_stream(body, use_list=False):
            self._take(record)

    def leave(self) -> None:
        """Count the messages that this worker's users have lost."""
        patience_ns = self.late_ns
        for account in self.accounts.values():
            for head, total in self._totals.get(account.jid, {}).items():
                if not self._is_full or all(head in lane.flows for lane in account.lanes):
                    _count_lost(account, head, total, patience_ns)
            for lane in account.lanes:
                for room, there in (lane.rooms or {}).items():
                    told = self._totals.get(room, {})
                    _count_room(lane, room, there, told, patience_ns, self._is_full)

    def _workers_of(self, pair: Pair) -> range:
        """Return the workers that may run the recipient: one for a user, all for a room."""
        if self._link is None:
            return range(1)
        places = self._link.places
        user_id = None if pair.room else identity.number_of(bare(pair.to))
        if user_id is None:
            return range(places.workers)
        index = places.worker_of(user_id)
        return range(index, index + 1)

    def _take(self, record: Record) -> None:
        """Record what was reported about a pair."""
        text, to, sent, last_ns, refused = record
        head = stamps.parse_head(text)
        if head is None or head.run != self.run:
            return
        total = Total(
            sent,
            head.first_ns,
            last_ns,
            tuple(zip(refused[::2], refused[1::2], strict=True)),
            head.clock == CLOCK,
        )
        self._totals.setdefault(bare(to).lower(), {})[text] = total


def _record(pair: Pair) -> Record:
    refused = tuple(number for one in pair.refused or () for number in one)
    return pair.head, pair.to, pair.sent, pair.last_ns, refused


def _count_lost(account: Account, head: str, total: Total, patience_ns: int) -> None:
    """Count the messages of a pair that an account has lost."""
    flows = [flow for lane in account.lanes if (flow := lane.flows.get(head)) is not None]
    if any(flow.room for flow in flows) or _is_complete(flows, total):
        return
    there = [lane.online for lane in account.lanes if head not in lane.flows]
    if found := lost(flows, there, total, patience_ns):
        meters.messages_lost.inc(found)


def _count_room(
    lane: Lane,
    room: str,
    there: Attendance,
    told: dict[str, Total],
    patience_ns: int,
    is_full: bool,
) -> None:
    """Count the messages to a room that a member has lost."""
    flows = {head: flow for head, flow in lane.flows.items() if flow.there is there}
    # If a room changes the ids of messages, nothing can be concluded.
    is_full = is_full or (not flows and room in (lane.unstamped_rooms or ()))
    for head, total in told.items():
        flow = flows.get(head)
        if flow is None:
            found = 0 if is_full else lost((), (there,), total, patience_ns)
        else:
            found = 0 if _is_complete([flow], total) else lost([flow], (), total, patience_ns)
        if found:
            meters.messages_expected.inc(found)
            meters.messages_lost.inc(found)


def _is_complete(flows: list[Flow], total: Total) -> bool:
    """Return whether nothing is missing, as is almost always the case."""
    return any(not flow.has_gaps and flow.highest >= total.sent for flow in flows)


def stamp() -> str:
    """Return an id for a message that you build yourself and whose recipient amoc does not know.

    It is timed when it arrives; for message accounting, use ``client.stamp(to)``.
    """
    return ledger().stamp()


class Tally(NamedTuple):
    """Message counts of this worker, see `amoc.xmpp.meters`."""

    sent: int
    received: int
    expected: int
    delivered: int
    lost: int
    refused: int
    duplicated: int
    reordered: int
    late: int
    foreign: int


def tally() -> Tally:
    """Return this worker's message counts so far; lost messages are counted at the end only."""
    return Tally(*(getattr(meters, f"messages_{name}").value for name in Tally._fields))


def ledger() -> Ledger:
    """Return this worker's ledger, created on first use."""
    found = find(Ledger)
    if found is None:
        found = Ledger(find(PeerLink))
        active().set(Ledger, found)
    return found
