"""The worker's end of orders: does what the controller wants done now, and says what it did.

An order is answered when it is done, so the controller can tell the operator what each worker did.
Each is carried out in a greenlet of its own, in the order in which they came; one that raises is
answered with what it raised.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from amoc.base import pause, redaction
from amoc.base.errors import AmocError, SettingError
from amoc.base.text import counted
from amoc.ipc.messages import DONE, ORDERS, Done, Order, Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.worker.user_pool import UserPool
from amoc.scenario import live_settings
from amoc.scenario.events import SETTINGS_CHANGED

Answer = dict[str, Any]


class OrderHandler:
    """Carries out the orders that one worker gets."""

    def __init__(self, worker: WorkerId, crowd: UserPool, outbox: Outbox) -> None:
        self._worker = worker
        self._crowd = crowd
        self._outbox = outbox
        self._do: Mapping[str, Callable[..., Answer]] = {
            "count": self._count,
            "remove": self._remove,
            "remove_ids": self._remove_ids,
            "pause": self._pause,
            "resume": self._resume,
            "verify": self._verify,
            "apply": self._apply,
            "revert": self._revert,
        }

    def hear(self, body: bytes | memoryview) -> None:
        """Begin to carry out the orders of an envelope."""
        for order in ORDERS.unpack_stream(body):
            gevent.spawn(self._carry_out, order)

    def _carry_out(self, order: Order) -> None:
        error, answer = "", Answer()
        try:
            answer = self._do[order.what](**order.arguments)
        except AmocError as refused:
            error = str(refused)
        except Exception:
            error = traceback.format_exc()
        done = DONE.pack(Done(order.number, error, answer))
        self._outbox.put(Part.CONTROL, self._worker, done)

    def _count(self) -> Answer:
        crowd = self._crowd
        return {"alive": len(crowd), "queued": crowd.queued, "removable": crowd.removable}

    def _remove(self, count: int, force: bool) -> Answer:
        removal = self._crowd.remove(count, force)
        return {**removal._asdict(), "text": removal.text()}

    def _remove_ids(self, ids: list[int]) -> Answer:
        return self._crowd.remove_ids(ids, force=False)._asdict()

    def _pause(self) -> Answer:
        pause.hold()
        users = counted(len(self._crowd), "user")
        return {"text": f"{users}, each stops at its next call of amoc"}

    def _resume(self) -> Answer:
        pause.release()
        return {"text": f"{counted(len(self._crowd), 'user')} go on"}

    def _verify(self, values: Mapping[str, Any]) -> Answer:
        live_settings.verify(values)
        return {"text": "verified"}

    def _apply(self, values: Mapping[str, Any]) -> Answer:
        applied = live_settings.put(values)
        self._crowd.refresh()
        if applied.problem:
            raise SettingError(applied.problem)
        if SETTINGS_CHANGED.heard:
            SETTINGS_CHANGED(changed=_without_secrets(applied.changed))
        texts = [
            f"{name} is {redaction.shown(name, new)} now, was {redaction.shown(name, old)}"
            for name, (old, new) in applied.changed.items()
        ]
        return {"text": "; ".join(texts) or "nothing to change"}

    def _revert(self, values: Mapping[str, Any], initial: list[str]) -> Answer:
        live_settings.revert(values, initial)
        self._crowd.refresh()
        return {"text": "reverted"}


def _without_secrets(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """What settings have changed from and to, as it may be shown."""
    return {
        name: (redaction.HIDDEN, redaction.HIDDEN)
        if redaction.is_secret(name)
        else (redaction.hide(old), redaction.hide(new))
        for name, (old, new) in changed.items()
    }
