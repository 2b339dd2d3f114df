from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from amoc.base import pause
from amoc.ipc import rpc
from amoc.throttle import worker as gates
from tests.unit.throttle.local import connect
from tests.unit.throttle.support import Here, Used


@pytest.fixture
def here() -> Iterator[Here]:
    """Both ends of the throttles, connected, and the calls of scenarios go to them."""
    used: list[Used] = []
    pacer, gate = connect()
    gate.record_slots(lambda *fields: used.append(Used(*fields)))

    def handle(operation: str, arguments: tuple[Any, ...], _timeout_s: float) -> Any:
        return pacer.operations[operation](None, *arguments)

    rpc.install(handle)
    gates.attach(gate)
    one = Here(pacer, gate, used)
    one.spawn(pacer.run)
    yield one
    gevent.killall(one.greenlets)
    gate.close()
    gates.attach(None)
    rpc.install(None)
    pause.resume()
