"""Stopwatches: how long a timer's block took, and the time since its throttle slot.

A user that has passed a throttle has an intended time: that of its slot. A `time()` block that
begins after that records two durations: how long it took (service time), and, in
``NAME.response``, the time since the intended time (response time). A target that stalls makes
users late for their slots, which the service time does not show but the response time does. The
latter also includes the turns that users missed because the target held them up, see
`amoc.metrics.coordinated_omission`.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from gevent import getcurrent

from amoc.base import pause
from amoc.base.pause import AnyGreenlet, own_paused_ns
from amoc.metrics.coordinated_omission import MAX_TIMERS, Cadence, missed
from amoc.metrics.timer_cells import hit

if TYPE_CHECKING:
    from amoc.metrics.handles import Timer

throttled = False
"""Whether a token was ever given in this process: until then, looking for one costs nothing."""


class Stopwatch:
    """Records how long its block took."""

    __slots__ = ("_paused_ns", "_start_ns", "_timer")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def __enter__(self) -> None:
        self._paused_ns = own_paused_ns()  # a pause of the run is not the target's doing
        self._start_ns = perf_counter_ns()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or issubclass(kind, Exception):
            paused = own_paused_ns() - self._paused_ns
            self._timer.record_ns(perf_counter_ns() - self._start_ns - paused)


class _Token:
    """A permit from a throttle, until it is used."""

    __slots__ = ("depth", "intended_ns", "of_slot")

    def __init__(self, intended_ns: int, of_slot: bool = True) -> None:
        self.intended_ns = intended_ns
        self.of_slot = of_slot
        self.depth = 0  # blocks begun under it that have not ended


class ThrottledStopwatch(Stopwatch):
    """A stopwatch in a process where throttles are in use."""

    __slots__ = ("_token", "_whose")

    def __enter__(self) -> None:
        self._whose: AnyGreenlet = getcurrent()
        self._take_token()
        super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        end_ns = perf_counter_ns()  # the clock of `base.clock.now_ns`, on Linux
        if self._token is not None:
            self._release()
        if kind is None or issubclass(kind, Exception):
            paused = own_paused_ns()
            self._timer.record_ns(end_ns - self._start_ns - paused + self._paused_ns)
            if self._token is not None:
                self._respond(end_ns - paused)
        else:
            self._cut_short(end_ns)

    def _take_token(self) -> None:
        """Put the block under the token of its greenlet, if that has one."""
        whose = self._whose
        token = getattr(whose, "throttle_token", None)
        if type(token) is int:
            token = whose.throttle_token = _Token(token)
        self._token: _Token | None = token
        if token is not None:
            token.depth += 1

    def _release(self) -> None:
        """End the block. A token covers the blocks that began under it, and no others."""
        token = self._token
        assert token is not None
        token.depth -= 1
        if not token.depth and getattr(self._whose, "throttle_token", None) is token:
            self._whose.throttle_token = None

    def _respond(self, end_ns: int) -> None:
        """Record the response time of a block that ended at `end_ns`, pauses excluded."""
        assert self._token is not None
        _respond(self._whose, self._timer, self._responses(), self._token, end_ns)

    def _responses(self) -> tuple[Timer, ...]:
        """Return the timers of its response time."""
        timer = self._timer
        return (timer._response or timer.response,)

    def _cut_short(self, end_ns: int) -> None:
        """Handle a block that was killed before its end, perhaps because it hung for so long."""
        if self._token is not None:
            end_ns -= own_paused_ns()
            responses = self._responses()
            _respond(self._whose, self._timer, responses, self._token, end_ns, killed=True)


def _respond(
    whose: AnyGreenlet,
    timer: Timer,
    responses: tuple[Timer, ...],
    token: _Token,
    end_ns: int,
    *,
    killed: bool = False,
) -> None:
    """Record the response time of a block that `whose` has ended, and those of turns it has missed.

    They are recorded in each of `responses`; turns are counted for `timer`.

    A block that was `killed` would have taken longer. It counts only if it prevented other turns,
    because what is known of it is bad enough in that case.
    """
    intended_ns = token.intended_ns
    response_ns = end_ns - intended_ns
    if not killed:
        for one in responses:
            one.record_ns(response_ns)
    if not token.of_slot:
        whose.throttle_cadence = None
        return
    first: Cadence | None = getattr(whose, "throttle_cadence", None)
    cadence = first
    others = 0
    while cadence is not None and cadence.timer is not timer:
        cadence = cadence.following
        others += 1
    if cadence is None:
        if others < MAX_TIMERS:
            whose.throttle_cadence = Cadence(timer, intended_ns, pause.clock.paused_ns(), first)
    elif cadence.turn(intended_ns, pause.clock.paused_ns(), response_ns):
        if killed:
            for one in responses:
                one.record_ns(response_ns)
        for cell, hits in missed(response_ns, cadence.usual_ns):
            for one in responses:
                hit(one._cells, cell, hits)


def watch_for_tokens() -> None:
    """Look for tokens from now on, although none may have been given; requests then use `Step`."""
    global throttled
    throttled = True


def put_token(whose: AnyGreenlet, intended_ns: int, of_slot: bool = True) -> None:
    """Give a token to greenlet `whose`, which has passed a throttle; replaces one that it had.

    Args:
        whose: The greenlet.
        intended_ns: The time at which it was due.
        of_slot: Whether that is the time of a slot. Without a rate, no turns can be missed.
    """
    global throttled
    throttled = True
    # On the greenlet's own clock, without pauses. A `_Token` is made when a timer begins.
    intended_ns -= getattr(whose, "paused_ns", 0)
    whose.throttle_token = intended_ns if of_slot else _Token(intended_ns, False)


def drop_token(whose: AnyGreenlet) -> None:
    """Take the token from greenlet `whose`, which has ended what it passed a throttle for."""
    if throttled and getattr(whose, "throttle_token", None) is not None:
        whose.throttle_token = None
