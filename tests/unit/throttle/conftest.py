from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from amoc.base import pause
from amoc.base.context import WorkerContext
from amoc.ipc.rpc import Handler, Later
from amoc.throttle.worker import Gate
from tests.unit.throttle.local import connect
from tests.unit.throttle.support import DEADLINE_S, Here, Used


@pytest.fixture
def here() -> Iterator[Here]:
    """Both ends of the throttles, connected, and the calls of scenarios go to them."""
    used: list[Used] = []
    pacer, gate = connect()
    gate.record_slots(lambda *fields: used.append(Used(*fields)))

    def handle(
        operation: str, arguments: tuple[Any, ...], _timeout_s: float, _interruptible: bool
    ) -> Any:
        answer = pacer.operations[operation](None, *arguments)
        if isinstance(answer, Later):
            assert answer.wait(DEADLINE_S), operation
        return answer

    context = WorkerContext()
    context.set(Gate, gate)
    context.set(Handler, handle)
    one = Here(pacer, gate, used)
    one.spawn(pacer.run)
    with context.activated():
        yield one
    gevent.killall(one.greenlets)
    gate.close()
    pause.resume()
