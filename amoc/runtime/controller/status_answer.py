"""The answer to the command ``status``: the state of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amoc.base.clock import format_duration
from amoc.base.json_plain import JsonObject
from amoc.base.text import counted, natural
from amoc.control.answers import StatusAnswer, WorkerAnswer
from amoc.metrics.reserved import ARRIVALS, DROPPED, FEED, KIND
from amoc.metrics.throttle_counts import COUNTS, WAITING
from amoc.results.series import ThrottlePoint
from amoc.runtime.controller.status import Status

_USERS = (
    *("running", "resting", "waiting", "finished"),
    *("crashed", "removed", "timed_out", "lost"),
)


def status_answer(status: Status, parts: Mapping[str, Sequence[JsonObject]]) -> StatusAnswer:
    """Return the answer.

    Args:
        status: The run's status.
        parts: The state of each node, throttle, coordinator, barrier and feed, by these kinds.
    """
    samples, plan, known = status.samples, status.plan, status.users
    users = {name.replace("_", " "): known[name] for name in _USERS}
    passed = status.totals.whole.by_throttle()
    counters = status.totals.whole.counters
    rest = f"running ({users['resting']:,} resting)" if users["resting"] else "running"
    told = {rest if name == "running" else name: users[name] for name in users}
    shown = ", ".join(f"{n:,} {name}" for name, n in told.items() if n and name != "resting")
    return StatusAnswer(
        summary=f"{_state(status)}; users: {shown or '0'}{_arrivals(status)}{_kinds(status)}",
        workers=[
            WorkerAnswer(f"{node}/{worker}", counted(alive, "user"))
            for node in sorted(samples.latest, key=natural)
            for worker, alive in samples.alive(node).items()
        ],
        state=status.state.value,
        id=status.run_id,
        scenario=plan.scenario if plan is not None else "",
        comment=plan.comment if plan is not None else "",
        elapsed_s=round(status.elapsed_s, 3),
        paused_s=round(status.paused_s, 3),
        users=users,
        nodes=[{**one, "users": samples.users_on(str(one["name"]))} for one in parts["nodes"]],
        throttles=[{**one, **_counts(passed.get(str(one["name"])))} for one in parts["throttles"]],
        coordinators=parts["coordinators"],
        barriers=parts["barriers"],
        feeds=[
            {**one, "used": counters.get(f"{FEED}{one['name']}.used", 0)} for one in parts["feeds"]
        ],
    )


def _state(status: Status) -> str:
    """Return the run's state and how long it has run, for people."""
    text = f"{status.state.value}, {format_duration(status.elapsed_s)} into the run"
    paused = f", of which {format_duration(status.paused_s)} paused" if status.paused_s else ""
    return text + paused


def _kinds(status: Status) -> str:
    """Return the started users or iterations of each kind; empty if there is only one kind."""
    counters = status.totals.whole.counters
    plan = status.plan
    users, iterations = (
        {
            name.removeprefix(KIND).removesuffix(end): count
            for name, count in sorted(counters.items())
            if name.startswith(KIND) and name.endswith(end)
        }
        for end in (".users", ".iterations")
    )
    if plan is None or plan.arrivals is None:
        iterations = {}
    elif plan.loads is None:
        users = {}
    else:  # some have users, and others are started at a rate
        users = {name: count for name, count in users.items() if count}
        iterations = {name: count for name, count in iterations.items() if name not in users}
    return "".join(
        f"; {what}: {', '.join(f'{count:,} {name}' for name, count in kinds.items())}"
        for what, kinds in (("started", users), ("iterations", iterations))
        if kinds
    )


def _arrivals(status: Status) -> str:
    """Return the counts of an arrival rate so far; empty without one."""
    if status.plan is None or status.plan.arrivals is None:
        return ""
    counters = status.totals.whole.counters
    arrivals, dropped = counters.get(ARRIVALS, 0), counters.get(DROPPED, 0)
    return f"; arrivals: {arrivals:,}, {dropped:,} dropped"


def _counts(throttle: ThrottlePoint | None) -> dict[str, int]:
    """Return the counts of a throttle."""
    if throttle is None:
        return {}
    return {kind: getattr(throttle, kind) for kind in (*COUNTS, WAITING)}
