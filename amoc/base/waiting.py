"""Waits with a deadline, exactly one wake-up, and interrupts.

A greenlet parks in the hub until the value is set and it is woken. The deadline's timer, the waker
and a kill may all occur in the same turn of the loop: the first one wins, the others find no parked
greenlet. gevent's `Event` can lose a waiter that polls with a timeout of a few milliseconds, so
loops that do this use a `Notify`.

Users wait for amoc, and for messages from their peers, only in `wait`. Pauses of the run do not
count there, and it is the only place where an `interrupt` is raised: it ends the current wait, or
else the next one, and is raised once.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from gevent import get_hub, getcurrent
from greenlet import GreenletExit, greenlet

from amoc.base import pause
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.pause import AnyGreenlet
from amoc.base.timers import call_later
from amoc.base.tracebacks import raise_without_cycle

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

T = TypeVar("T")
_switch = greenlet.switch


class WaiterBase(Generic[T]):
    """One greenlet's wait for one value: a `Waiter`, or an object that is waited on repeatedly.

    The latter has slots for `greenlet`, `done`, `value`, `error` and `raised`, and sets `done` to
    False before each wait. After an error it must not be waited on again.

    Attributes:
        done: Whether the value or an error has been set, or is no longer wanted.
        value: The value; None until it is set.
        error: The exception to raise instead.
        raised: Whether that exception has been raised.
        ends_only: Whether only an interrupt that ends the greenlet can end this wait.
        greenlet: The greenlet parked here, if any.
        alarm: Watches the time limit in `amoc.base.waiting.wait` while it is free; None for a
            timer.
    """

    if not TYPE_CHECKING:  # else mypy refuses to set the attributes
        __slots__ = ()

    # Class defaults: an object is made for each wait, and most of these never change.
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
            Whether it is done; if not, this greenlet will not be woken any more.

        Raises:
            ScenarioError: The caller is the event loop itself, such as a handler.
            BaseException: The error that was set instead of a value.
        """
        if not self.done:
            self.park(timeout)
        if self.error is not None:
            self.raise_error()
        return self.done

    def raise_error(self) -> NoReturn:
        """Raise the error that was set instead of a value, once."""
        holder = [self.error] if self.error is not None else []
        self.error = None
        self.raised = True
        raise_without_cycle(holder)

    def park(self, timeout: float) -> None:
        """Park until this greenlet is woken, for at most `timeout` seconds."""
        hub = get_hub()
        current = getcurrent()
        if current is hub:
            raise ScenarioError(
                "a handler runs inside the event loop and must not wait for anything"
            )
        timer = None
        if timeout != inf:
            timer = call_later(hub.loop, timeout, self.resume)
        self.greenlet = current
        try:
            # Not hub.switch(): each waiting user keeps the frames of all calls made here.
            _switch(hub)
        finally:
            self.greenlet = None
            if timer is not None:
                timer.close()  # also stops it

    def set(self, value: T) -> None:
        """Set the value. Follow with `wake`."""
        if not self.done:
            self.done = True
            self.value = value

    def fail(self, error: BaseException) -> None:
        """Set an error instead of the value. Follow with `wake`."""
        if not self.done:
            self.done = True
            self.error = error

    def give(self, value: T) -> None:
        """Set the value and resume the parked greenlet at once; for use in the hub."""
        if self.done:
            return
        self.done = True
        self.value = value
        parked = self.greenlet
        if parked is not None:
            self.greenlet = None
            parked.switch()

    def resume(self) -> None:
        """Resume the parked greenlet, if any, at once; for use in the hub."""
        parked = self.greenlet
        if parked is not None:
            self.greenlet = None
            parked.switch()

    def wake(self) -> None:
        """Resume the parked greenlet, if any: at once in the hub, otherwise at its next turn."""
        if self.greenlet is None:
            return
        hub = get_hub()
        if getcurrent() is hub:
            self.resume()
        else:
            hub.loop.run_callback(self.resume)


class Waiter(WaiterBase[T]):
    """One greenlet's wait for one value, made for it."""


class Alarm:
    """Time limits of consecutive waits, watched by one timer that is seldom reset.

    Nearly all waits for messages end long before their limit. So the timer is left running after a
    wait; when it fires, it is set again for the wait then in progress.

    Attributes:
        waiter: The waiter whose limit it watches now, if any.
        due_ns: That limit.
        rings_ns: When the timer fires; inf while there is none.
    """

    __slots__ = ("_timer", "due_ns", "rings_ns", "waiter")

    def __init__(self) -> None:
        self.waiter: AnyWaiter | None = None
        self._timer: _TimerWatcher | None = None
        self.due_ns = 0.0
        self.rings_ns = inf

    def set(self, seconds: float) -> None:
        """Set the timer for the present limit, in `seconds`."""
        self.close()
        self.rings_ns = self.due_ns
        self._timer = call_later(get_hub().loop, seconds, self._ring)

    def close(self) -> None:
        """Close the timer."""
        timer, self._timer = self._timer, None
        self.rings_ns = inf
        if timer is not None:
            timer.close()  # also stops it

    def _ring(self) -> None:
        self.close()
        if self.waiter is None:
            return
        left_ns = self.due_ns - now_ns()
        if left_ns > 0:
            self.set(left_ns / S_NS)
        else:
            self.waiter.resume()


