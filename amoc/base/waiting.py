"""Waiting with a deadline, being woken exactly once, and being interrupted.

A greenlet parks in the hub until the value is set and it is woken. The deadline's timer, the waker
and a kill may all come in one turn of the loop: the first wins, the others find no greenlet parked.
gevent's own `Event` can lose a waiter that asks again and again with a time-out of a few
milliseconds, so loops that do so use a `Notify`.

A user waits for amoc, and for messages of its peers, by `wait`, and nowhere else. Pauses of the run
do not count there, and it is the one place where an `interrupt` is raised: it ends the wait in
which the user stands, or else the next that it begins, and is raised once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from gevent import get_hub, getcurrent
from greenlet import GreenletExit, greenlet

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.timers import call_later
from amoc.base.tracebacks import raise_without_cycle

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

T = TypeVar("T")
_switch = greenlet.switch


class Waiter(Generic[T]):
    """One greenlet's wait for one value.

    Attributes:
        done: Whether the value, or an error in its stead, is there, or is not wanted any more.
        value: The value; None until it is there.
        error: What to raise instead.
        raised: Whether that was raised.
        ends_only: Whether no interrupt ends this wait but one that ends the greenlet.
        greenlet: The one that is parked here, if any.
        alarm: What watches its limit in `amoc.base.waiting.wait`, if nobody else's; None for a
            timer.
    """

    # Defaults of the class: one is made for each wait, and most of these are never changed.
    greenlet: greenlet | None = None
    done = False
    value: T | None = None
    error: BaseException | None = None
    raised = False
    ends_only = False
    alarm: Alarm | None = None

    def wait(self, timeout: float = inf) -> bool:
        """Park until it is done, or `timeout` seconds have passed.

        Returns:
            Whether it is done; if not, this greenlet is not woken any more.

        Raises:
            ScenarioError: The caller is the event loop itself, a handler say.
            BaseException: What it was done with in place of a value.
        """
        if not self.done:
            self.park(timeout)
        if self.error is not None:
            self.raise_error()
        return self.done

    def raise_error(self) -> NoReturn:
        """Raise what it was done with in place of a value; only once."""
        holder = [self.error] if self.error is not None else []
        self.error = None
        self.raised = True
        raise_without_cycle(holder)

    def park(self, timeout: float) -> None:
        """Park until this greenlet is woken, `timeout` seconds at the most."""
        hub = get_hub()
        current = getcurrent()
        if current is hub:
            raise ScenarioError(
                "a handler runs inside the event loop and must not wait for anything"
            )
        timer = None
        if timeout < inf:
            timer = call_later(hub.loop, timeout, self.resume)
        self.greenlet = current
        try:
            # Without what gevent does before; of all that is called here, users keep a copy.
            _switch(hub)
        finally:
            self.greenlet = None
            if timer is not None:
                timer.close()  # which stops it

    def set(self, value: T) -> None:
        """It has come. Follow with `wake`."""
        if not self.done:
            self.done = True
            self.value = value

    def fail(self, error: BaseException) -> None:
        """It will never come. Follow with `wake`."""
        if not self.done:
            self.done = True
            self.error = error

    def give(self, value: T) -> None:
        """In the hub: it has come, and the parked greenlet goes on at once."""
        if self.done:
            return
        self.done = True
        self.value = value
        parked = self.greenlet
        if parked is not None:
            self.greenlet = None
            parked.switch()

    def resume(self) -> None:
        """In the hub: the parked greenlet, if any, goes on at once."""
        parked = self.greenlet
        if parked is not None:
            self.greenlet = None
            parked.switch()

    def wake(self) -> None:
        """Let the parked greenlet go on, if any: from the hub at once, else at its next turn."""
        if self.greenlet is None:
            return
        hub = get_hub()
        if getcurrent() is hub:
            self.resume()
        else:
            hub.loop.run_callback(self.resume)


class Alarm:
    """Watches the time limits of waits that follow each other, by a timer that seldom is set anew.

    Nearly all waits for messages end long before their limit. So the timer of one goes on when it
    has ended; when it rings, it is set for the one that is parked then.

    Attributes:
        waiter: Whose limit it watches now; None for nobody's.
    """

    __slots__ = ("_due_ns", "_rings_ns", "_timer", "waiter")

    def __init__(self) -> None:
        self.waiter: AnyWaiter | None = None
        self._timer: _TimerWatcher | None = None
        self._due_ns = self._rings_ns = 0

    def park(self, waiter: AnyWaiter, hub: greenlet, seconds: float, since_ns: int) -> None:
        """Park the greenlet of `waiter` until it is woken, at the most `seconds` from `since_ns`.

        It watches no other one meanwhile.
        """
        self.waiter = waiter
        self._due_ns = due_ns = since_ns + int(seconds * S_NS)
        try:
            if self._timer is None or self._rings_ns > due_ns:
                self._set(seconds)
            _switch(hub)
        finally:
            self.waiter = None

    def close(self) -> None:
        """Ring no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()  # which stops it

    def _set(self, seconds: float) -> None:
        self.close()
        self._rings_ns = self._due_ns
        self._timer = call_later(get_hub().loop, seconds, self._ring)

    def _ring(self) -> None:
        self.close()
        if self.waiter is None:
            return
        left_ns = self._due_ns - now_ns()
        if left_ns > 0:
            self._set(left_ns / S_NS)
        else:
            self.waiter.resume()


