"""The desk: the controller's end of calls (`amoc.ipc.rpc`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amoc.base.errors import AmocError, ScenarioError
from amoc.ipc import messages
from amoc.ipc.messages import Answer, Record
from amoc.ipc.worker_id import WorkerId


class RpcServer:
    """Makes the calls, each by its operation.

    Attributes:
        operations: What can be asked, by name: ``throttle.start``. Called with the asking worker
            (None for init()) and the arguments; an `AmocError` refuses.
    """

    def __init__(self, post: Callable[[WorkerId, str, Record], None]) -> None:
        self.operations: dict[str, Callable[..., Any]] = {}
        self._post = post

    def do(self, origin: WorkerId | None, operation: str, *arguments: Any) -> Any:
        """Make one call.

        Raises:
            AmocError: It is refused.
        """
        known = self.operations.get(operation)
        if known is None:
            raise ScenarioError(f"{operation} is nothing that the controller can do")
        return known(origin, *arguments)

    def hear(self, origin: WorkerId, body: bytes) -> None:
        """Make the calls of a worker and answer them."""
        for call in messages.unpack_stream(body):
            error, value = "", None
            try:
                value = self.do(origin, call.operation, *call.arguments)
            except AmocError as refused:
                error = str(refused)
            except TypeError as wrong:
                error = f"{call.operation} cannot be called so: {wrong}"
            self._post(origin, "calls", Answer(call.number, error, value))
