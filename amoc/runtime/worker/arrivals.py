"""One worker's users if iterations start at an arrival rate (open model).

Iterations start at the slots of the throttle ``arrival_rate``, whatever the target does. The pool
queues there once for each iteration that it could start now: one for each idle user, and one for
each user that it may still create. A slot wakes up the user that has been idle longest, or creates
one if none is idle. When all are busy the worker leaves the queue, so a slot goes to another
worker. If nobody takes it in time the slot is dropped, and counted by the throttle.

Users of a worker that was killed are restarted like all others, and are idle until their turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from random import Random

from amoc import metrics
from amoc.base.errors import AmocError
from amoc.ipc.messages.lifecycle import Note
from amoc.ipc.messages.links import FromWorker
from amoc.metrics import reserved
from amoc.metrics.board import RESTARTABLE, Cell, UserState
from amoc.metrics.health_figures import cell
from amoc.runtime.worker.user_pool import UserPool
from amoc.runtime.worker_spec import WorkerSpec
from amoc.scenario import builtin_settings
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.events import USER_ADDED
from amoc.scenario.mix import MAX_LENGTH
from amoc.scenario.rate_shares import RateShares
from amoc.scenario.user_kinds import NamedStart
from amoc.throttle.demand import NoForesight
from amoc.throttle.token_waiter import OnEveryToken, Token
from amoc.throttle.worker import Gate
from amoc.users.user import User

MAX_OFFERS = 4_096
"""Most queue entries of a worker: more than it can use before the controller learns of it."""
_BETWEEN = int(UserState.BETWEEN)
_USERS, _PEAK, _HIGHEST = cell("users"), int(Cell.USERS_PEAK), int(Cell.HIGHEST_USER)


class _KindOfArrival(NamedStart):
    """Runs iterations of the kind assigned to the arrival rather than to the user.

    Otherwise users that are soon idle again would take the slots of the other kinds.
    """

    def __init__(self, start: NamedStart, find: Callable[[int], User | None]) -> None:
        self._start = start
        self._find = find

    def __call__(self, user_id: int, _rank: int = 0) -> object:
        """Run an iteration of a user."""
        return self._start(user_id, self._rank_of(user_id))

    def name_of(self, user_id: int, _rank: int = 0) -> str:
        """Return the name of the kind of a user's latest iteration."""
        return self._start.name_of(user_id, self._rank_of(user_id))

    def _rank_of(self, user_id: int) -> int:
        """Return the place in the mix of a user's arrival; 0 if it has taken none."""
        return getattr(self._find(user_id), "arrival", 0)


