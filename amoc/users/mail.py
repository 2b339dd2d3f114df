"""Mail between users, addressed by user number, across all workers of a run.

The number determines the user's worker (`amoc.users.placement`). Mail to a user of the same worker
goes straight into its mailbox. Other mail goes through the outbox and the node, which does not
unpack it, to the addressee's worker. Messages are packed and unpacked in both cases, so sender and
receiver never share an object, and lists always arrive as tuples.

Mail from one user to another stays in order, since there is one path between two workers, a FIFO
queue. Nothing is lost silently::

    mail_sent = mail_received + mail_refused + mail_undeliverable
                + mail in flight + mail lost with a worker

A mailbox is bounded in messages and bytes. A full one refuses new mail, so memory is bounded and
only the newest messages are missing. Mail is also refused while the worker's outbound path is full.
A user that sends many messages in a row yields to the loop at intervals, so that they can leave. A
mailbox survives iterations of its user, and ends with the user or its worker.

On the wire an envelope is a stream of msgpack arrays, distinguished by length:
``(user, message)``; ``(user, message, worker, incarnation, number)``, whose sender waits for a
verdict; and the verdict ``(incarnation, number, verdict)``. The message is an opaque byte string
in the array, so a message that cannot be unpacked does not affect others.
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
"""Maximum size of a packed message."""
BURST_BYTES = 1 << 20
"""How much a worker's users may send before a sender yields; adds 1 KiB for each message."""
CHECK_S = 5.0
"""Timeout for the delivery status from the addressee's worker."""

_ROOM = f"{MAX_MESSAGES} messages or {MAX_BOX_BYTES >> 20} MiB"


class DeliveryStatus(IntEnum):
    """Outcome of the delivery of a message."""

    DELIVERED = 0
    GONE = 1
    """The user has not started, or has ended for good."""
    FULL = 2
    UNREADABLE = 3
    """It cannot be unpacked, for example because a dict's key arrives as a list."""
    STUCK = 4
    """The sender's worker has too much outbound mail."""


class MailRouter:
    """A worker's end of the mail: sends its users' messages and delivers those to them."""

    def __init__(
        self,
        worker: WorkerId,
        placement: Placement,
        outbox: Outbox | None,
        find_user: Callable[[int], User | None],
        operator: OperatorLog | None = None,
        crowded: Callable[[], bool] | None = None,
    ) -> None:
        """Handle the mail of one worker.

        Args:
            worker: The worker.
            placement: Maps users to workers.
            outbox: The path to the other workers; None if there are none.
            find_user: Returns this worker's user with a number, or None.
            operator: Warned once when mail is refused.
            crowded: Returns whether the outbound path is full.
        """
        self._worker, self._incarnation = worker.worker, worker.incarnation
        self._placement = placement
        # Mail goes to whichever incarnation is running, so only the index matters.
        self._to = [WorkerId(worker.node, index, 0) for index in range(placement.workers)]
        self._outbox = outbox
        self._find_user = find_user
        self._operator = operator
        self._crowded = crowded
        self._burst = 0
        self._number = 0
        self._checks: dict[int, Waiter[int]] = {}
        self._packer = codec.packer()

    # Declared on first use: most runs have no mail, and no figures to show.
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
        """Implement the module's `send`."""
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
        """Handle an envelope of mail.

        Raises:
            PeerError: It cannot be unpacked.
        """
        try:
            for item in codec.unpack_stream(body, use_list=False):
                if len(item) == 2:
                    self._deliver(*item)
                elif len(item) == 3:
                    self._take_verdict(*item)
                else:
                    self._answer(*item)
        except codec.UNREADABLE as error:
            raise PeerError(f"expected mail, got {bytes(body[:20])!r}: {error}") from None

    def _pack(self, user_id: int, message: object) -> bytes:
        check_user(user_id)
        try:
            return _pack(self._packer, message)
        except ScenarioError:
            self._packer = codec.packer()  # the old one would keep a large buffer
            raise

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
        """Count a refusal, and warn the operator at the first one."""
        self._refused.inc()
        if self._operator is not None:
            operator, self._operator = self._operator, None
            what = (
                f"mailbox of user {user_id} is full ({_ROOM})"
                if verdict is DeliveryStatus.FULL
                else f"users of worker {self._worker} send more mail than it can pass on"
            )
            operator.warning(f"{what}: further mail is refused and counted in mail_refused")
        return verdict

    def _ask(self, outbox: Outbox, user_id: int, data: bytes, worker: int) -> int:
        """Send a message and return its delivery status from the addressee's worker."""
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

    def _take_verdict(self, incarnation: int, number: int, verdict: int) -> None:
        # Ignore one for an earlier incarnation, or for a sender that has given up.
        waiter = self._checks.get(number) if incarnation == self._incarnation else None
        if waiter is not None:
            waiter.set(verdict)
            waiter.wake()


def _pack(packer: msgpack.Packer, message: object) -> bytes:
    try:
        data: bytes = packer.pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        kind = type(message).__name__
        raise ScenarioError(f"a message must be packable by msgpack, got {kind}: {error}") from None
    if len(data) > MAX_BYTES:
        raise ScenarioError(f"a message must be at most {MAX_BYTES} bytes, got {len(data)}")
    return data


def check_user(user_id: object) -> None:
    """Check that `user_id` can be an addressee.

    Raises:
        ScenarioError: It is not a valid user number.
    """
    if not isinstance(user_id, int) or user_id < 1:
        raise ScenarioError(f"send() requires a user id of at least 1, got {user_id!r}")


def as_received(message: object) -> object:
    """Return what the receiver of `message` would get: a copy with tuples for lists.

    Raises:
        ScenarioError: It cannot be sent.
    """
    data = _pack(codec.packer(), message)
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
    return f"user {user_id} cannot receive mail: it has not started, or has ended"


def send(user_id: int, message: object, check: bool = False) -> None:
    """Send `message` to the mailbox of a user on any worker.

    Never blocks, unless `check` is set, so any code in a worker may send, including handlers. Two
    exceptions for users: they wait while the run is paused, and yield to other users after sending
    a thousand messages or a mebibyte in a row.

    Args:
        user_id: The addressee's number.
        message: Anything msgpack can pack: None, booleans, numbers, text, bytes, and lists, tuples
            and dicts of them. Lists arrive as tuples.
        check: Wait until the addressee's worker confirms that the message is in the mailbox.

    Raises:
        ScenarioError: The message cannot be packed or is too long, or `user_id` is not a number.
        MailError: With `check`: the user does not exist, or its mailbox is full.
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
    """Take the oldest message from the calling user's mailbox; wait for one if necessary.

    Args:
        match: Returns whether a message is wanted; others stay in the mailbox.
        timeout: Maximum wait in seconds, not counting pauses of the run.

    Raises:
        MailTimeout: No matching message arrived.
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
