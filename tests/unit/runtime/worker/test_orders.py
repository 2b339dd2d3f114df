"""Orders in a worker: carried out and answered, or refused with a reason."""

from __future__ import annotations

from types import SimpleNamespace

import gevent
import pytest

from amoc.base import pause
from amoc.base.errors import PeerError, SettingError
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.orders import (
    ORDER_REPLIES,
    ORDERS,
    ApplySettings,
    CountUsers,
    Done,
    Order,
    OrderReply,
    Pause,
    Refused,
    RemoveIds,
    RemoveUsers,
    Resume,
    RevertSettings,
    UserCounts,
    UsersRemoved,
    VerifySettings,
)
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.worker import orders
from amoc.runtime.worker.orders import OrderHandler
from amoc.scenario.live_settings import Applied
from amoc.users.removal import Removal

DEADLINE_S = 60.0
HERE = WorkerId("node0", 1, 2)


class Users:
    """Three users, and two that have not started."""

    queued, removable, highest_id = 2, 5, 9

    def __init__(self) -> None:
        self.refreshed = 0

    def __len__(self) -> int:
        return 3

    def remove(self, count: int, force: bool) -> Removal:
        return Removal(killed=count) if force else Removal(asked=count)

    def remove_ids(self, ids: list[int], force: bool) -> Removal:
        assert not force
        return Removal(asked=len(ids))

    def refresh(self) -> None:
        self.refreshed += 1


class Worker:
    """A worker and its replies."""

    def __init__(self) -> None:
        self.users = Users()
        self.sent: list[Envelope] = []
        outbox = Outbox(lambda _, envelope: self.sent.append(envelope), gather_s=0)
        self.handler = OrderHandler(HERE, self.users, outbox)  # type: ignore[arg-type]

    def do(self, *given: Order) -> list[OrderReply]:
        """Receive all orders at once; return the replies."""
        self.handler.handle(b"".join(map(ORDERS.pack, given)))
        replies: list[OrderReply] = []
        with gevent.Timeout(DEADLINE_S):
            while len(replies) < len(given):
                gevent.sleep(0)
                for envelope in self.sent:
                    assert envelope.header() == (Part.CONTROL, 1, 2)
                    replies += ORDER_REPLIES.unpack_stream(envelope.body)
                self.sent.clear()
        return replies


@pytest.fixture
def worker():
    yield Worker()
    pause.reset()


def test_orders_are_answered_in_order_with_their_numbers(worker):
    assert worker.do(CountUsers(1), RemoveUsers(2, 4, False), RemoveUsers(3, 4, True)) == [
        UserCounts(1, 3, 2, 5, 9),
        UsersRemoved(2, 4, 0, 0, 0, []),
        UsersRemoved(3, 0, 4, 0, 0, []),
    ]
    assert worker.do(RemoveIds(4, [7, 8])) == [UsersRemoved(4, 2, 0, 0, 0, [])]


def test_a_removal_is_answered_with_counts_by_outcome(worker, monkeypatch):
    found = Removal(asked=1, killed=2, withdrawn=3, not_again=4, stuck=(5, 6))
    monkeypatch.setattr(worker.users, "remove", lambda *_: found)
    (answer,) = worker.do(RemoveUsers(7, 10, True))
    assert answer._asdict() == {"number": 7, **found._asdict(), "stuck": [5, 6]}


def test_pause_and_resume_are_carried_out(worker):
    (reply,) = worker.do(Pause(1))
    assert reply == Done(1, "3 users, each stops at its next call to amoc")
    assert pause.clock.since_ns
    assert worker.do(Resume(2)) == [Done(2, "3 users resumed")]
    assert not pause.clock.since_ns


def test_settings_are_verified_applied_and_reverted(worker, monkeypatch):
    calls = []
    live = SimpleNamespace(
        verify=lambda values: calls.append(("verify", values)),
        apply=lambda values: Applied({"rate": (1, 5)}, ""),
        revert=lambda values, initial: calls.append(("revert", values, initial)),
    )
    monkeypatch.setattr(orders, "live_settings", live)
    replies = worker.do(
        VerifySettings(1, {"rate": "5"}),
        ApplySettings(2, {"rate": "5"}),
        RevertSettings(3, {}, ["rate"]),
    )
    assert replies == [Done(1, "verified"), Done(2, "rate is 5 now, was 1"), Done(3, "reverted")]
    assert calls == [("verify", {"rate": "5"}), ("revert", {}, ["rate"])]
    assert worker.users.refreshed == 2


def test_refusals_are_answered_with_a_reason_and_defects_with_a_traceback(worker, monkeypatch):
    def refuse(values):
        raise SettingError("rate must be above 0") if "rate" in values else KeyError("a defect")

    monkeypatch.setattr(orders, "live_settings", SimpleNamespace(verify=refuse))
    refused, defect = worker.do(VerifySettings(1, {"rate": 0}), VerifySettings(2, {}))
    assert refused == Refused(1, "rate must be above 0")
    assert isinstance(defect, Refused)
    assert "Traceback" in defect.error
    assert "a defect" in defect.error


def test_an_unknown_order_raises_an_error_that_names_it(worker):
    with pytest.raises(PeerError, match=r"expected a known message, got .*Done"):
        worker.handler.handle(ORDER_REPLIES.pack(Done(1, "")))