class ArrivalPool(UserPool):
    """Starts iterations at their slots, on idle or new users."""

    def __init__(self, spec: WorkerSpec, report: Callable[[FromWorker], None], gate: Gate) -> None:
        """Create it without users; see `UserPool`.

        Users with ids below the first arrival's, which are dealt to the worker, are not started by
        slots.
        """
        start, draw = spec.start, Random(f"mix {spec.seed}/{spec.id.worker}")
        # Workers start at different places in the mix, or one kind would come to all of them at the
        # same time.
        self._place = draw.randrange(MAX_LENGTH)
        self._shares: RateShares | None = None
        if isinstance(start, NamedStart):
            if start.changing_rates:
                self._shares = RateShares(start.changing_rates, draw)
            # If each iteration is a new user, the user's number can determine its kind.
            if self._shares is not None or builtin_settings.repeat_num.get() > 1:
                spec = spec._replace(start=_KindOfArrival(start, self.find))
        super().__init__(spec, report, gate)
        self._first_id, self._max_users = spec.first_arrival, spec.max_users
        # A single range, by the layout of such runs (`amoc.users.placement.by_worker`).
        (self._ids,) = spec.placement.planned_ids(
            self._first_id, spec.board.highest_id, self._worker
        )
        self._share = self._placement.share(self._max_users, self._worker)
        begun = self._row[_HIGHEST]
        self.highest_id = begun
        self._next = self._ids.index(begun) + 1 if begun else 0
        # Users of the previous incarnation, which will be dealt again.
        self._coming = set(spec.board.users_in(RESTARTABLE, self._ids[: self._next]))
        self._alive = 0
        self._idle: OrderedDict[User, None] = OrderedDict()
        self._arrivals = metrics.built_in(metrics.Counter, reserved.ARRIVALS)
        self._dropped = metrics.built_in(metrics.Counter, reserved.DROPPED)
        self._queue = gate.queue(ARRIVAL_RATE)
        self._queue.foresight, self._queue.every = NoForesight(), True
        self._queue.lateness = metrics.built_in(metrics.Timer, "arrival_lateness")
        self._offer_one = OnEveryToken(self._arrive)
        self._has_warned = False
        self._offer()

    def moved(self) -> None:
        """Adjust to the worker's share of users after a node was lost or has joined."""
        self._share = self._placement.share(self._max_users, self._worker)
        if self._queue.waiting > self._free:  # leave slots for which there is no user to others
            for _ in range(self._queue.waiting):
                self._queue.leave(self._offer_one)
            self._offer_one = OnEveryToken(self._arrive)
        self._offer()

    def wait_turn(self, user: User) -> bool:
        """Keep `user` idle until a slot comes for it; return whether it must leave instead."""
        if user.id < self._first_id:
            if not user.iteration:
                return False
            self.states[user.id] = _BETWEEN
            return user.wait_stopping(user.pause_s())
        self.states[user.id] = _BETWEEN
        self._idle[user] = None
        if user.id in self._coming:
            self._coming.discard(user.id)
            self._alive += 1
            self._offer()
        elif user.iteration:  # a new user is about to take the slot it was created for
            self._offer()
        try:
            return user.wait_stopping(inf)
        finally:
            self._idle.pop(user, None)

    def left(self, user: User) -> None:
        """Remove a user that has left for good; another one may be created in its place."""
        if user.id < self._first_id:
            super().left(user)
            return
        if user.id in self._coming:  # asked to stop before it was idle
            self._coming.discard(user.id)
        else:
            self._alive -= 1
        self._offer()
        super().left(user)

    def _offer(self) -> None:
        """Queue once for each iteration that could start now."""
        if self._stopping:
            return
        for _ in range(min(self._free, MAX_OFFERS) - self._queue.waiting):
            self._queue.enter(self._offer_one)

    @property
    def _free(self) -> int:
        """How many iterations could start now; negative above the worker's share."""
        return self._share - self._alive - len(self._coming) + len(self._idle)

    def _arrive(self, token: Token) -> None:
        """Process a slot."""
        if isinstance(token, AmocError):
            return
        if not (user := self._idle_user()):
            self._dropped.inc()
            return
        self._arrivals.inc()  # first of all: a kill may follow at any point
        if self._shares is not None:
            user.arrival = self._shares.deal(token - self._queue.load_ns)
        else:
            user.arrival = self._place + self._arrivals.value
        # Slots continue without this user, so none is missed because the target holds it up.
        metrics.put_token(user, token, of_slot=False)
        waiter = user.waiting_for
        assert waiter is not None
        waiter.give(None)
        self._offer()

    def _idle_user(self) -> User | None:
        """Return the user that has been idle longest, or a new one."""
        while self._idle:
            user, _ = self._idle.popitem(last=False)
            if user.waiting_for is not None and not user.waiting_for.done:
                return user
        if self._stopping or self._alive + len(self._coming) >= self._share:
            return None
        if self._next >= len(self._ids):
            self._warn_no_ids()
            return None
        user = self._add(self._ids[self._next])
        self._idle.pop(user, None)
        return user if user.waiting_for is not None else None

    def _add(self, user_id: int) -> User:
        """Create a user, which is idle."""
        row, users = self._row, self._users
        self.highest_id = row[_HIGHEST] = user_id
        self._next += 1
        self._alive += 1
        user = users[user_id] = User(user_id, self)
        row[_USERS] = alive = len(users)
        row[_PEAK] = max(row[_PEAK], alive)
        if USER_ADDED.subscribers:
            USER_ADDED(user_id, again=False)
        user.switch()
        return user

    def _warn_no_ids(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            text = f"all user ids up to {self._board.highest_id} are used up, so no more start"
            self._report(Note("warning", text))
