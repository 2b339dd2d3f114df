"""Mail between users: any user of any worker to any other, by number alone.

Who is where follows from the number (`amoc.users.placement`). Mail to a user of the same worker
goes into its box at once; all other is put in the outbox and travels through the node, which does
not open it, to the addressee's worker. Both ways a message is packed and unpacked, so
nothing is shared and a list arrives as a tuple, wherever the two happen to be.

What two users send each other stays in order: there is one way between two workers, and it is a
queue. Nothing is lost silently::

    mail_sent = mail_received + mail_refused + mail_undeliverable
                + what is on its way + what died with a worker

A box is bounded by number and bytes; what comes when it is full is refused, so that it is the
newest that is missing and memory is bounded. So is what is sent while the way out of the worker is
full; and a user that sends and sends lets the loop turn now and then, or nothing would ever leave.
A box lives as long as its user: it survives repetitions, and is gone when the user leaves for good
or its worker dies.

On the wire an envelope is a stream of msgpack arrays, told apart by their length:
``(user, message)``; ``(user, message, worker, incarnation, number)``, whose sender waits for a
verdict; and the verdict ``(incarnation, number, verdict)``. A message is bytes within it, so one
that cannot be unpacked spoils no other.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import cached_property
from math import inf

import gevent
import msgpack
from gevent import getcurrent

from amoc import metrics
from amoc.base import pause
from amoc.base.context import find
from amoc.base.errors import ClosedError, MailError, PeerError, ScenarioError
from amoc.base.operator_log import OperatorLog
from amoc.base.waiting import Waiter
from amoc.ipc.messages import codec
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.users.mailbox import MAX_BOX_BYTES, MAX_MESSAGES, Mailbox, Match
from amoc.users.placement import Placement
from amoc.users.user import User

MAX_BYTES = 1 << 20
"""What one message may take, packed."""
BURST_BYTES = 1 << 20
"""What the users of a worker send before the loop must turn; each message counts as 1 KiB more."""
CHECK_S = 5.0
"""How long the addressee's worker may take to say what became of a message."""

_ROOM = f"{MAX_MESSAGES} messages or {MAX_BOX_BYTES >> 20} MiB"


class DeliveryStatus(IntEnum):
    """What became of a message."""

    DELIVERED = 0
    GONE = 1
    """The user has not started, or has left for good."""
    FULL = 2
    UNREADABLE = 3
    """It was packed, but cannot be unpacked: a dict's key is a list in disguise, say."""
    STUCK = 4
    """More was sent than could leave the worker."""


