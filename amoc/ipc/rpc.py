"""Calls: what a scenario asks of the controller, and how it hears the answer.

`throttle.start`, `coordinator.start` and their like are decided in one place, the controller. Who
asks depends on where the scenario's code runs:

- a user (or any greenlet) of a worker: the call travels up, its answer comes back, meanwhile the
  caller waits;
- init(), in the supervisor, where nothing may run yet: the call is noted, and made by the
  controller before there is a worker. What it refuses fails the run as if init() had raised;
- ``amoc check --run`` and tests: the handler of their context answers in this process.
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
"""How long the controller may take to answer."""
ADD_USERS, REMOVE_USERS = "users.add", "users.remove"
"""Have users come and go, as an operator's commands do."""
XMPPD_ADDRESS = "xmppd.address"
"""Asks for the address of the embedded XMPP server, which starts when it is first asked for."""
XMPPD_S = 60.0
"""How long the embedded XMPP server may take to listen."""


class Handler:
    """Takes the calls of a process; a worker's context has one."""

    def __call__(
        self,
        operation: str,
        arguments: tuple[object, ...],
        timeout_s: float,
        interruptible: bool,
        /,
    ) -> object:
        """Answer the call, or see that it is answered."""
        raise NotImplementedError


class NoAnswer(PeerError):
    """A call was not answered in time."""


class Later:
    """What an operation returns that answers when it is done, not at once.

    Attributes:
        is_done: Whether it has answered.
        error: Why it was refused; empty if it was not.
        value: What it answers.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.error = ""
        self.value: object = None
        self._answer: Callable[[], None] | None = None

    def done(self, value: object = None, error: str = "") -> None:
        """It is done: answer `value`, or refuse because of `error`."""
        self.is_done = True
        self.value, self.error = value, error
        if self._answer is not None:
            self._answer()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is done, in this process; whether it is within `timeout_s`."""
        bell = Notify()
        self.when_done(bell.ring)
        return bell.wait(timeout_s)

    def when_done(self, answer: Callable[[], None]) -> None:
        """Call `answer` when it is done, or now."""
        self._answer = answer
        if self.is_done:
            answer()


def ask(
    operation: str, *arguments: object, timeout_s: float = TIMEOUT_S, interruptible: bool = False
) -> Any:  # each operation has an answer of its own
    """Ask the controller for `operation`, ``throttle.start`` say; what it answers.

    Args:
        operation: A part of the controller, a dot, and what it is to do.
        arguments: Whatever msgpack can pack.
        timeout_s: How long the answer may take.
        interruptible: Whether a user that is asked to stop waits for it no longer.

    Raises:
        UserStopped: The user was asked to stop.
        ScenarioError: It was refused.
        PeerError: There is no answer within `timeout_s`.
        ClosedError: There is no run.
    """
    handler = find(Handler)
    if handler is None:
        raise ClosedError(
            f"{operation} is available only in a run; to try it, use amoc check --run"
        )
    return handler(operation, arguments, timeout_s, interruptible)


class Recorder(Handler):
    """Takes the calls of init(): they are noted, and made later."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self._started: dict[tuple[str, object], list[object]] = {}

    def __call__(self, operation: str, arguments: tuple[object, ...], *_how: object) -> object:
        """Note a call; of a start, say whether there was none like it, as the controller does."""
        pack(arguments)  # what cannot travel is told now, where it can be seen
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
    """Note the calls that are made within the block."""
    recorder, context = Recorder(), WorkerContext()
    context.set(Handler, recorder)
    with context.activated():
        yield recorder


class RpcClient(Handler):
    """Takes the calls of a worker: they go to the controller, and their answers come back."""

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
        """Send the call up and wait for its answer."""
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
        """Answers have come; those whose caller has given up are passed over."""
        for answer in ANSWERS.unpack_stream(body):
            waiter = self._callers.get(answer.number)
            if waiter is not None:
                waiter.set(answer)
                waiter.wake()


class RpcServer:
    """The controller's end: makes the calls, each by its operation.

    Attributes:
        operations: What can be asked, by name: ``throttle.start``. Called with the asking worker
            (None for init()) and the arguments; an `AmocError` refuses, a `Later` answers later.
    """

    def __init__(self, reply: Callable[[WorkerId, Answer], None]) -> None:
        self.operations: dict[str, Callable[..., object]] = {}
        self._reply = reply

    def do(self, origin: WorkerId | None, operation: str, *arguments: object) -> object:
        """Make one call.

        Raises:
            AmocError: It is refused.
        """
        known = self.operations.get(operation)
        if known is None:
            raise ScenarioError(f"the controller has no operation {operation}")
        return known(origin, *arguments)

    def handle(self, origin: WorkerId, body: bytes | memoryview) -> None:
        """Make the calls of a worker and answer them."""
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
