"""The worker's side of orders: carries out the controller's orders, and replies.

An order is answered when it is done, so that the controller can tell the operator what each worker
did. Each order is carried out in its own greenlet, started in order of arrival. If it raises, the
reply contains the error.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping

import gevent

from amoc.base import pause, redaction
from amoc.base.errors import AmocError, SettingError
from amoc.base.text import counted
from amoc.ipc.messages import orders
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.worker.user_pool import UserPool
from amoc.scenario import live_settings
from amoc.scenario.events import SETTINGS_CHANGED


class OrderHandler:
    """Carries out the orders to one worker."""

    def __init__(self, worker: WorkerId, pool: UserPool, outbox: Outbox) -> None:
        self._worker = worker
        self._pool = pool
        self._reply = outbox.sender(Part.CONTROL, orders.ORDER_REPLIES)

    def handle(self, body: bytes | memoryview) -> None:
        """Start to carry out the orders of an envelope."""
        for order in orders.ORDERS.unpack_stream(body):
            gevent.spawn(self._answer, order)

    def _answer(self, order: orders.Order) -> None:
        try:
            reply = self._carry_out(order)
        except AmocError as refused:
            reply = orders.Refused(order.number, str(refused))
        except BaseException:
            reply = orders.Refused(order.number, traceback.format_exc())
        self._reply(self._worker, reply)

    def _carry_out(self, order: orders.Order) -> orders.OrderReply:
        pool = self._pool
        match order:
            case orders.CountUsers(number):
                counts = len(pool), pool.queued, pool.removable
                return orders.UserCounts(number, *counts, pool.highest_id)
            case orders.RemoveUsers(number, count, force):
                return orders.UsersRemoved(number, *pool.remove(count, force))
            case orders.RemoveRange(number, first, last, force):
                return orders.UsersRemoved(number, *pool.remove_range(first, last, force))
            case orders.RemoveIds(number, ids):
                return orders.UsersRemoved(number, *pool.remove_ids(ids, force=False))
            case orders.Pause(number):
                pause.pause()
                users = counted(len(pool), "user")
                return orders.Done(number, f"{users}, each stops at its next call to amoc")
            case orders.Resume(number):
                pause.resume()
                return orders.Done(number, f"{counted(len(pool), 'user')} resumed")
            case orders.VerifySettings(number, values):
                live_settings.verify(values)
                return orders.Done(number, "verified")
            case orders.ApplySettings(number, values):
                return orders.Done(number, self._apply(values))
            case orders.RevertSettings(number, values, initial):
                problems = live_settings.revert(values, initial)
                pool.refresh()
                if problems:
                    return orders.Refused(number, problems)
                return orders.Done(number, "reverted")

    def _apply(self, values: Mapping[str, object]) -> str:
        applied = live_settings.apply(values)
        self._pool.refresh()
        if applied.problem:
            raise SettingError(applied.problem)
        SETTINGS_CHANGED(changed=_without_secrets(applied.changed))
        texts = [
            f"{name} is {redaction.shown(name, new)} now, was {redaction.shown(name, old)}"
            for name, (old, new) in applied.changed.items()
        ]
        return "; ".join(texts) or "nothing to change"


def _without_secrets(
    changed: Mapping[str, tuple[object, object]],
) -> dict[str, tuple[object, object]]:
    """Return the old and new values of settings, with secrets hidden."""
    return {
        name: (redaction.HIDDEN, redaction.HIDDEN)
        if redaction.is_secret(name)
        else (redaction.hide(old), redaction.hide(new))
        for name, (old, new) in changed.items()
    }