class MailRouter:
    """A worker's end of the mail: sends what its users write, delivers what comes for them."""

    def __init__(
        self,
        worker: WorkerId,
        placement: Placement,
        outbox: Outbox | None,
        find_user: Callable[[int], User | None],
        operator: OperatorLog | None = None,
        crowded: Callable[[], bool] | None = None,
    ) -> None:
        """Be the post of one worker.

        Args:
            worker: Which one.
            placement: Who runs where.
            outbox: What leads to the other workers; None when there are none.
            find_user: The user of this worker with that number, None when it is not there.
            operator: Warned, once, when mail is refused.
            crowded: Whether the way out is full.
        """
        self._worker, self._incarnation = worker.worker, worker.incarnation
        self._placement = placement
        # Mail is for whichever incarnation is up: only its index counts.
        self._to = [WorkerId(worker.node, index, 0) for index in range(placement.workers)]
        self._outbox = outbox
        self._find_user = find_user
        self._operator = operator
        self._crowded = crowded
        self._burst = 0
        self._number = 0
        self._checks: dict[int, Waiter[int]] = {}
        self._packer = codec.packer()

    # Not declared before somebody writes: most runs have no mail to show figures of.
    _sent = cached_property(lambda _: metrics.built_in(metrics.Counter, "mail_sent"))
    _received = cached_property(lambda _: metrics.built_in(metrics.Counter, "mail_received"))
    _refused = cached_property(lambda _: metrics.built_in(metrics.Counter, "mail_refused"))
    _undeliverable = cached_property(
        lambda _: metrics.built_in(metrics.Counter, "mail_undeliverable")
    )

    def __repr__(self) -> str:
        workers, checks = self._placement.workers, len(self._checks)
        return f"<post of worker {self._worker}/{workers}, {checks} checks under way>"

    def send(self, user_id: int, message: object, check: bool) -> None:
        """See `send` of the module."""
        data = self._pack(user_id, message)
        self._sent.inc()
        self._burst += len(data) + 1024
        if self._burst >= BURST_BYTES:
            self._burst = 0
            if isinstance(getcurrent(), User):
                gevent.sleep(0)
                pause.wait_resumed()
        worker = self._placement.worker_of(user_id)
        if worker == self._worker or self._outbox is None:
            verdict: int = self._deliver(user_id, data)
        elif self._crowded is not None and self._crowded():
            verdict = self._refuse(DeliveryStatus.STUCK, user_id)
        elif check:
            verdict = self._ask(self._outbox, user_id, data, worker)
        else:
            self._outbox.put(Part.MAIL, self._to[worker], self._packer.pack((user_id, data)))
            return
        if check and verdict != DeliveryStatus.DELIVERED:
            raise MailError(_refusal(user_id, verdict))

    def handle(self, body: bytes | memoryview) -> None:
        """An envelope of mail has come."""
        try:
            for item in codec.unpack_stream(body, use_list=False):
                if len(item) == 2:
                    self._deliver(*item)
                elif len(item) == 3:
                    self._hear_verdict(*item)
                else:
                    self._answer(*item)
        except codec.UNREADABLE as error:
            raise PeerError(f"expected mail, got {bytes(body[:20])!r}: {error}") from None

    def _pack(self, user_id: int, message: object) -> bytes:
        check_user(user_id)
        data = _pack(self._packer, message)
        if len(data) > MAX_BYTES:
            self._packer = codec.packer()  # the old one would keep the room that it has taken
            raise _too_long(data)
        return data

    def _deliver(self, user_id: int, data: bytes) -> DeliveryStatus:
        user = self._find_user(user_id)
        if user is None:
            self._undeliverable.inc()
            return DeliveryStatus.GONE
        try:
            message = codec.unpack_data(data)
        except codec.UNREADABLE:
            self._undeliverable.inc()
            return DeliveryStatus.UNREADABLE
        box = user.mailbox
        if box is None:
            box = user.mailbox = Mailbox()
        if box.put(message, len(data)):
            self._received.inc()
            return DeliveryStatus.DELIVERED
        return self._refuse(DeliveryStatus.FULL, user_id)

    def _refuse(self, verdict: DeliveryStatus, user_id: int) -> DeliveryStatus:
        """Count it, and say so the first time."""
        self._refused.inc()
        if self._operator is not None:
            operator, self._operator = self._operator, None
            what = (
                f"mailbox of user {user_id} is full ({_ROOM})"
                if verdict is DeliveryStatus.FULL
                else f"users of worker {self._worker} send more mail than can leave it"
            )
            operator.warning(f"{what}: further mail is refused and counted in mail_refused")
        return verdict

    def _ask(self, outbox: Outbox, user_id: int, data: bytes, worker: int) -> int:
        """Send a message and wait until its addressee's worker says what became of it."""
        self._number += 1
        number = self._number
        waiter = self._checks[number] = Waiter()
        try:
            item = self._packer.pack((user_id, data, self._worker, self._incarnation, number))
            outbox.put(Part.MAIL, self._to[worker], item)
            if not waiter.wait(CHECK_S):
                raise PeerError(
                    f"worker {worker} did not confirm within {CHECK_S:g} s that user {user_id} has"
                    " received a message"
                )
        finally:
            del self._checks[number]
        assert waiter.value is not None
        return waiter.value

    def _answer(
        self, user_id: int, data: bytes, worker: int, incarnation: int, number: int
    ) -> None:
        verdict = int(self._deliver(user_id, data))
        if self._outbox is not None:
            self._outbox.put(
                Part.MAIL, self._to[worker], self._packer.pack((incarnation, number, verdict))
            )

    def _hear_verdict(self, incarnation: int, number: int, verdict: int) -> None:
        # One for the worker before us, or for somebody who has given up, is passed over.
        waiter = self._checks.get(number) if incarnation == self._incarnation else None
        if waiter is not None:
            waiter.set(verdict)
            waiter.wake()