AnyWaiter = Waiter[Any]
"""One for a value of whatever type: what waits for it is woken in the same way."""
AnyGreenlet = Any
"""A greenlet with the attributes `waiting_for` and `pending_interrupt`, which any of them takes."""


def wait(waiter: AnyWaiter, timeout: float = inf, hub: greenlet | None = None) -> bool:
    """Let the calling greenlet wait until `waiter` is done, or an interrupt comes.

    Args:
        waiter: One that only the caller waits for.
        timeout: How many seconds, not counting pauses of the run.
        hub: The caller's, if known: gevent's look-up costs as much as the rest of this.

    Returns:
        Whether it is done.

    Raises:
        BaseException: The interrupt, now or from before; or what `waiter` was done with.
    """
    # Every wait of every user comes through here, so nothing is called that need not be.
    me: AnyGreenlet = getcurrent()
    if getattr(me, "pending_interrupt", None) is not None:
        check_interrupt()
    clock = pause.clock
    paused_ns = clock.paused_ns() if clock.since_ns else clock.earlier_ns
    begun_ns = 0
    me.waiting_for = waiter
    try:
        if not waiter.done:
            hub = hub or get_hub()
            if me is hub:
                waiter.park(timeout)  # which refuses
            elif timeout == inf:
                waiter.greenlet = me  # as `park`
                _switch(hub)
            else:
                begun_ns = now_ns()
                alarm = waiter.alarm
                if alarm is None or alarm.waiter is not None:  # it watches another one's limit
                    waiter.park(timeout)
                else:
                    waiter.greenlet = me
                    alarm.park(waiter, hub, timeout, begun_ns)
        if clock.since_ns or clock.earlier_ns != paused_ns:
            _wait_on(waiter, timeout, begun_ns - paused_ns, paused_ns)
        if waiter.error is not None:
            waiter.raise_error()
        return waiter.done
    finally:
        me.waiting_for = waiter.greenlet = None


def _wait_on(waiter: AnyWaiter, timeout: float, begun_ns: int, paused_ns: int) -> None:
    """Go on with a wait during which the run was paused, or is; an error ends that."""
    clock = pause.clock
    while waiter.error is None and (clock.since_ns or clock.earlier_ns != paused_ns):
        while clock.since_ns and not waiter.done:
            # Its time was up in the pause: it stays parked, to be served or ended as before.
            pause.paused_waits[waiter.wake] = None
            try:
                waiter.park(inf)
            finally:
                pause.paused_waits.pop(waiter.wake, None)
        if waiter.error is not None:
            return
        pause.wait_resumed(paused_ns)
        paused_ns = clock.earlier_ns
        left_s = timeout - (clock.run_ns() - begun_ns) / S_NS
        if left_s > 0 and not waiter.done:
            waiter.park(left_s)


