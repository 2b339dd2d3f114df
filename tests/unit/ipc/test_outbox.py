"""The outbox: one envelope per addressee, in order."""

from __future__ import annotations

import gevent
import pytest

from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.rpc import CALLS, Call
from amoc.ipc.outbox import FULL_BYTES, GATHER_S, Outbox
from amoc.ipc.worker_id import WorkerId

DEADLINE_S = 60.0
HERE = WorkerId("node0", 1, 7)
OTHER = WorkerId("node0", 2, 0)


class Way:
    """What has left."""

    def __init__(self, gather_s: float = GATHER_S) -> None:
        self.sent: list[tuple[WorkerId, Envelope]] = []
        self.together: list[int] = []
        self.outbox = Outbox(
            lambda *sent: self.sent.append(sent),
            gather_s,
            lambda: self.together.append(len(self.sent)),
        )

    def wait(self) -> None:
        with gevent.Timeout(DEADLINE_S):
            while not self.sent:
                gevent.sleep(0)


@pytest.mark.parametrize("gather_s", [0, GATHER_S])
def test_it_makes_one_envelope_of_what_comes_together(gather_s):
    way = Way(gather_s)
    way.outbox.put(Part.CALLS, HERE, CALLS.pack(Call(1, "a", [])))
    way.outbox.put(Part.MAIL, OTHER, b"\x01")
    send = way.outbox.sender(Part.CALLS, CALLS)
    way.outbox.at_flush(lambda: send(HERE, Call(2, "b", [])))
    assert not way.sent
    way.wait()
    found = {(worker, one.header()): one.body for worker, one in way.sent}
    assert found.keys() == {(HERE, (Part.CALLS, 1, 7)), (OTHER, (Part.MAIL, 2, 0))}
    calls = CALLS.unpack_stream(found[HERE, (Part.CALLS, 1, 7)])
    assert [call.number for call in calls] == [1, 2]
    assert len(way.sent) == 2
    assert way.together == [2]


@pytest.mark.parametrize("gather_s", [0, GATHER_S])
def test_what_is_flushed_has_left_and_what_comes_after_leaves_too(gather_s):
    way = Way(gather_s)
    way.outbox.put(Part.MAIL, OTHER, b"\x01")
    way.outbox.flush()
    assert [one.body for _, one in way.sent] == [b"\x01"]
    way.sent.clear()
    way.outbox.put(Part.MAIL, OTHER, b"\x02")
    way.wait()
    assert [one.body for _, one in way.sent] == [b"\x02"]


def test_a_large_envelope_does_not_wait_for_company():
    way = Way()
    way.outbox.put(Part.MAIL, OTHER, bytes(FULL_BYTES))
    assert [len(one.body) for _, one in way.sent] == [FULL_BYTES]
    assert way.together == [1]


def test_what_is_put_by_the_last_call_before_leaving_is_not_left_behind():
    way = Way()

    def again() -> None:
        way.outbox.at_flush(lambda: way.outbox.put(Part.MAIL, OTHER, b"\x02"))

    way.outbox.at_flush(again)
    way.wait()
    assert way.sent[0][1].body == b"\x02"