def _pack(packer: msgpack.Packer, message: object) -> bytes:
    try:
        data: bytes = packer.pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        kind = type(message).__name__
        raise ScenarioError(
            f"a message must be something msgpack can pack, got {kind}: {error}"
        ) from None
    return data


def _too_long(data: bytes) -> ScenarioError:
    return ScenarioError(f"a message must be at most {MAX_BYTES} bytes, got {len(data)}")


def check_user(user_id: object) -> None:
    """Nothing, if mail can be sent to `user_id`.

    Raises:
        ScenarioError: It is no user's number.
    """
    if not isinstance(user_id, int) or user_id < 1:
        raise ScenarioError(f"send() must be given a user id of at least 1, got {user_id!r}")


def as_it_arrives(message: object) -> object:
    """What the receiver of `message` would get: lists are tuples, nothing is shared.

    Raises:
        ScenarioError: It cannot be sent.
    """
    data = _pack(codec.packer(), message)
    if len(data) > MAX_BYTES:
        raise _too_long(data)
    try:
        return codec.unpack_data(data)
    except codec.UNREADABLE as error:
        raise ScenarioError(f"a message must be readable by msgpack: {error}") from None


def _refusal(user_id: int, verdict: int) -> str:
    if verdict == DeliveryStatus.FULL:
        return f"mailbox of user {user_id} is full: it holds {_ROOM}"
    if verdict == DeliveryStatus.UNREADABLE:
        return f"a message to user {user_id} cannot be unpacked by msgpack"
    if verdict == DeliveryStatus.STUCK:
        return f"mail to user {user_id} cannot leave its worker: too many messages are waiting"
    return f"user {user_id} cannot receive mail: it has not started, or has left"


def send(user_id: int, message: object, check: bool = False) -> None:
    """Send `message` to the mailbox of a user, whichever worker it is in.

    Never waits, unless it is to check; so anybody in a worker may send, a handler too. Only, a user
    waits while the run is paused, and when it sends a thousand messages or a mebibyte in a row it
    lets others have their turn.

    Args:
        user_id: The addressee's number.
        message: Whatever msgpack can pack: None, booleans, numbers, text, bytes, and lists, tuples
            and dicts of them. Lists arrive as tuples.
        check: Wait until the addressee's worker has said that the message is in the mailbox.

    Raises:
        ScenarioError: The message cannot be packed or is too long, or `user_id` is no number.
        MailError: With `check`: the user is not there, or its mailbox is full.
        PeerError: With `check`: the addressee's worker does not answer.
        ClosedError: There are no users here, as in init().
    """
    router = find(MailRouter)
    if router is None:
        raise ClosedError("send() is for users and code that acts for them, during a run")
    is_user = isinstance(getcurrent(), User)
    if is_user:
        pause.wait_resumed()
    router.send(user_id, message, check)
    if check and is_user:
        pause.wait_resumed()


def receive(match: Match | None = None, timeout: float = inf) -> object:
    """The oldest message in the calling user's mailbox, waited for if there is none.

    Args:
        match: Says whether a message is the one that is wanted; the others stay where they are.
        timeout: Seconds to wait at the most, not counting those in which the run is paused.

    Raises:
        MailTimeout: No such message has come.
        UserStopped: The user was asked to stop while it waited.
        ClosedError: The caller is not a user.
        ValueError: `timeout` is negative.
    """
    me = getcurrent()
    if not isinstance(me, User):
        raise ClosedError(
            "receive() is available only to a user: use it in start() and what it calls"
        )
    if not timeout >= 0:
        raise ValueError(f"timeout must be at least 0 s, got {timeout}")
    box = me.mailbox
    if box is None:
        box = me.mailbox = Mailbox()
    message = box.take(match, timeout)
    pause.wait_resumed()
    return message