AnyWaiter = WaiterBase[Any]  # Any: neither `object` nor a type variable includes all of them
"""A waiter for a value of any type."""


def wait(waiter: AnyWaiter, timeout: float = inf, hub: greenlet | None = None) -> bool:
    """Wait in the calling greenlet until `waiter` is done or an interrupt arrives.

    Args:
        waiter: A waiter used by the caller only.
        timeout: Seconds, not counting pauses of the run.
        hub: The caller's hub, if known: gevent's look-up costs as much as the rest of this.

    Returns:
        Whether it is done.

    Raises:
        BaseException: An interrupt, pending or new; or the error that was set on `waiter`.
    """
    # Every wait of every user goes through here, so calls are kept to a minimum.
    me: AnyGreenlet = getcurrent()
    try:
        pending = me.pending_interrupt
    except AttributeError:  # the first wait of a greenlet that is not a user
        pending = me.pending_interrupt = None
    if pending is not None:
        check_interrupt()
    clock = pause.clock
    paused_ns = clock.paused_ns() if clock.since_ns else clock.earlier_ns
    begun_ns = 0
    me.waiting_for = waiter
    try:
        if not waiter.done:
            if hub is None:
                hub = get_hub()
            if me is hub:
                waiter.park(timeout)  # raises
            elif timeout == inf:
                waiter.greenlet = me  # as in `park`
                _switch(hub)
            else:
                begun_ns = now_ns()
                alarm = waiter.alarm
                if alarm is None or alarm.waiter is not None:  # watching another wait
                    waiter.park(timeout)
                else:
                    waiter.greenlet = me
                    alarm.waiter = waiter
                    alarm.due_ns = due_ns = begun_ns + timeout * S_NS
                    try:
                        if not alarm.rings_ns <= due_ns:  # so that `set` refuses what is no number
                            alarm.set(timeout)
                        _switch(hub)
                    finally:
                        alarm.waiter = None
        if clock.since_ns or clock.earlier_ns != paused_ns:
            _wait_on(waiter, timeout, begun_ns - paused_ns, paused_ns)
        if waiter.error is not None:
            waiter.raise_error()
        return waiter.done
    finally:
        me.waiting_for = waiter.greenlet = None


def _wait_on(waiter: AnyWaiter, timeout: float, begun_ns: int, paused_ns: int) -> None:
    """Continue a wait during which the run was or is paused; an error ends it."""
    clock = pause.clock
    while waiter.error is None and (clock.since_ns or clock.earlier_ns != paused_ns):
        while clock.since_ns and not waiter.done:
            # Its timeout came during the pause: stay parked, so that it can still be done or ended.
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
    """Raise the calling greenlet's pending interrupt, if any."""
    me: AnyGreenlet = getcurrent()
    if getattr(me, "pending_interrupt", None) is not None:
        holder: list[BaseException] = [me.pending_interrupt]
        me.pending_interrupt = None
        raise_without_cycle(holder)


def wait_despite_pause(waiter: AnyWaiter, timeout: float) -> bool:
    """Like `wait`, but a pause of the run neither delays the caller nor stops the timeout.

    Only an interrupt that ends the greenlet is raised here. Others, such as the loss of a
    connection while the caller makes another one, are raised at its next wait.
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
    """Raise `error` in the greenlet `whom` at its current or next wait.

    A greenlet whose wait has just been done still gets the value. An interrupt that ends the
    greenlet is not replaced by another one.

    Args:
        whom: The greenlet.
        error: The exception to raise.
        key: Identifies the interrupt for `withdraw_interrupt`.
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
    """Withdraw the interrupt with this key if the greenlet `whom` has not raised it yet."""
    if getattr(whom, "interrupt_key", None) is key:
        whom.pending_interrupt = whom.interrupt_key = None


class Notify:
    """Wakes a single waiting greenlet; a ring while none waits ends the next wait at once."""

    __slots__ = ("_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: Waiter[None] | None = None

    def ring(self) -> None:
        """Wake the waiting greenlet at the loop's next turn; for any greenlet or the hub."""
        self._rung = True
        waiter = self._waiter
        if waiter is not None and not waiter.done:
            waiter.done = True
            get_hub().loop.run_callback(waiter.wake)

    def wait(self, timeout: float = inf) -> bool:
        """Wait for a ring, for at most `timeout` seconds.

        Returns:
            Whether there was a ring since the previous wait.
        """
        if not self._rung:
            self._waiter = Waiter()
            try:
                self._waiter.wait(timeout)
            finally:
                self._waiter = None
        rung, self._rung = self._rung, False
        return rung
