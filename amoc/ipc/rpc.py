"""RPC calls from a scenario to the controller.

Operations such as `throttle.start` and `coordinator.start` are carried out in a single place, the
controller. The path of a call depends on where the scenario's code runs:

- a user (or any greenlet) of a worker: the call is sent to the controller, and the caller waits for
  the answer;
- init(), in the supervisor, where nothing may run yet: the call is recorded, and carried out by the
  controller before workers exist. If it is refused, the run fails as if init() had raised;
- ``amoc check --run`` and tests: the handler in their context answers within the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from amoc.base import pause
from amoc.base.context import WorkerContext, find
from amoc.base.errors import AmocError, ClosedError, PeerError, ScenarioError
from amoc.base.waiting import Notify, Waiter, wait
from amoc.ipc.messages.codec import pack
from amoc.ipc.messages.envelope import Part
from amoc.ipc.messages.rpc import ANSWERS, CALLS, Answer, Call
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId

TIMEOUT_S = 10.0
"""Timeout of an answer from the controller."""
ADD_USERS, REMOVE_USERS = "users.add", "users.remove"
"""Add or remove users, like the operator's commands."""
XMPPD_ADDRESS = "xmppd.address"
"""Returns the address of the embedded XMPP server, and starts it at the first call."""
XMPPD_S = 60.0
"""Timeout of the start of the embedded XMPP server."""


class Handler:
    """Handles the calls of a process; a worker's context has one."""

    def __call__(
        self,
        operation: str,
        arguments: tuple[object, ...],
        timeout_s: float,
        interruptible: bool,
        /,
    ) -> object:
        """Carry out the call, or forward it, and return the answer."""
        raise NotImplementedError


class NoAnswer(PeerError):
    """A call was not answered in time."""


class Later:
    """The result of an operation that answers later, when it is done.

    Attributes:
        is_done: Whether it is done.
        error: Why it was refused; empty if it was not.
        value: The answer.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.error = ""
        self.value: object = None
        self._answer: Callable[[], None] | None = None

    def done(self, value: object = None, error: str = "") -> None:
        """Answer with `value`, or refuse with `error`."""
        self.is_done = True
        self.value, self.error = value, error
        if self._answer is not None:
            self._answer()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is done, in this process; return whether it is within `timeout_s`."""
        bell = Notify()
        self.when_done(bell.ring)
        return bell.wait(timeout_s)

    def when_done(self, answer: Callable[[], None]) -> None:
        """Call `answer` once it is done, at once if it already is."""
        self._answer = answer
        if self.is_done:
            answer()


def ask(
    operation: str, *arguments: object, timeout_s: float = TIMEOUT_S, interruptible: bool = False
) -> Any:  # Any: each operation has an answer of its own
    """Call an operation of the controller, such as ``throttle.start``, and return the answer.

    Args:
        operation: A part of the controller, a dot, and the operation's name.
        arguments: Anything msgpack can pack.
        timeout_s: The timeout of the answer.
        interruptible: Whether a request to stop the user ends the wait.

    Raises:
        UserStopped: The user was asked to stop.
        ScenarioError: The call was refused.
        PeerError: There was no answer within `timeout_s`.
        ClosedError: There is no run.
    """
    handler = find(Handler)
    if handler is None:
        raise ClosedError(
            f"{operation} is available only in a run; to try it, use amoc check --run"
        )
    return handler(operation, arguments, timeout_s, interruptible)


class Recorder(Handler):
    """Records the calls of init(), to be carried out later."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self._started: dict[tuple[str, object], list[object]] = {}

    def __call__(self, operation: str, arguments: tuple[object, ...], *_how: object) -> object:
        """Record a call; for a start, return like the controller whether it is the first."""
        pack(arguments)  # raises here, where the caller sees it, if they cannot be packed
        part, _, what = operation.partition(".")
        if what == "state":
            raise ScenarioError(f"{operation} is not available in init(): nothing has started yet")
        if what == "start":
            name, *given = arguments
            known = self._started.get((part, name))
            if known is not None and (part != "throttle" or known != given):
                raise ScenarioError(f"{part} {name} is already started")
            self._started[part, name] = given
            if known is not None:
                return [False, []]
        elif what == "stop":
            self._started.pop((part, arguments[0]), None)
        self.calls.append((operation, arguments))
        return [True, []] if what == "start" else None


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the calls made within the block."""
    recorder, context = Recorder(), WorkerContext()
    context.set(Handler, recorder)
    with context.activated():
        yield recorder


class RpcClient(Handler):
    """Sends the calls of a worker to the controller, and waits for the answers."""

    def __init__(self, worker: WorkerId, outbox: Outbox) -> None:
        self._worker = worker
        self._outbox = outbox
        self._number = 0
        self._callers: dict[int, Waiter[Answer]] = {}

    def __call__(
        self,
        operation: str,
        arguments: tuple[object, ...],
        timeout_s: float,
        interruptible: bool,
        /,
    ) -> object:
        """Send the call and wait for its answer."""
        self._number += 1
        number = self._number
        call = CALLS.pack(Call(number, operation, arguments))
        waiter = self._callers[number] = Waiter()
        try:
            self._outbox.put(Part.CALLS, self._worker, call)
            if not (wait if interruptible else Waiter.wait)(waiter, timeout_s):
                raise NoAnswer(f"{operation} was not answered within {timeout_s:g} s")
        finally:
            del self._callers[number]
        pause.wait_resumed()
        assert waiter.value is not None
        if waiter.value.error:
            raise ScenarioError(waiter.value.error)
        return waiter.value.value

    def handle(self, body: bytes | memoryview) -> None:
        """Deliver answers to callers; ignore those whose caller has given up."""
        for answer in ANSWERS.unpack_stream(body):
            waiter = self._callers.get(answer.number)
            if waiter is not None:
                waiter.set(answer)
                waiter.wake()


class RpcServer:
    """The controller's end, which carries out calls.

    Attributes:
        operations: Functions by name: ``throttle.start``. They are called with the calling worker
            (None for init()) and the arguments. Raising `AmocError` refuses the call, returning a
            `Later` answers it later.
    """

    def __init__(self, reply: Callable[[WorkerId, Answer], None]) -> None:
        self.operations: dict[str, Callable[..., object]] = {}
        self._reply = reply

    def do(self, origin: WorkerId | None, operation: str, *arguments: object) -> object:
        """Carry out a call.

        Raises:
            AmocError: It is refused.
        """
        known = self.operations.get(operation)
        if known is None:
            raise ScenarioError(f"the controller has no operation {operation}")
        return known(origin, *arguments)

    def handle(self, origin: WorkerId, body: bytes | memoryview) -> None:
        """Carry out the calls of a worker and answer them."""
        for call in CALLS.unpack_stream(body):
            error, value = "", None
            try:
                value = self.do(origin, call.operation, *call.arguments)
            except AmocError as refused:
                error = str(refused)
            except TypeError as wrong:
                error = f"{call.operation} cannot be called like this: {wrong}"
            if isinstance(value, Later):
                value.when_done(partial(self._reply_later, origin, call.number, value))
            else:
                self._reply(origin, Answer(call.number, error, value))

    def _reply_later(self, origin: WorkerId, number: int, later: Later) -> None:
        self._reply(origin, Answer(number, later.error, later.value))