def check_interrupt() -> None:
    """Raise the interrupt that is pending for the calling greenlet, if any."""
    me: AnyGreenlet = getcurrent()
    if getattr(me, "pending_interrupt", None) is not None:
        holder: list[BaseException] = [me.pending_interrupt]
        me.pending_interrupt = None
        raise_without_cycle(holder)


def wait_despite_pause(waiter: AnyWaiter, timeout: float) -> bool:
    """As `wait`, but a pause of the run neither delays the caller nor stops the time.

    Only an interrupt that ends the greenlet comes here; others, such as the loss of a connection
    while the caller makes another one, come where it waits next.
    """
    me: AnyGreenlet = getcurrent()
    if isinstance(getattr(me, "pending_interrupt", None), GreenletExit):
        check_interrupt()
    waiter.ends_only = True
    me.waiting_for = waiter
    try:
        return waiter.wait(timeout)
    finally:
        me.waiting_for = None


def interrupt(whom: AnyGreenlet, error: BaseException, key: object = None) -> None:
    """Let the greenlet `whom` raise `error` where it waits, or when it waits next.

    One that has just got what it waited for keeps it. An interrupt that ends the greenlet is not
    replaced by another one.

    Args:
        whom: The greenlet.
        error: What it raises.
        key: By which `withdraw_interrupt` knows it again.
    """
    waiter: AnyWaiter | None = getattr(whom, "waiting_for", None)
    ends = isinstance(error, GreenletExit)
    if waiter is not None and not waiter.done and (ends or not waiter.ends_only):
        waiter.fail(error)
        get_hub().loop.run_callback(waiter.wake)
    elif not isinstance(getattr(whom, "pending_interrupt", None), GreenletExit):
        whom.pending_interrupt = error
        whom.interrupt_key = key


def withdraw_interrupt(whom: AnyGreenlet, key: object) -> None:
    """Take back the interrupt with this key if the greenlet `whom` has not raised it yet."""
    if getattr(whom, "interrupt_key", None) is key:
        whom.pending_interrupt = whom.interrupt_key = None


class Notify:
    """Wakes the one greenlet that waits for it; a ring while none waits ends the next wait."""

    __slots__ = ("_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: Waiter[None] | None = None

    def ring(self) -> None:
        """Wake the greenlet that waits, at the loop's next turn; from any greenlet or the hub."""
        self._rung = True
        waiter = self._waiter
        if waiter is not None and not waiter.done:
            waiter.done = True
            get_hub().loop.run_callback(waiter.wake)

    def wait(self, timeout: float = inf) -> bool:
        """Wait for a ring, `timeout` seconds at the most; whether there was one since the last."""
        if not self._rung:
            self._waiter = Waiter()
            try:
                self._waiter.wait(timeout)
            finally:
                self._waiter = None
        rung, self._rung = self._rung, False
        return rung


class OpenGate:
    """Open or shut; greenlets wait until it is open, and all go on at once. Open at first.

    Attributes:
        is_open: Whether `wait` returns at once.
        waiting: Those that wait, in the order in which they came.
    """

    __slots__ = ("is_open", "waiting")

    def __init__(self) -> None:
        self.is_open = True
        self.waiting: dict[Waiter[None], None] = {}

    def open(self) -> None:
        """Open it; those that wait go on at the loop's next turn."""
        self.is_open = True
        for waiter in self.waiting:
            if not waiter.done:
                waiter.set(None)
                get_hub().loop.run_callback(waiter.wake)

    def shut(self) -> None:
        """Shut it."""
        self.is_open = False

    def wait(
        self, timeout: float = inf, by: Callable[[Waiter[None], float], bool] = Waiter.wait
    ) -> bool:
        """Wait until it is open, `timeout` seconds at the most.

        Args:
            timeout: Seconds.
            by: How; `wait` of this module for a user, which pauses delay and which can be
                interrupted.

        Returns:
            Whether it has opened; it may have been shut again since.

        Raises:
            ScenarioError: The caller is the event loop itself.
        """
        if self.is_open:
            return True
        waiter: Waiter[None] = Waiter()
        self.waiting[waiter] = None
        try:
            return by(waiter, timeout)
        finally:
            self.waiting.pop(waiter, None)
