"""Names of metrics that amoc reserves for itself. Pure.

A scenario's metric with such a name would be added to amoc's own, or hide it from thresholds, so it
is rejected where it is declared. Metrics of a library, such as `amoc.xmpp`, are reserved as soon as
it is imported, see `amoc.metrics.registry.Registry.built_in`.
"""

from __future__ import annotations

from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.step_names import FIRST_FAILURE, LAST_FAILURE

EVERY_RUN = ("loop_lag", "user_start_lateness", "token_lateness", "coordinator_action_delay")
"""Timers in every summary."""
TIMERS = (*EVERY_RUN, "arrival_lateness")
"""Timers that describe amoc itself; shown apart from those of the target."""
MAIL = ("mail_sent", "mail_received", "mail_refused", "mail_undeliverable")
"""Counters of `amoc.users.mail`."""
OUTLIVED = "greenlets_left"
"""Counts greenlets that outlived the users that spawned them."""
ITERATIONS = "iterations"
"""Counts iterations that did not crash."""
LATE_TURNS = "late_turns"
"""Counts turns that took longer than `user.pace` allows."""
ARRIVALS = "arrivals"
"""Counts iterations that an arrival rate has started."""
DROPPED = "dropped"
"""Counts iterations that were due but for which no user was free in time."""
SPANS = ("otel_spans", "otel_spans_dropped")
"""Counters of `amoc.results.exporters.otlp_spans`."""
COUNTED = ("crashes", "starts", "users")
"""Names that thresholds find in every run, besides metrics."""
COORDINATOR, BARRIERS, THROTTLE, FEED = "coordinator.", "barriers.", "throttle.", "feed."
KIND = "kind."
"""Prefix of the counters of each kind of user."""
NAMES = frozenset(
    {*TIMERS, *MAIL, OUTLIVED, ITERATIONS, LATE_TURNS, ARRIVALS, DROPPED, *SPANS, *COUNTED}
)
_PREFIXES = (
    *(COORDINATOR, BARRIERS, THROTTLE, FEED, KIND, FIRST_FAILURE, LAST_FAILURE),
    *(f"{name}." for name in COUNTED),
)


def is_reserved(name: str) -> bool:
    """Return whether `name` is not available for a scenario's metric."""
    return name in NAMES or name.startswith(_PREFIXES) or name.endswith(RESPONSE)


def refusal(name: str) -> str:
    """Return why a scenario cannot have a metric called `name`."""
    if name.endswith(RESPONSE):
        what = f"names that end in {RESPONSE!r} are reserved for timers' response times"
    elif prefix := next((one for one in _PREFIXES if name.startswith(one)), ""):
        what = f"names that begin with {prefix!r} are reserved for amoc's own metrics"
    else:
        what = "amoc has a metric of that name"
    return f"a scenario's metric must not be called {name!r}: {what}"
