"""Names of metrics that amoc keeps for itself. Pure.

A scenario's metric of such a name would be added to amoc's own, or hide it from thresholds, so it
is refused where it is declared. Metrics of a library, `amoc.xmpp` say, are reserved as soon as that
is imported, see `amoc.metrics.registry.Registry.built_in`.
"""

from __future__ import annotations

from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.step_names import FIRST_FAILURE, LAST_FAILURE

EVERY_RUN = ("loop_lag", "user_start_lateness", "token_lateness", "coordinator_action_delay")
"""Timers that every summary has."""
TIMERS = (*EVERY_RUN, "arrival_lateness")
"""Timers that tell about amoc itself; shown apart from those of the target."""
MAIL = ("mail_sent", "mail_received", "mail_refused", "mail_undeliverable")
"""Counters of `amoc.users.mail`."""
OUTLIVED = "greenlets_left"
"""Counts greenlets that outlived the users that spawned them."""
ITERATIONS = "iterations"
"""Counts iterations that did not crash."""
LATE_TURNS = "late_turns"
"""Counts turns that took longer than `user.pace` has time for."""
ARRIVALS = "arrivals"
"""Counts iterations that an arrival rate has started."""
DROPPED = "dropped"
"""Counts iterations that were to start, and for which no user was free in time."""
SPANS = ("otel_spans", "otel_spans_dropped")
"""Counters of `amoc.results.exporters.otlp_spans`."""
COUNTED = ("crashes", "starts", "users")
"""What thresholds find in every run, beside metrics."""
COORDINATOR, BARRIERS, THROTTLE, FEED = "coordinator.", "barriers.", "throttle.", "feed."
KIND = "kind."
"""Begins what is counted of each kind of user."""
NAMES = frozenset(
    {*TIMERS, *MAIL, OUTLIVED, ITERATIONS, LATE_TURNS, ARRIVALS, DROPPED, *SPANS, *COUNTED}
)
_PREFIXES = (
    *(COORDINATOR, BARRIERS, THROTTLE, FEED, KIND, FIRST_FAILURE, LAST_FAILURE),
    *(f"{name}." for name in COUNTED),
)


def is_reserved(name: str) -> bool:
    """Whether no metric of a scenario can be called `name`."""
    return name in NAMES or name.startswith(_PREFIXES) or name.endswith(RESPONSE)


def refusal(name: str) -> str:
    """Why a scenario cannot have a metric called `name`."""
    if name.endswith(RESPONSE):
        what = f"{RESPONSE!r} ends the names of response times, which timers record"
    elif prefix := next((one for one in _PREFIXES if name.startswith(one)), ""):
        what = f"{prefix!r} begins names of amoc's own metrics"
    else:
        what = "amoc has a metric of that name itself"
    return f"a scenario's metric must not be called {name!r}: {what}"
