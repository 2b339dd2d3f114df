"""The receiving side of a session: routing stanzas, and waking waiters when the stream ends.

Everything here runs inside the event loop, in the call that read the bytes. A message that is a
result of a pending query goes to that query and does not count as a message (XEP-0313). Every other
stanza is measured, passed to the room it came from, shown to the handlers, and then takes the first
of these routes that applies:

1. an answer goes to the request that waits for it;
2. a request from the peer that no handler has dealt with is answered: pings always, others unless a
   `receive` waits for exactly that (RFC 6120 section 8.2.3, RFC 6121 section 2.1.6, XEP-0199);
3. a stanza that a waiting `receive` accepts goes there;
4. the inbox keeps it, unless it was consumed by a room. The inbox is bounded: when full, it drops
   the oldest stanza and counts it.

When the stream fails, every wait on it raises its exception. If the user that connected is not
among the waiters, it is interrupted in its current or next wait in amoc: a user without its
connection is not the load that was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gevent import get_hub, getcurrent
from gevent.hub import Hub
from greenlet import greenlet

from amoc.base import guard, pause
from amoc.base.errors import ClosedError
from amoc.base.tracebacks import copy_of
from amoc.base.waiting import Alarm, AnyWaiter, Waiter, interrupt, withdraw_interrupt
from amoc.metrics.board import UserState
from amoc.users.user import User
from amoc.xmpp import meters, own_answers
from amoc.xmpp.account.lane import Lane
from amoc.xmpp.account.ledger import ledger
from amoc.xmpp.features.room_state import RoomState
from amoc.xmpp.match import Predicate
from amoc.xmpp.session_waits import ConditionWaiter, Receiver, Request, Results
from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.stream import Owner, Stream
from amoc.xmpp.wire.namespaces import IQ, MESSAGE, PRESENCE

Handler = Callable[[Stanza], object]


@dataclass(slots=True, eq=False, repr=False)
class Session(Owner):
    """The owner of a logged-in stream; see `begin`.

    Attributes:
        alarm: Timeouts of the receivers, one after another; created on first use.
        jid: The full JID that the server assigned.
        lane: Its part in message accounting.
        stream: The stream.
        owner: The greenlet that connected.
        closed: Whether the user has closed it.
        hub: The hub of its thread.
        requests: Waits for answers, by the iq's id.
        receivers: Waits for stanzas, served first come, first served.
        spare: A receiver to reuse for the next wait; None while it is in use, and until one wait
            has succeeded.
        conditions: Waits for conditions to become true.
        on_received: Handlers of received stanzas, with their predicates.
        inbox: Stanzas that no receiver took.
        on_closed: The wait for the end of the stream.
        rooms: The rooms that its user has joined, by their JIDs; created on first use.
        results: Queries that are waiting for results, by their ids; created on first use.
        features: Features that the client announces (XEP-0030); None for the default ones.
        resumable: Whether it can continue on another stream when this one is lost.
        lost_ns: When its connection was lost or cut, in run time (pauses excluded); None if it was
            not.
    """

    stream: Stream
    jid: str
    _inbox_size: int
    _interrupts: bool
    lane: Lane = field(init=False)
    owner: greenlet | None = field(default_factory=getcurrent)
    closed: bool = False
    hub: Hub = field(default_factory=get_hub)
    requests: dict[str, Request] = field(default_factory=dict)
    receivers: list[Receiver] = field(default_factory=list)
    spare: Receiver | None = None
    conditions: tuple[ConditionWaiter, ...] = ()  # a tuple: most users never have any
    on_received: tuple[tuple[Predicate, Handler], ...] = ()
    inbox: deque[Stanza] | None = None  # most users never need one
    on_closed: Waiter[bool] | None = None
    rooms: dict[str, RoomState] | None = None
    results: dict[str, Results] | None = None
    features: tuple[str, ...] | None = None
    resumable: bool = False
    lost_ns: int | None = None
    alarm: Alarm | None = None
    _end_seen: bool = False
    _interrupt_key: object = None
    _counted: bool = False
    _woken: tuple[AnyWaiter, ...] = ()

    def begin(self, early: list[Stanza], resumed: bool = False) -> None:
        """Start handling the stream's events; the stanzas `early` have already arrived."""
        meters.connected.inc()
        self._counted = True
        account = ledger()
        self.lane = account.resume(self.lane, self.jid) if resumed else account.open(self.jid)
        self.stream.owner = self
        try:
            for stanza in early:
                self.on_stanza(stanza)
        except BaseException as error:  # a handler is the scenario's code
            self.stream.fail(error)

    def wait_resumed(self) -> None:
        """Wait while the run is paused; a user killed meanwhile leaves no connection behind."""
        try:
            pause.wait_resumed()
        except BaseException:
            self.shut()
            raise

    def continue_on(self, stream: Stream, jid: str, early: list[Stanza], resumed: bool) -> None:
        """Continue on another stream; see `begin`. A session that was not resumed is in no room."""
        if not resumed:
            self._end_rooms()
        self.stream = stream
        self.jid = jid
        self.closed = self._end_seen = False
        self._interrupt_key = self.lost_ns = None
        self.begin(early, resumed)

    def check_open(self) -> None:
        """Raise the reason for which the session ended, if it has ended.

        Raises:
            ClosedError: It was closed by the user.
            BaseException: The reason why it ended.
        """
        if self.closed:
            raise ClosedError(f"{self.stream.who}: this client was closed")
        if self.stream.failure is not None:
            self.note_end_seen()
            raise copy_of(self.stream.failure)
        if self.stream.ended:
            raise ClosedError(f"{self.stream.who}: this client's stream is over")

    def note_end_seen(self) -> None:
        """Note that the calling greenlet knows of the end: the owner needs no interrupt."""
        if getcurrent() is self.owner:
            self._end_seen = True
            self._withdraw_interrupt()

    def mark_closed(self) -> None:
        """Note that the user is done with the session and needs no notice of its end."""
        self.closed = True
        self._end_seen = True
        self._withdraw_interrupt()

    def _withdraw_interrupt(self) -> None:
        """Withdraw the pending interrupt if the owner has not raised it yet."""
        if self._interrupt_key is not None:
            withdraw_interrupt(self.owner, self._interrupt_key)

    def on_stanza(self, stanza: Stanza) -> None:
        """Measure a stanza and route it."""
        tag = stanza.tag
        if tag == MESSAGE:
            if self.results is not None and self._take_result(stanza):
                return
            self.lane.received(stanza)
        elif tag == PRESENCE:
            self.lane.received_presence(stanza.xml)
        used = False
        if self.rooms is not None:
            room = self.rooms.get(bare(stanza.sender))
            used = room is not None and room.on_stanza(stanza)
        handled = False
        for match, handler in self.on_received:
            if match(stanza):
                handled = handler(stanza) is True or handled
        if tag == IQ and stanza.type in ("get", "set"):
            self._on_request(stanza, handled)
        elif (
            (tag != IQ or not self._take_answer(stanza))
            and not (self.receivers and self._offer(stanza, False))
            and not used
        ):
            self._keep(stanza)
        if self.conditions:
            self._check_conditions()

    def _take_result(self, stanza: Stanza) -> bool:
        """Pass a result to its query; return whether `stanza` was a result."""
        payload = stanza.payload
        if payload is None or self.results is None:
            return False
        results = self.results.get(payload.get("queryid", ""))
        if results is None or payload.tag != results.tag:
            return False
        if not own_answers.is_from(stanza.sender, results.asked, self.jid):
            return False
        results.add(stanza, self.stream.who)
        return True

    def _on_request(self, stanza: Stanza, handled: bool) -> None:
        """Make sure that a request from the peer is answered, here or by a receiver."""
        if handled:
            return
        if not own_answers.is_ping(stanza) and self._offer(stanza, True):
            return
        answer, worth_keeping = own_answers.to_request(stanza, self.jid, self.features)
        if answer is not None:
            self.stream.send(answer)
        if worth_keeping:
            self._keep(stanza)

    def _check_conditions(self) -> None:
        for waiter in self.conditions:
            if waiter.done:
                continue
            if guard.call(waiter.fail, waiter.condition):  # this is the scenario's code
                waiter.set(True)
            if waiter.done:
                self._woken += (waiter,)

    def on_turn(self) -> None:
        """Wake the waiters that were served."""
        if self._woken:
            woken, self._woken = self._woken, ()
            for waiter in woken:  # inlined `Waiter.resume`
                parked = waiter.greenlet
                if parked is not None:
                    waiter.greenlet = None
                    parked.switch()

    def on_end(self, error: BaseException | None) -> None:
        """End all waits, and interrupt the owner if it does not know of the end."""
        if error is not None and not self.closed:
            meters.disconnected(error)
            self.lost_ns = pause.clock.run_ns()
        self._release(error)
        if self.on_closed is not None:
            self.on_closed.set(True)
            get_hub().loop.run_callback(self.on_closed.wake)
        if error is not None and self._interrupts and not self._end_seen:
            get_hub().loop.run_callback(self._interrupt, error)

    def shut(self) -> None:
        """Drop the connection at the user's request; harmless the second time."""
        self.mark_closed()
        self.stream.abort()
        self._release(None)
        self.end_for_good()

    def lose(self, reset: bool) -> None:
        """Cut the connection at the user's request; the session can continue on another stream."""
        if not self.stream.ended:
            self.lost_ns = pause.clock.run_ns()
        self.mark_closed()
        self.stream.cut(reset)
        self._release(None)

    def end_for_good(self) -> None:
        """End for good: the session will not be resumed."""
        self.end_followers()
        self.stream.give_up()

    def end_followers(self) -> None:
        """Stop showing stanzas to handlers and rooms."""
        self.on_received = ()  # breaks a cycle: handlers may hold the client, which holds this
        self._end_rooms()

    def _end_rooms(self) -> None:
        for room in (self.rooms or {}).values():
            room.on_end()
        self.rooms = None

    def _release(self, error: BaseException | None) -> None:
        """End all waits, since nothing more can arrive; count the session as closed, once."""
        if self.alarm is not None:
            self.alarm.close()
        reason = error or ClosedError(f"{self.stream.who}: this client was closed")
        waiters: list[AnyWaiter] = [*self.requests.values(), *self.receivers, *self.conditions]
        for waiter in waiters:
            if self.owner is not None and waiter.greenlet is self.owner:
                self._end_seen = True
            waiter.fail(reason)
            get_hub().loop.run_callback(waiter.wake)
        if not self.resumable:
            self.end_for_good()
        if self._counted:
            self._counted = False
            meters.connected.dec()
            self.lane.close()

    def _interrupt(self, error: BaseException) -> None:
        owner = self.owner
        if self._end_seen or owner is None or owner.dead:
            return
        # Between two iterations of start() there is no scenario code to interrupt.
        if isinstance(owner, User) and owner.pool.states[owner.id] != UserState.RUNNING:
            return
        self._end_seen = True
        self._interrupt_key = object()
        interrupt(owner, error, self._interrupt_key)

    def _take_answer(self, stanza: Stanza) -> bool:
        request = self.requests.get(stanza.id)
        if request is None or request.done or stanza.type not in ("result", "error"):
            return False
        if not own_answers.is_from(stanza.sender, request.to, self.jid):
            return False
        request.set(stanza)
        self._woken += (request,)
        return True

    def _offer(self, stanza: Stanza, request: bool) -> bool:
        """Pass `stanza` to the first receiver that accepts it; return whether there was one."""
        for receiver in self.receivers:
            if receiver.done or (request and not receiver.requests):
                continue
            match = receiver.match
            takes: object = True
            if match is not None:
                # Inlined `guard.call`: this is the scenario's code.
                try:
                    takes = match(stanza)
                except BaseException as error:
                    if guard.is_end(error):
                        raise
                    receiver.fail(error)
                if guard.leave is not None:
                    guard.leave(None)
            if takes and not receiver.done:
                receiver.done = True
                receiver.value = stanza
                self._woken += (receiver,)
                return True
            if receiver.done:
                self._woken += (receiver,)
        return False

    def _keep(self, stanza: Stanza) -> None:
        if self.inbox is None:
            if not self._inbox_size:
                return
            self.inbox = deque()
        elif len(self.inbox) >= self._inbox_size:
            self.inbox.popleft()
            meters.inbox_dropped.inc()
        self.inbox.append(stanza)
