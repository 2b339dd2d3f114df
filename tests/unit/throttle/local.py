"""Both sides of throttles in one process, with hooks for tests."""

from __future__ import annotations

from collections.abc import Mapping

from gevent import get_hub

from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.messages.throttle import THROTTLE_TO_WORKER, ThrottleToWorker
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.throttle.controller import Pacer
from amoc.throttle.worker import Gate

HERE = WorkerId("here", 0, 1)


def connect(rates: Mapping[str, str] | None = None) -> tuple[Pacer, Gate]:
    """Return a pacer and a gate that are connected; spawn the pacer's `run`, attach the gate."""
    gathered: list[bytes] = []

    def deliver() -> None:
        body = b"".join(gathered)
        gathered.clear()
        gate.handle(body)

    def post(_origin: WorkerId, record: ThrottleToWorker) -> None:
        gathered.append(THROTTLE_TO_WORKER.pack(record))
        if len(gathered) == 1:
            get_hub().loop.run_callback(deliver)

    def send(worker: WorkerId, envelope: Envelope) -> None:
        pacer.handle(worker, envelope.body)

    pacer = Pacer(post, rates=rates)
    gate = Gate(HERE, Outbox(send))
    pacer.worker_up(HERE)
    return pacer, gate
