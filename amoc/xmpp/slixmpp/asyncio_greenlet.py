"""An asyncio event loop in one greenlet of the process, and calls into it from other greenlets.

The loop uses gevent's selector, so other greenlets run while asyncio is idle. Everything in asyncio
shares this one greenlet: it must await, and must not wait for gevent or amoc, or all of asyncio in
this process stalls.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

import gevent
from gevent import get_hub, getcurrent
from gevent.selectors import GeventSelector

from amoc.base.errors import ScenarioError
from amoc.base.waiting import AnyWaiter, Waiter, wait

T = TypeVar("T")

Work = Awaitable[T] | Callable[[], Awaitable[T] | T]
"""An awaitable, or a function to be called in asyncio, whose result is awaited if awaitable."""


class CallTimedOut(Exception):
    """A call into asyncio exceeded its time limit; a TimeoutError would be the callee's."""


class _LoopGreenlet(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """Runs the loop for all users, and does not belong to the user that happened to start it."""

    outlives_users: Final = True


class _Call(Generic[T]):
    """A call from a greenlet into asyncio.

    Attributes:
        ended: Whether asyncio has finished it.
    """

    __slots__ = ("_task", "_waiter", "_work", "ended")

    def __init__(self, work: Work[T], waiter: Waiter[T]) -> None:
        self._work = work
        self._waiter = waiter
        self._task: asyncio.Future[T] | None = None
        self.ended = False

    def start(self) -> None:
        """Start the work; called in asyncio."""
        if self.ended:
            return
        try:
            found = self._work() if callable(self._work) else self._work
            if inspect.isawaitable(found):
                self._task = asyncio.ensure_future(found)
                self._task.add_done_callback(self._done)
                return
        except BaseException as error:  # for the caller
            self._waiter.fail(error)
        else:
            self._waiter.set(found)
        self._finish()

    def cancel(self) -> None:
        """Cancel the work, since nothing waits for it any more; called in asyncio."""
        if self._task is None:
            self.ended = True
            close_unawaited(self._work)
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
        self.ended = True
        self._waiter.wake()


def close_unawaited(work: Work[object]) -> None:
    """Close a coroutine that will never be awaited, to avoid asyncio's warning."""
    if asyncio.iscoroutine(work):
        work.close()


class AsyncioGreenlet:
    """An asyncio event loop that runs in its own greenlet.

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
            except BaseException as error:  # asyncio lets SystemExit end the shared loop
                self._report(None, error)

    def close(self) -> None:
        """Stop the loop and everything that still runs in it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._closing = True
        self._greenlet.join()
        self.loop.close()

    def run(self, work: Work[T], timeout: float, waiting: set[AnyWaiter]) -> T:
        """Run `work` in asyncio while the calling greenlet waits.

        Args:
            work: The work.
            timeout: Seconds, not counting pauses of the run.
            waiting: Contains the waiter during the wait, so that others can end it.

        Returns:
            The result of `work`.

        Raises:
            CallTimedOut: It exceeded the timeout, and was cancelled.
            ScenarioError: The caller runs in asyncio itself, and would wait for itself.
            BaseException: An error that `work` raised, or an interrupt of the caller, upon which
                the work was cancelled.
        """
        if getcurrent() is self._greenlet:
            close_unawaited(work)
            raise ScenarioError(
                "code that runs in asyncio, such as a handler of slixmpp, must await, not wait"
            )
        waiter: Waiter[T] = Waiter()
        call = _Call(work, waiter)
        waiting.add(waiter)
        self.loop.call_soon_threadsafe(call.start)
        try:
            if not wait(waiter, timeout):
                raise CallTimedOut
        finally:
            waiting.discard(waiter)
            if not call.ended:
                self.loop.call_soon_threadsafe(call.cancel)
        return waiter.value  # type: ignore[return-value]  # it is done

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Schedule `call` for asyncio's next turn; does not wait."""
        self.loop.call_soon_threadsafe(call, *arguments)

    def _failed(self, _loop: object, context: Mapping[str, object]) -> None:
        """Report a failure in asyncio that no pending call waits for."""
        error = context.get("exception")
        if not isinstance(error, BaseException):
            error = RuntimeError(context["message"])
        self._report(context.get("task"), error)

    def _report(self, what: object, error: BaseException) -> None:
        self.hub.handle_error(what or self.loop, type(error), error, error.__traceback__)


_running: AsyncioGreenlet | None = None


def running() -> AsyncioGreenlet:
    """Return this process's asyncio greenlet, started on the first call."""
    global _running
    if _running is None or _running.hub is not get_hub():
        _running = AsyncioGreenlet()
    return _running


def stop() -> None:
    """Stop this process's asyncio greenlet, if any: no other loop can run in its thread."""
    global _running
    if _running is not None and _running.hub is get_hub():
        _running.close()
    _running = None
