"""Users that reconnect after each loss of their connection, as phones do.

If very many users lose their connections at once, they must not all reconnect at once. So each
waits for a random pause, longer after each failure, and may have to pass a throttle.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Unpack

from amoc.base import pause
from amoc.base.backoff import backoff
from amoc.base.errors import ClosedError
from amoc.base.waiting import Waiter, wait
from amoc.scenario import pacing
from amoc.xmpp import meters, options
from amoc.xmpp.client import Client
from amoc.xmpp.connection.connecting import connect_by, resume_by
from amoc.xmpp.connection.plan import ConnectOptions, Plan, plan_of
from amoc.xmpp.connection.retrying import RetryPolicy
from amoc.xmpp.errors import XmppError


class ReturningClient(Client):
    """A client whose ``with`` block ends when the connection is lost.

    Attributes:
        resumed: Whether its session was resumed: then nothing was lost, and presence and the like
            need not be sent again.
    """

    __slots__ = ("resumed",)

    resumed: bool

    @property
    def lost_ns(self) -> int | None:
        """When the connection was lost or cut, in run time (pauses excluded); None if not."""
        return self._session.lost_ns

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        meant = kind is None or issubclass(kind, XmppError | ClosedError)
        if self.lost_ns is None or not meant:
            super().__exit__(kind, error, trace)
            return False
        self._session.mark_closed()
        return True

    def return_by(self, plan: Plan, policy: RetryPolicy) -> None:
        """Continue with a resumed or new session; handlers and rooms do not outlast a block."""
        self._session.end_followers()
        self._on_sent = None
        try:
            self.resumed = resume_by(plan, self._session, policy)
        except BaseException:
            self._session.end_for_good()
            raise


def staying_connected(
    user_id: int | None = None, **options_of_connect: Unpack[ConnectOptions]
) -> Iterator[ReturningClient]:
    """Yield a client, and another after each loss of the connection, while the user runs.

        for client in xmpp.staying_connected(user_id):
            with client:
                client.send_presence()
                ...

    The ``with`` block ends without an exception when the connection is lost, and the loop continues
    with the next client. The loop ends when a block ends with its connection intact, and when the
    user is asked to stop. A resumable client (XEP-0198) is resumed where possible, see
    `ReturningClient.resumed`. Handlers last for one block.

    A user reconnects after a mean pause of xmpp_reconnect_pause, longer after each failure, and
    once xmpp_reconnect_throttle lets it pass; it retries until it succeeds. The timer ``outage``
    records the time from a loss to the next session.

    Args:
        user_id: The user's number; None for the number of the calling user.
        options_of_connect: As in `connect`; `attempts` has no effect.

    Raises:
        SaslError, ScenarioError, XmppError: A retry would not help, as with a wrong password.
    """
    plan = plan_of(user_id, **options_of_connect)
    policy = RetryPolicy(sys.maxsize, _pause, before=_pace)
    client = connect_by(plan, policy, ReturningClient)
    client.resumed = False
    while True:
        try:
            yield client
        finally:
            if client.is_open:  # the block has ended, or the loop was left
                client.close()
        lost_ns = client.lost_ns
        if lost_ns is None:
            return
        wait(Waiter(), _pause(1))
        if plan.management == options.RESUMABLE:
            client.return_by(plan, policy)
        else:
            client = connect_by(plan, policy, ReturningClient)
            client.resumed = False
        meters.outage.record_ns(pause.clock.run_ns() - lost_ns)


def _pause(failures: int) -> float:
    first, most = options.xmpp_reconnect_pause.get(), options.xmpp_reconnect_max_pause.get()
    return backoff(failures, first, most, random.random())


def _pace() -> None:
    throttle = options.xmpp_reconnect_throttle.get()
    if throttle:
        pacing.wait(throttle)
