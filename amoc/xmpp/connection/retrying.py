"""Attempts to connect: which are retried, when, and how they are counted."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Final, NamedTuple, TypeVar

from greenlet import GreenletExit

from amoc.base.backoff import backoff
from amoc.base.clock import S_NS
from amoc.base.waiting import Waiter, wait
from amoc.xmpp import errors, meters, options
from amoc.xmpp.connection.server_url import parse_server

T = TypeVar("T")

MAX_PAUSE_S: Final = 60.0
HTTP_OVERLOADED: Final = 429
"""Lowest HTTP status that may be temporary: too many requests, and server errors above it."""

_PASSING_STREAM_ERRORS: Final = frozenset(
    (
        "connection-timeout",
        "internal-server-error",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "system-shutdown",
        "undefined-condition",
    )
)


_LASTING: Final = (
    errors.OutOfFilesError,
    errors.TlsRequiredError,
    errors.TlsError,
    errors.BadStreamError,
)


class RetryPolicy(NamedTuple):
    """Policy for retries."""

    attempts: int
    """Maximum number of failed attempts."""
    pause_s: Callable[[int], float]
    """Returns the pause after the given number of failures."""
    until_ns: int = sys.maxsize
    """Time after which no new attempt begins, on the monotonic clock."""
    before: Callable[[], object] = lambda: None
    """Called before each attempt; it may wait."""


def default_policy(attempts: int, until_ns: int = sys.maxsize) -> RetryPolicy:
    """Return the policy of `connect`, from the settings."""
    first = options.xmpp_connect_pause.get()
    return RetryPolicy(
        attempts, lambda n: backoff(n, first, MAX_PAUSE_S, random.random()), until_ns
    )


def worth_retrying(error: BaseException) -> bool:
    """Return whether another attempt may succeed."""
    if isinstance(error, _LASTING):
        return False
    if isinstance(error, errors.UpgradeError):
        return error.status is not None and error.status >= HTTP_OVERLOADED
    if isinstance(error, errors.ConnectError | errors.Disconnected):
        return True
    if isinstance(error, errors.StreamError):
        return error.condition in _PASSING_STREAM_ERRORS
    if isinstance(error, errors.SaslError):
        return error.condition == "temporary-auth-failure"
    return isinstance(error, errors.IqError) and error.kind == "wait"


def with_retries(make: Callable[[int, str | None], T], policy: RetryPolicy) -> T:
    """Make attempts until one succeeds; each may be redirected to other hosts.

    Args:
        make: Makes one attempt, given the number of failures and the host of a redirect, if any.
        policy: The policy for retries.

    Raises:
        XmppError: The error of the last attempt.
    """
    meters.connecting.inc()
    try:
        return _attempts(make, policy)
    except GreenletExit:  # the user is asked to stop, or killed
        meters.connections_cancelled.inc()
        raise
    finally:
        meters.connecting.dec()


def _attempts(make: Callable[[int, str | None], T], policy: RetryPolicy) -> T:
    failed, hops = 0, 0
    target: str | None = None
    while True:
        policy.before()
        begin_ns = monotonic_ns()
        try:
            return make(failed, target)
        except errors.SeeOtherHost as error:
            target = error.target
            if error.insecure or not can_follow(target, hops):
                _count_failure(error, begin_ns, gives_up=True)
                raise
            meters.redirects.inc()
            hops += 1
            continue
        except errors.XmppError as error:
            failed += 1
            seconds = policy.pause_s(failed)
            late = monotonic_ns() + seconds * S_NS > policy.until_ns
            gives_up = failed >= policy.attempts or not worth_retrying(error) or late
            _count_failure(error, begin_ns, gives_up)
            if gives_up:
                raise
        target, hops = None, 0
        wait(Waiter(), seconds)


def _count_failure(error: errors.XmppError, begin_ns: int, gives_up: bool) -> None:
    meters.attempt_failed(error, begin_ns)
    if gives_up:
        meters.connections_given_up.inc()


def can_follow(target: str, hops: int) -> bool:
    """Return whether a user may follow a redirect to `target` after `hops` redirects."""
    try:
        parse_server(target)
    except ValueError:
        return False
    return hops < options.xmpp_max_redirects.get()
