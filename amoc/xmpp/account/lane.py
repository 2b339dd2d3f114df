"""A session's lane in message accounting: the stamps that it makes and the messages received.

Every message passes through here, both ways, so rare cases have functions of their own.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc import metrics
from amoc.base.errors import ScenarioError
from amoc.metrics import together
from amoc.metrics.area import joint_name
from amoc.steps import recorder
from amoc.xmpp import meters
from amoc.xmpp.account import stamps
from amoc.xmpp.account.stamps import MARK, Head
from amoc.xmpp.account.tally import Arrival, Attendance, Flow, Pair
from amoc.xmpp.connection.identity import address, number_of
from amoc.xmpp.encode import message_tag
from amoc.xmpp.stanza import Stanza, bare, parse
from amoc.xmpp.wire import namespaces as ns

if TYPE_CHECKING:
    from amoc.xmpp.account.ledger import Account, Ledger

_DELAY: Final = f"{{{ns.DELAY}}}delay"
_IS_COPY: Final = {
    _DELAY: False,
    f"{{{ns.CARBONS}}}received": True,
    f"{{{ns.CARBONS}}}sent": True,
    f"{{{ns.MAM}}}result": True,
    f"{{{ns.PUBSUB_EVENT}}}event": True,
}
"""Children that mark a message as delayed (False), or as none at all (True): a copy of another one,
an archive result, a node's event."""
_ROOM_STATUS: Final = f"{{{ns.MUC_USER}}}x/{{{ns.MUC_USER}}}status"
_LIGHT_ROOM: Final = f"{{{ns.MUC_LIGHT_AFFILIATIONS}}}x"
_PRIORITY: Final = f"{{{ns.CLIENT}}}priority"
_OWN_PRESENCE: Final = "110"
# Shared by users that have sent or received nothing; never changed.
_NO_PAIRS: Final[dict[str | int | tuple[str | int], Pair]] = {}
_NO_NUMBERS: Final[list[Pair]] = []
_NO_FLOWS: Final[dict[str, Flow]] = {}
MAX_ROOMS: Final = 10_000
"""Maximum rooms recorded per lane, as a server may invent rooms."""
DELIVERY: Final = "message delivery"
"""Name of the span of a live message, from sending to reading it."""


def _joint(one: metrics.Counter, other: metrics.Counter) -> metrics.Counter:
    return metrics.built_in(metrics.Counter, joint_name((one.name, other.name)))


# Looked up once: used for every message.
_ARRIVED: Final = _joint(meters.messages_received, meters.messages_delivered)
_TTD: Final = meters.message_ttd
_DUE: Final = _joint(meters.messages_sent, meters.messages_expected)
_DUPLICATE: Final = Arrival.DUPLICATE
_REORDERED: Final = Arrival.REORDERED


