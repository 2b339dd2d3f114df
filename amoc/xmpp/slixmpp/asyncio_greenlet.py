"""asyncio's own event loop in one greenlet of a process, and calls into it from other greenlets.

Its selector is gevent's, so while asyncio has nothing to do the other greenlets run. Whatever runs
in asyncio shares this one greenlet: it awaits, and must not wait for gevent or amoc, or all that
lives in asyncio here stands still.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import gevent
from gevent import get_hub, getcurrent
from gevent.selectors import GeventSelector

from amoc.base.errors import ScenarioError
from amoc.base.waiting import AnyWaiter, Waiter, wait

T = TypeVar("T")

Work = Awaitable[T] | Callable[[], Awaitable[T] | T]
"""An awaitable; or a function that asyncio calls, and what it returns is awaited if it can be."""


class NotInTime(Exception):
    """A call into asyncio took longer than it was given; a TimeoutError would be the callee's."""


class _LoopGreenlet(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """Serves all users, and is not the one's that happened to start it."""

    outlives_users: Final = True


class _Call(Generic[T]):
    """One call from a greenlet into asyncio."""

    __slots__ = ("_ended", "_task", "_waiter", "_work")

    def __init__(self, work: Work[T], waiter: Waiter[T]) -> None:
        self._work = work
        self._waiter = waiter
        self._task: asyncio.Future[T] | None = None
        self._ended = False

    def start(self) -> None:
        """In asyncio: begin."""
        if self._ended:
            return
        try:
            found = self._work() if callable(self._work) else self._work
            if inspect.isawaitable(found):
                self._task = asyncio.ensure_future(found)
                self._task.add_done_callback(self._done)
                return
        except BaseException as error:  # it is the caller's to know
            self._waiter.fail(error)
        else:
            self._waiter.set(found)
        self._finish()

    def cancel(self) -> None:
        """In asyncio: nobody waits for it any more."""
        if self._task is None:
            self._ended = True
            never_begun(self._work)
        elif not self._task.done():
            self._task.cancel()

    def _done(self, task: asyncio.Future[T]) -> None:
        if task.cancelled():
            self._waiter.fail(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._waiter.fail(error)
        else:
            self._waiter.set(task.result())
        self._finish()

    def _finish(self) -> None:
        self._ended = True
        self._waiter.wake()

    @property
    def ended(self) -> bool:
        """Whether asyncio is done with it."""
        return self._ended


def never_begun(work: Work[Any]) -> None:
    """Take back a coroutine that nothing will await; asyncio would complain of it."""
    if asyncio.iscoroutine(work):
        work.close()


class AsyncioGreenlet:
    """An event loop of asyncio that runs in a greenlet of its own.

    Attributes:
        loop: The loop.
    """

    def __init__(self) -> None:
        self.hub = get_hub()
        self.loop = asyncio.SelectorEventLoop(GeventSelector())
        self.loop.set_exception_handler(self._failed)
        self._closing = False
        self._greenlet = _LoopGreenlet(self._serve)
        self._greenlet.start()

    def _serve(self) -> None:
        while not self._closing:
            try:
                self.loop.run_forever()
            except BaseException as error:  # asyncio lets SystemExit end the loop of all
                self._tell(None, error)

    def close(self) -> None:
        """End it, and what still runs in it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._closing = True
        self._greenlet.join()
        self.loop.close()

    def run(self, work: Work[T], timeout: float, waiting: set[AnyWaiter]) -> T:
        """Let asyncio do `work`, while the calling greenlet waits.

        Args:
            work: What to do.
            timeout: Seconds, not counting pauses of the run.
            waiting: Holds the wait while it lasts, so that another may end it.

        Returns:
            What came of it.

        Raises:
            NotInTime: It took longer, and was cancelled.
            ScenarioError: The caller runs in asyncio itself, and would wait for itself.
            BaseException: What `work` raised; or an interrupt of the caller, for which it was
                cancelled.
        """
        if getcurrent() is self._greenlet:
            never_begun(work)
            raise ScenarioError(
                "what runs in asyncio, a handler of slixmpp say, must await and cannot wait"
            )
        waiter: Waiter[T] = Waiter()
        call = _Call(work, waiter)
        waiting.add(waiter)
        self.loop.call_soon_threadsafe(call.start)
        try:
            if not wait(waiter, timeout):
                raise NotInTime
        finally:
            waiting.discard(waiter)
            if not call.ended:
                self.loop.call_soon_threadsafe(call.cancel)
        return waiter.value  # type: ignore[return-value]  # it is done

    def soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Let asyncio call `call` at its next turn; does not wait."""
        self.loop.call_soon_threadsafe(call, *arguments)

    def _failed(self, _loop: object, context: dict[str, Any]) -> None:
        """Something failed in asyncio that no call of ours waits for."""
        error = context.get("exception")
        if error is None:
            error = RuntimeError(context["message"])
        self._tell(context.get("task"), error)

    def _tell(self, what: object, error: BaseException) -> None:
        self.hub.handle_error(what or self.loop, type(error), error, error.__traceback__)


_running: AsyncioGreenlet | None = None


def running() -> AsyncioGreenlet:
    """That of this process; the first call starts it."""
    global _running
    if _running is None or _running.hub is not get_hub():
        _running = AsyncioGreenlet()
    return _running


def stop() -> None:
    """End that of this process, if there is one: in its thread no other loop of asyncio can run."""
    global _running
    if _running is not None and _running.hub is get_hub():
        _running.close()
    _running = None