class Lane:
    """Messages sent and received by the successive sessions of an account.

    Attributes:
        account: The account.
        token: Identifies it within the run.
        is_alone: Whether it is its account's only lane.
        is_open: Whether it has a session now.
        resource: Resource of its latest session.
        numbered: Its pairs, by number.
        flows: Flows received, by the head of their stamps.
        online: When it was available.
        rooms: When it was in each room.
        unstamped_rooms: Rooms from which a member's live message arrived without a stamp.
    """

    __slots__ = (
        "_closed_ns",
        "_ledger",
        "_pairs",
        "account",
        "flows",
        "is_alone",
        "is_open",
        "numbered",
        "online",
        "resource",
        "rooms",
        "token",
        "unstamped_rooms",
    )

    def __init__(self, ledger: Ledger, account: Account, token: str) -> None:
        self._ledger = ledger
        self._closed_ns = 0
        self._pairs = _NO_PAIRS  # rooms have the key (room,)
        self.account = account
        self.token = token
        self.is_alone = self.is_open = False
        self.resource = ""
        self.numbered = _NO_NUMBERS
        self.flows = _NO_FLOWS
        self.online = Attendance()
        self.rooms: dict[str, Attendance] | None = None
        self.unstamped_rooms: set[str] | None = None

    def close(self) -> None:
        """Note that its session has ended."""
        if not self.is_open:
            return
        self.is_open = False
        self._closed_ns = now_ns = monotonic_ns()
        for there in (self.online, *(self.rooms or {}).values()):
            there.end(now_ns)
        if self.numbered or self.flows:
            return
        # A lane that was online may have lost all its messages; with very many lanes, ignore that.
        if self._ledger.is_crowded or not (self.online.epoch or self.rooms):
            self._ledger.forget(self)

    def resume(self) -> None:
        """Note that its session was resumed: messages sent in between are due."""
        self.is_open = True
        for there in (self.online, *(self.rooms or {}).values()):
            there.resume(self._closed_ns)

    # Sending

    def stamp(self, to: str | int, kind: str) -> str:
        """Return an id for a message of this `kind` to `to`, which must be sent at once."""
        pair = self._pairs.get((to,) if kind == "groupchat" else to)
        if pair is None:
            pair = self._pair(to, kind)
            if pair is None:
                return self._ledger.stamp()
        if not pair.room:
            meters.messages_expected.inc()
        return pair.stamp(monotonic_ns())

    def chat(self, to: str | int, text: str) -> str:
        """Return a stamped chat message to `to`, which must be sent at once; it is counted here.

        Args:
            to: The recipient.
            text: The body, escaped.
        """
        # `stamp` and `encode.message` in one, with one look-up, for the most common message.
        pair = self._pairs.get(to)
        if pair is None or not pair.chat_start:
            tag = message_tag(to, "chat")  # before anything is counted: it may reject `to`
            pair = pair or self._pair(to, "chat")
            if pair is None:
                meters.messages_sent.inc()
                return f"{tag} id='{self._ledger.stamp()}'><body>{text}</body></message>"
            pair.chat_start = f"{tag} id='{pair.head}/"
        try:  # inlined `inc`
            _DUE._cells[0] = _DUE._count = _DUE._count + 1
        except ValueError:
            _DUE.inc()
        pair.sent = number = pair.sent + 1  # from here on, inlined `Pair.stamp`
        before = pair.last
        pair.last = now = f"{monotonic_ns()}"
        return f"{pair.chat_start}{number}.{now}.{before}'><body>{text}</body></message>"

    def _pair(self, to: str | int, kind: str) -> Pair | None:
        """Create the pair for a new recipient; None if it cannot be tracked."""
        ledger, room = self._ledger, kind == "groupchat"
        if kind == "error" or not ledger.has_room_for_pair():
            return None
        now_ns = monotonic_ns()
        name = f"{stamps.ROOM if room else stamps.USER}{len(self.numbered)}"
        jid = address(to)
        if not room and number_of(bare(jid)) is not None:
            name += f"-{stamps.checksum(bare(jid).lower())}"
        head = stamps.head(ledger.run, ledger.clock, self.token, name, now_ns)
        pair = Pair(jid, head, now_ns, room)
        if self.numbered is _NO_NUMBERS:
            self.numbered = []
        self.numbered.append(pair)
        if self._pairs is _NO_PAIRS:
            self._pairs = {}
        self._pairs[(to,) if room else to] = pair
        return pair

    def sent_presence(self, to: object, kind: str | None, priority: int | None = None) -> None:
        """Note a sent presence; undirected presence says whether the user is available.

        With a negative priority the user counts as unavailable, since messages to its bare JID do
        not reach it (RFC 6121, 8.5.2.1).
        """
        if to is not None:
            return
        if kind is None and (priority is None or priority >= 0):
            self.online.begin(monotonic_ns())
        elif kind is None or kind == "unavailable":
            self.online.end(monotonic_ns())

    def sent_presence_xml(self, xml: Element) -> None:
        """Do the same for a presence built by the scenario."""
        try:
            priority = int(xml.findtext(_PRIORITY, "0"))
        except ValueError:
            priority = 0
        self.sent_presence(xml.get("to"), xml.get("type"), priority)

    def sent_raw(self, data: bytes) -> None:
        """Note raw XML, other than a message, that the scenario sent."""
        if data.lstrip().startswith(b"<presence"):
            with suppress(ScenarioError):  # malformed on purpose
                self.sent_presence_xml(parse(data))

    # Receiving

    def received(self, stanza: Stanza) -> None:
        """Count and time a received message."""
        delayed = False
        if stanza.raw is None:
            for child in stanza.xml:
                is_copy = _IS_COPY.get(child.tag)
                if is_copy is not None:
                    if is_copy:
                        return
                    delayed = True
        # Nearly all messages are the next of a known flow, and in time: handled here.
        head, _, rest = stanza.id.partition("/")
        flow = self.flows.get(head)
        if flow is not None and flow.comparable and self.is_alone and not delayed:
            following = flow.highest + 1
            try:
                number, sent_ns, _ = rest.split(".")
                ttd_ns = stanza.received_ns - int(sent_ns) if int(number) == following else -1
            except ValueError:
                ttd_ns = -1
            if 0 <= ttd_ns <= self._ledger.late_ns and stanza.type != "error":
                flow.highest = following
                flow.epoch = flow.there.epoch
                together.event(_ARRIVED, _TTD, ttd_ns)
                if flow.room:
                    meters.messages_expected.inc()
                if recorder.observer is not None:
                    recorder.observer(DELIVERY, ttd_ns, "", "", None)
                return
        self._received(stanza, delayed)

    def _received(self, stanza: Stanza, delayed: bool) -> None:
        """Do the same for any message."""
        stanza_id = stanza.id
        if stanza.type == "error":
            self._refused(stanza_id)
            return
        if not stanza_id.startswith(MARK):
            self._unstamped(stanza)
            return
        head, _, rest = stanza_id.partition("/")
        flow = self.flows.get(head)
        stamp = stamps.read(rest)
        if flow is None or stamp is None or (delayed and flow.room):
            self._unknown(stanza, head, stamp, delayed)
            return
        number, sent_ns, before_ns = stamp
        meters.messages_received.inc()
        arrival = flow.take(number, before_ns, not delayed)
        if arrival is _DUPLICATE:
            meters.messages_duplicated.inc()
            return
        if flow.room:
            meters.messages_expected.inc()
        if flow.room or self._is_first(head, number):
            meters.messages_delivered.inc()
        if arrival is _REORDERED and not delayed:
            meters.messages_reordered.inc()
        if flow.comparable:
            self._time(stanza.received_ns - sent_ns, delayed)

    def _time(self, ttd_ns: int, delayed: bool) -> None:
        if delayed:
            meters.message_delayed.record_ns(ttd_ns)
            return
        meters.message_ttd.record_ns(ttd_ns)
        if recorder.observer is not None:
            recorder.observer(DELIVERY, ttd_ns, "", "", None)
        if ttd_ns > self._ledger.late_ns:
            meters.messages_late.inc()

    def _is_first(self, head: str, number: int) -> bool:
        """Return whether no other session of the account has received the message."""
        others = (lane.flows.get(head) for lane in self.account.lanes if lane is not self)
        return not any(flow is not None and flow.has(number) for flow in others)

    def _unstamped(self, stanza: Stanza) -> None:
        """Count a message without a stamp of amoc; headlines come from the server itself."""
        if stanza.type == "headline":
            return
        if stanza.type == "groupchat":
            xml = stanza.xml
            self._received_affiliations(xml)
            if not (stanza.body or "").strip():
                return  # the room's subject, sent at each join, or its configuration
            room, _, speaker = stanza.sender.partition("/")
            if speaker and xml.find(_DELAY) is None:
                if self.unstamped_rooms is None:
                    self.unstamped_rooms = set()
                if len(self.unstamped_rooms) < MAX_ROOMS:
                    self.unstamped_rooms.add(room.lower())
        meters.messages_received.inc()

    def _unknown(
        self, stanza: Stanza, text: str, stamp: stamps.Stamp | None, delayed: bool
    ) -> None:
        """Count a stamped message that is the first of its pair, or does not belong to one."""
        head = stamps.parse_head(text)
        if head is None or stamp is None:
            self._unstamped(stanza)
            return
        if head.run != self._ledger.run:
            meters.messages_foreign.inc()
            return
        comparable = head.clock == self._ledger.clock
        number, sent_ns, _ = stamp
        may_begin = number and not (head.is_room and delayed)
        if may_begin and self._begin_flow(stanza, text, head, comparable):
            self._received(stanza, delayed)
            return
        # A room's history, or a message without a number: it is only timed.
        meters.messages_received.inc()
        if comparable:
            self._time(stanza.received_ns - sent_ns, delayed)

    def _begin_flow(self, stanza: Stanza, text: str, head: Head, comparable: bool) -> bool:
        """Begin a flow with a message; return False if it cannot be tracked."""
        if not head.is_room and not head.may_be_for(self.account.jid):
            return False  # it was delivered to the wrong user
        if text in self.flows or not self._ledger.has_room_for_flow():
            return False
        there = self._room(bare(stanza.sender).lower()) if head.is_room else self.online
        if self.flows is _NO_FLOWS:
            self.flows = {}
        self.flows[text] = Flow(there, head.first_ns, comparable, head.is_room)
        return True

    def _refused(self, stanza_id: str) -> None:
        """Note a message that was returned as an error."""
        meters.message_errors.inc()
        if not stanza_id.startswith(MARK):
            return
        text, _, rest = stanza_id.partition("/")
        head, stamp = stamps.parse_head(text), stamps.read(rest)
        if head is None or stamp is None or head.run != self._ledger.run:
            return
        lane = self._ledger.lane_of(head.sender)
        if lane is None or not 0 <= head.number < len(lane.numbered):
            return
        pair = lane.numbered[head.number]
        if pair.refuse(stamp[0]) and not pair.room:
            meters.messages_refused.inc()

    # Rooms

    def received_presence(self, xml: Element) -> None:
        """Note a received presence; a room's self-presence says that the user is in, or out."""
        if any(one.get("code") == _OWN_PRESENCE for one in xml.iterfind(_ROOM_STATUS)):
            room = xml.get("from", "")
            if xml.get("type") is None:
                self.joined(room)
            elif xml.get("type") == "unavailable":
                self.left(room)

    def _received_affiliations(self, xml: Element) -> None:
        """Note a light room's announcement that the user is now, or no longer, a member."""
        found = xml.find(_LIGHT_ROOM)
        for one in found if found is not None else ():
            if (one.text or "").strip().lower() == self.account.jid:
                room = xml.get("from", "")
                (self.left if one.get("affiliation") == "none" else self.joined)(room)

    def joined(self, room: str) -> None:
        """Note that the user is in a room, and is due its messages from now on."""
        self._room(bare(room).lower()).begin(monotonic_ns())

    def left(self, room: str) -> None:
        """Note that the user is no longer in a room."""
        self._room(bare(room).lower()).end(monotonic_ns())

    def _room(self, room: str) -> Attendance:
        if self.rooms is None:
            self.rooms = {}
        found = self.rooms.get(room)
        if found is None:
            found = Attendance()
            if len(self.rooms) < MAX_ROOMS:
                self.rooms[room] = found
        return found
